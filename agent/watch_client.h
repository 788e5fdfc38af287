// One stream per watched service, shared by all who ask for it: the proxy, DNS and cached reads.
// The view is materialised once and handed out as shared_ptr<const ServiceView>.
//
// A view survives the servers: the last one stays while no server answers, and it is kept on disk
// (data_dir/watch, written atomically, at most once a second a service) and read back before the
// first answer. Right after a reconnect a snapshot with a lower index, or an empty one replacing
// a non-empty one, is held back 30 s unless a second server says the same (proxy specification
// section 8). Reconnects back off 100 ms to 10 s with jitter, each to another server.
//
// Threading: every method from any thread. Callbacks run on the watch client's own thread, one at a
// time; keep them short.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/channel_source.h"
#include "agent/watch_view.h"
#include "base/error.h"
#include "base/io/runtime.h"
#include "base/time.h"
#include "watch.pb.h"

namespace fyr::agent {

struct WatchClientOptions {
  std::filesystem::path directory;  // last known lists; empty: none are kept
  std::string datacenter = "dc1";
  Duration hold = std::chrono::seconds(30);         // of a suspicious snapshot
  Duration idle_expiry = std::chrono::minutes(10);  // of services only asked for with get()
  Duration first_answer = std::chrono::seconds(2);  // get() of an unknown service fails after it
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
  Duration silence = std::chrono::seconds(25);  // no heartbeat for so long: reconnect
  std::size_t max_services = 4096;              // get() beyond it: ResourceExhausted
  std::size_t max_absent = 256;  // of them without instances: the longest unused one goes
};

class WatchClient {
 public:
  // Ends the subscription; no callback runs after it is gone (unless destroyed inside of one).
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  using OnView = std::function<void(ViewPtr)>;
  using Ready = std::function<void(Result<ViewPtr>)>;

  // Works on `thread` of the runtime, writes files on `disk_thread`.
  WatchClient(io::Runtime& runtime, int thread, int disk_thread,
              std::shared_ptr<ChannelSource> servers, WatchClientOptions options);
  ~WatchClient();
  void stop();

  // The first view comes at once, before this returns, if one is known (memory or disk).
  [[nodiscard]] std::unique_ptr<Watch> subscribe(const std::string& service, OnView on_view);

  // The view if it is known; else null and `ready` runs once, later. The stream is started and
  // kept until nobody asked for idle_expiry. Service names without regard to case.
  ViewPtr get(const std::string& service, Ready ready);
  // The view if it is known, else null: counts as asking, but starts nothing.
  ViewPtr peek(const std::string& service);

  // Nodes by name (exact, without regard to case) or by address; asked of a server each time.
  using Nodes = std::function<void(Result<std::vector<pb::Node>>)>;
  void find_nodes(const std::string& name, const std::string& address, Nodes done);

  // Time since the stream of this service was last heard; nullopt: not watched or never heard.
  std::optional<Duration> age(const std::string& service) const;
  std::size_t streams() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fyr::agent
