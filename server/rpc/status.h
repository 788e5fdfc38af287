// Our errors as gRPC statuses; only for the files of this folder.
#pragma once

#include <grpcpp/support/status.h>

#include "base/error.h"

namespace fyr::server {

inline grpc::Status to_status(const Error& error) {
  return {static_cast<grpc::StatusCode>(to_grpc_status(error.code)), error.message};
}

}  // namespace fyr::server
