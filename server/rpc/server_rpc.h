// ServerRpc: what other servers ask of this one. See server.proto.
//
// Threading: as agent_rpc.h.
#pragma once

#include <memory>

#include "base/io/runtime.h"
#include "server/server.h"

namespace grpc {
class Service;
}

namespace fyr::server {

std::unique_ptr<grpc::Service> make_server_rpc(Server& server, io::Runtime& runtime);

}  // namespace fyr::server
