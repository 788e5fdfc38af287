// Those who wait until this server has applied an index: a client whose write went over the leader
// finds it here, too, when it is told (raft.md D9).
//
// Threading: every method from any thread; callbacks run inside advance, release or wait.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "server/state/store.h"

namespace fyr::server {

class AppliedWaiters {
 public:
  // More than anybody has writes under way; above, callers do not wait.
  static constexpr std::size_t kMax = 65'536;

  // At once if `index` is reached, if there are too many, or after close().
  void wait(StateIndex index, std::function<void()> done) {
    {
      std::lock_guard lock(mutex_);
      if (index > applied_ && !closed_ && waiting_.size() < kMax) {
        waiting_.emplace(index, std::move(done));
        return;
      }
    }
    done();
  }
  // Everything up to `index` is applied.
  void advance(StateIndex index) {
    std::vector<std::function<void()>> ready;
    {
      std::lock_guard lock(mutex_);
      applied_ = std::max(applied_, index);
      const auto end = waiting_.upper_bound(applied_);
      for (auto it = waiting_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
      waiting_.erase(waiting_.begin(), end);
    }
    for (auto& done : ready) done();
  }
  // Nobody knows how long it would take: contact with the leader is lost.
  void release() {
    std::multimap<StateIndex, std::function<void()>> all;
    {
      std::lock_guard lock(mutex_);
      all.swap(waiting_);
    }
    for (auto& [index, done] : all) done();
  }
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    release();
  }

 private:
  std::mutex mutex_;
  StateIndex applied_ = 0;                                    // guarded by mutex_
  bool closed_ = false;                                       // guarded by mutex_
  std::multimap<StateIndex, std::function<void()>> waiting_;  // guarded by mutex_
};

}  // namespace fyr::server
