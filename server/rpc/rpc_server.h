// The RPC listener of a server (port 8300): AgentRpc and WatchRpc for agents, over gRPC.
//
// AgentRpc: Push makes one NodeSync command, NodeState answers the other half of a full
// comparison, Forward runs the server's own HTTP handler, Servers lists servers. WatchRpc: one
// stream per (agent, service): snapshot, deltas, a heartbeat every 10 s; one write in flight, one
// waiting state per stream, so a slow reader costs no memory: it gets the newest state when it
// reads again.
//
// Threading: listen, stop from the main thread; the rest from any.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"
#include "base/net_address.h"
#include "server/server.h"

namespace grpc {
class Channel;
class Service;
}  // namespace grpc

namespace fyr::server {

struct RpcServerOptions {
  std::vector<HostPort> listen;  // port 0 picks one
  std::string node_name;         // of this server, for Servers
  std::size_t max_streams = 20000;
  Duration heartbeat = std::chrono::seconds(10);
  std::vector<grpc::Service*> more;  // further services on the same port; not owned
};

class RpcServer {
 public:
  // `forward` is what answers forwarded HTTP requests: server::Api::handle. It runs on io thread
  // runtime.next(). Errors name the address.
  static Result<std::unique_ptr<RpcServer>> listen(RpcServerOptions options, Server& server,
                                                   io::Runtime& runtime, io::HttpHandler forward);
  ~RpcServer();
  void stop();  // ends streams and calls, at most 1 s

  std::vector<HostPort> bound() const;
  // For the agent half of this process; no socket.
  std::shared_ptr<grpc::Channel> in_process_channel();

 private:
  RpcServer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
