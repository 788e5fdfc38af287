// Requests that are not the agent's own go to a server as they are, through AgentRpc.Forward; its
// answer comes back unchanged.
//
// A request no server has seen is tried again until rpc_hold_timeout, a read also when a server
// went away over it. After that: 500 "No cluster leader", which clients retry on. A write whose
// fate is unknown is never repeated here.
//
// Threading: any thread.
#pragma once

#include <memory>
#include <string>

#include "agent/agent_stub.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"

namespace fyr::agent {

// The node whose agent passes a request on, for the server.
inline constexpr char kNodeHeader[] = "X-Fyr-Agent-Node";

// Requests on their way keep it and the stub alive; the runtime must outlive them.
class Forwarder : public std::enable_shared_from_this<Forwarder> {
 public:
  Forwarder(io::Runtime& runtime, std::shared_ptr<AgentStub> stub,
            std::shared_ptr<ChannelSource> servers, Duration hold, std::string node_name);
  void handle(std::shared_ptr<io::HttpExchange> exchange);

 private:
  struct Request;
  void send(const std::shared_ptr<Request>& request);
  void answered(const std::shared_ptr<Request>& request, Result<pb::HttpForwardResponse> answer);

  io::Runtime& runtime_;
  const std::shared_ptr<AgentStub> stub_;
  const std::shared_ptr<ChannelSource> servers_;
  const Duration hold_;
  const std::string node_name_;  // told the server: a session without Node is this machine's
};

}  // namespace fyr::agent
