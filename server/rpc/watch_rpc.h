// WatchRpc: one stream per watched service. See watch.proto and service_feed.h.
//
// Threading: gRPC calls from its own threads; each service's streams live on one io thread.
#pragma once

#include <functional>
#include <memory>

#include "base/io/runtime.h"
#include "server/server.h"

namespace grpc {
class Service;
}

namespace fyr::server {

struct WatchRpcOptions {
  std::size_t max_streams = 20000;  // ResourceExhausted above
  Duration heartbeat = std::chrono::seconds(10);
};

class WatchRpc {
 public:
  WatchRpc(WatchRpcOptions options, Server& server, io::Runtime& runtime);
  ~WatchRpc();
  grpc::Service& service();
  // Ends all streams; new ones are refused.
  void stop();
  // After the gRPC server has ended: waits for what its last calls have left on the io threads.
  void drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
