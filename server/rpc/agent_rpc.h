// AgentRpc: what agents ask of a server. See agent.proto.
//
// Threading: gRPC calls from its own threads; answers are finished on io threads, never on the
// apply thread.
#pragma once

#include <memory>
#include <string>

#include "base/io/http_server.h"
#include "base/io/runtime.h"
#include "server/server.h"

namespace grpc {
class Service;
}

namespace fyr::server {

struct AgentRpcOptions {
  std::string node_name;
  std::size_t max_forwards = 4096;  // waiting at once; ResourceExhausted above
};

// `forward` runs on io threads.
std::unique_ptr<grpc::Service> make_agent_rpc(AgentRpcOptions options, Server& server,
                                              io::Runtime& runtime, io::HttpHandler forward);

}  // namespace fyr::server
