// When the agent pushes and when it compares (checks specification section 6). One request at a
// time: a push of what changed, coalesced for 5 ms, or a full comparison. A failure is retried
// from 0.2 s, doubling to 15 s, with jitter; a sign of life from the servers ends the waiting.
//
// Pure: time is an argument, randomness comes in by constructor. Owner thread: the agent's.
#pragma once

#include <cstddef>
#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace fyr::agent {

struct SyncTimes {
  Duration coalesce = std::chrono::milliseconds(5);  // between two pushes, at least
  Duration retry_min = std::chrono::milliseconds(200);
  Duration retry_max = std::chrono::seconds(15);
  Duration compare_every = std::chrono::minutes(1);  // plus up to as much again, times the scale
  Duration compare_after_change_of_servers = std::chrono::seconds(3);  // at most, times the scale
};

// 1 up to 128 nodes, then growing with the logarithm, so that many agents load the servers alike.
int sync_scale(std::size_t nodes);

class SyncCore {
 public:
  enum class Action { None, Push, Compare };

  SyncCore(SyncTimes times, Random random);

  void item_changed(Instant now);                        // something wants to be pushed
  void due_at(std::optional<Instant> at) { due_ = at; }  // deferred or blocked items
  void servers_changed(Instant now);
  void compare_now(Instant now);
  void set_cluster_size(std::size_t nodes) { scale_ = sync_scale(nodes); }

  // What to start now. `wants_push`: there is something to send.
  Action next(Instant now, bool compared, bool wants_push);
  // The request ended. `retry`: it failed, wholly or in part.
  void done(Instant now, Action action, bool retry);

  // When to call next() again; nullopt while a request is on its way.
  std::optional<Instant> next_deadline() const;
  bool busy() const { return busy_; }

 private:
  Duration jitter(Duration longest);

  SyncTimes times_;
  Random random_;
  int scale_ = 1;
  bool busy_ = false;
  std::optional<Instant> push_at_;
  Instant last_push_{};
  std::optional<Instant> compare_at_;
  std::optional<Instant> due_;
  std::optional<Instant> wait_until_;  // after a failure
  Duration backoff_{};
};

}  // namespace fyr::agent
