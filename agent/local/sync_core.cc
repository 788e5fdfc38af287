#include "agent/local/sync_core.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::agent {

int sync_scale(std::size_t nodes) {
  constexpr std::size_t kAlike = 128;
  int scale = 1;
  // ceil(log2(nodes / 128)) + 1
  for (std::size_t size = kAlike; size < nodes; size *= 2) ++scale;
  return scale;
}

SyncCore::SyncCore(SyncTimes times, Random random) : times_(times), random_(random) {}

Duration SyncCore::jitter(Duration longest) {
  return longest > Duration::zero() ? random_.between(Duration::zero(), longest) : Duration::zero();
}

void SyncCore::item_changed(Instant now) {
  // The first change goes at once, with all others of this moment; a burst is gathered.
  if (!push_at_) push_at_ = std::max(now, last_push_ + times_.coalesce);
}

void SyncCore::servers_changed(Instant now) {
  const Instant at = now + jitter(times_.compare_after_change_of_servers * scale_);
  if (!compare_at_ || at < *compare_at_) compare_at_ = at;
  backoff_ = Duration::zero();
  wait_until_.reset();
}

void SyncCore::compare_now(Instant now) {
  compare_at_ = now;
  backoff_ = Duration::zero();
  wait_until_.reset();
}

SyncCore::Action SyncCore::next(Instant now, bool compared, bool wants_push) {
  if (busy_ || (wait_until_ && now < *wait_until_)) return Action::None;
  wait_until_.reset();
  const bool compare_due = compare_at_ && now >= *compare_at_;
  // Nothing is pushed before it is known what the catalog holds: most of it is there already.
  if (!compared || compare_due) {
    busy_ = true;
    compare_at_.reset();
    return Action::Compare;
  }
  const bool push_due =
      (push_at_ && now >= *push_at_) || (due_ && now >= *due_) || (!push_at_ && wants_push);
  if (!push_due) return Action::None;
  push_at_.reset();
  due_.reset();
  if (!wants_push) return Action::None;
  busy_ = true;
  last_push_ = now;
  return Action::Push;
}

void SyncCore::done(Instant now, Action action, bool retry) {
  CHECK(busy_);
  busy_ = false;
  if (retry) {
    backoff_ =
        backoff_ == Duration::zero() ? times_.retry_min : std::min(2 * backoff_, times_.retry_max);
    wait_until_ = now + backoff_ / 2 + jitter(backoff_);  // half to one and a half of it
    if (action == Action::Compare) compare_at_ = now;
    return;
  }
  backoff_ = Duration::zero();
  if (action == Action::Compare) {
    compare_at_ = now + (times_.compare_every + jitter(times_.compare_every)) * scale_;
  }
}

std::optional<Instant> SyncCore::next_deadline() const {
  if (busy_) return std::nullopt;
  if (wait_until_) return wait_until_;
  std::optional<Instant> next = compare_at_;
  for (const auto& other : {push_at_, due_}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

}  // namespace fyr::agent
