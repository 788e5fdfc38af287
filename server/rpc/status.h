// Our errors as gRPC statuses; only for the files of this folder.
#pragma once

#include <grpcpp/support/status.h>

#include "base/error.h"

namespace fyr::server {

inline grpc::Status to_status(const Error& error) {
  return {static_cast<grpc::StatusCode>(to_grpc_status(error.code)), error.message};
}

// What a server says that was just started and cannot yet know what it answered before.
inline grpc::Status catching_up() {
  return to_status(fail(ErrorCode::Unavailable, "the server is catching up with its log"));
}

}  // namespace fyr::server
