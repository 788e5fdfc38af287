// How long the disk takes over the writes it was given (raft.md §5, "Disk stall"), and
// whether it has room for more (§10).
//
// Owner: the core.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "raft/outputs.h"

namespace fyr::raft {

class DiskWatch {
 public:
  explicit DiskWatch(const CoreConfig& config) : config_(config) {}

  void asked(WriteId write, Instant now) { under_way_.emplace_back(write, now); }
  void done(WriteId upto, Instant now) {
    observe(now);
    while (!under_way_.empty() && under_way_.front().first <= upto) under_way_.pop_front();
  }
  void observe(Instant now) {
    if (age(now) > config_.disk_stalled) stalled_at_ = now;
  }
  // Of the oldest write under way.
  Duration age(Instant now) const {
    return under_way_.empty() ? Duration::zero() : now - under_way_.front().second;
  }
  DiskState state(Instant now) const {
    if (age(now) > config_.disk_stalled) return DiskState::Stalled;
    if (low_) return DiskState::Low;
    return age(now) > config_.disk_slow ? DiskState::Slow : DiskState::Good;
  }
  void set_low(bool low) { low_ = low; }
  bool is_low() const { return low_; }
  // No stall for long enough to be trusted.
  bool clean(Instant now) const { return !stalled_at_ || now - *stalled_at_ > config_.disk_clean; }
  // When the age of the oldest write exceeds `age`.
  std::optional<Instant> exceeds_at(Duration age) const {
    if (under_way_.empty()) return std::nullopt;
    return under_way_.front().second + age + Duration(1);
  }

 private:
  const CoreConfig& config_;
  std::deque<std::pair<WriteId, Instant>> under_way_;
  std::optional<Instant> stalled_at_;
  bool low_ = false;
};

}  // namespace fyr::raft
