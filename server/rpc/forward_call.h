// An HTTP request that came over AgentRpc.Forward, as an HttpExchange: the server's handlers do
// not see the difference. Only for the files of this folder: names gRPC types.
//
// A cancelled call counts as a client that went away. Streamed answers are collected, at most
// 64 MiB, and sent as one.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>

#include "agent.pb.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"

namespace fyr::server {

class ForwardCalls {
 public:
  ForwardCalls(io::Runtime& runtime, io::HttpHandler handler, std::size_t limit);

  // `response` lives as long as the call. The reactor owns itself.
  grpc::ServerUnaryReactor* start(const pb::HttpForward& request,
                                  pb::HttpForwardResponse& response);

 private:
  io::Runtime& runtime_;
  const io::HttpHandler handler_;
  const std::size_t limit_;
  // Calls come after the making of all they use. gRPC sees to that too, but by locks in a library
  // that the thread sanitizer does not see into.
  std::atomic<bool> made_{false};
  std::shared_ptr<std::atomic<std::size_t>> waiting_ =
      std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace fyr::server
