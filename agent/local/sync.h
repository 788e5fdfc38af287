// Drives SyncCore and LocalState: starts requests, gives their answers back, keeps the timer.
//
// Threading: all methods on the thread that was given (the agent's). The transport may answer on
// any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "agent.pb.h"
#include "agent/local/local_state.h"
#include "agent/local/sync_core.h"
#include "base/error.h"
#include "base/io/runtime.h"

namespace fyr::agent {

// The two calls sync makes to a server. `done` runs once, on any thread.
class SyncTransport {
 public:
  virtual ~SyncTransport() = default;
  virtual void push(pb::PushRequest request,
                    std::function<void(Result<pb::PushResponse>)> done) = 0;
  virtual void node_state(pb::NodeStateRequest request,
                          std::function<void(Result<pb::NodeStateResponse>)> done) = 0;
};

struct SyncOptions {
  SyncTimes times;
  Duration output_interval = std::chrono::minutes(5);  // of output alone; 0: at once
};

class Sync : public std::enable_shared_from_this<Sync> {
 public:
  Sync(io::Runtime& runtime, int thread, LocalState& state, SyncTransport& transport,
       SyncOptions options, Random random);

  void start();  // compares at once
  void stop();   // answers still on their way are ignored

  void item_changed();
  void servers_changed();
  void compare_now();
  void set_cluster_size(std::size_t nodes) { core_.set_cluster_size(nodes); }
  // When a change of output alone should go out: spread over half to one and a half intervals.
  Instant output_due();

  struct Totals {
    std::uint64_t pushes = 0, full_compares = 0, failures = 0;
  };
  const Totals& totals() const { return totals_; }

 private:
  void run();
  void arm();
  void push();
  void compare();
  void pushed(const LocalState::Batch& batch, Result<pb::PushResponse> answer);
  void compared(std::uint64_t mark, Result<pb::NodeStateResponse> answer);
  void refused(Instant at, const LocalState::Batch& batch, const std::string& reason);
  void failed(const char* what, const Error& error);

  io::Runtime& runtime_;
  const int thread_;
  LocalState& state_;
  SyncTransport& transport_;
  SyncOptions options_;
  Random random_;
  SyncCore core_;
  io::Timer timer_;
  std::optional<Instant> armed_;
  bool running_ = false;
  bool failing_ = false;
  std::uint64_t last_push_index_ = 0;
  Totals totals_;
};

}  // namespace fyr::agent
