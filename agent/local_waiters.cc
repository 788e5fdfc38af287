#include "agent/local_waiters.h"

#include <utility>
#include <vector>

namespace fyr::agent {

void LocalWaiters::wait_for(const io::HttpCallPtr& call, Duration wait, Try attempt) {
  if (attempt(false)) return;
  if (waiting_.size() >= kMaxWaiting) return call->text(429, "too many requests are waiting");
  const std::uint64_t id = ++last_id_;
  Waiting& waiting = waiting_[id];
  waiting.attempt = std::move(attempt);
  waiting.timer = runtime_.schedule(thread_, wait, [weak = std::weak_ptr(alive_), id] {
    const auto self = weak.lock();
    if (!self || !(*self)->waiting_.contains(id)) return;
    (*self)->waiting_.at(id).attempt(true);
    (*self)->finish(id);
  });
  call->exchange()->on_abandoned(
      [weak = std::weak_ptr(alive_), &runtime = runtime_, thread = thread_, id] {
        if (weak.expired()) return;
        runtime.post(thread, [weak, id] {
          if (const auto self = weak.lock()) (*self)->finish(id);
        });
      });
}

void LocalWaiters::changed() {
  std::vector<std::uint64_t> answered;
  for (auto& [id, waiting] : waiting_) {
    if (waiting.attempt(false)) answered.push_back(id);
  }
  for (const std::uint64_t id : answered) finish(id);
}

void LocalWaiters::answer_all() {
  for (auto& [id, waiting] : waiting_) waiting.attempt(true);
  waiting_.clear();
}

void LocalWaiters::finish(std::uint64_t id) {
  waiting_.erase(id);
}

}  // namespace fyr::agent
