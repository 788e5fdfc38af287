// The Consul HTTP API of a server: everything but /v1/agent/* and /v1/event/*, which belong to
// the agent half. The same object serves requests from a socket and requests an agent forwarded.
//
// Threading: handle() from any io thread or gRPC thread; answers through the exchange.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/io/http_router.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"
#include "server/server.h"

namespace fyr::server {

// Snapshots that a server makes by itself; see api/snapshot_schedule.h.
struct SnapshotScheduleOptions {
  Duration interval{};  // 0: none
  std::size_t retain = 30;
  bool stale = false;  // also while this server does not lead
  std::filesystem::path directory;
};

struct ApiOptions {
  std::string datacenter = "dc1";
  Duration default_query_time = std::chrono::seconds(300);
  Duration max_query_time = std::chrono::seconds(600);
  Duration rpc_hold_timeout = std::chrono::seconds(7);
  std::size_t kv_max_value_size = 512 * 1024;
  SnapshotScheduleOptions snapshot_schedule;
  io::RouterOptions router;  // http_config: added headers, blocked paths
};

class Api {
 public:
  Api(Server& server, io::Runtime& runtime, ApiOptions options);
  ~Api();
  // True if this API has the path (any method): the caller then must not answer itself.
  void handle(std::shared_ptr<io::HttpExchange> exchange);
  void stop();  // answers everything parked

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
