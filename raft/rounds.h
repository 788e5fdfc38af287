// Numbered rounds of heartbeats within one leadership (R2), and when each of them was sent.
// An echo of a round proves contact at or after that time: leases count from there (R4).
//
// Owner: the core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.h"

namespace fyr::raft {

class Rounds {
 public:
  // Starts the next round; everything sent from now on carries its number.
  std::uint64_t start(Instant now) {
    sent_.push_back(now);
    if (sent_.size() > kKept) {
      sent_.pop_front();
      ++first_;
    }
    return current();
  }
  // 0: none has begun.
  std::uint64_t current() const { return first_ + sent_.size() - 1; }
  // None: so long ago, or never begun, that an echo proves nothing.
  std::optional<Instant> sent_at(std::uint64_t round) const {
    if (round < first_ || round > current()) return std::nullopt;
    return sent_[round - first_];
  }

 private:
  static constexpr std::size_t kKept = 1'024;
  std::uint64_t first_ = 1;  // number of the oldest one kept
  std::deque<Instant> sent_;
};

}  // namespace fyr::raft
