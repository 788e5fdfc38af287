// What only a leader does by itself: ends sessions that were not renewed and folds old tombstones.
//
// One thread, asleep until something is due. A follower's duties rest. If this process was paused
// for longer than kPause, timers start anew: nobody could renew meanwhile.
//
// Threading: every method from any thread; callbacks of renew run on the caller's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/guarded.h"
#include "command.pb.h"
#include "server/state/store.h"

namespace fyr::server {

class Duties {
 public:
  using Propose =
      std::function<void(pb::Command command, std::function<void(Result<ApplyResult>)> done)>;
  static constexpr std::size_t kMaxTombstones = 65'536;

  // `state` and what `propose` uses must outlive the object.
  Duties(const SharedGuarded<StateStore>& state, Propose propose);
  ~Duties();  // stops
  void stop();

  void set_leading(bool leads);
  void sessions_changed();
  void tombstones_changed();
  // NotFound: no such session with a TTL, or it is ending. A session without a TTL always renews.
  Result<void> renew(const std::string& session_id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
