// A node's clock: an offset and a constant rate error against true time. It runs on while its
// process is dead or paused, as CLOCK_BOOTTIME does.
#pragma once

#include "base/time.h"
#include "tests/sim/raft/basics.h"

namespace fyr::raft::sim {

class Clock {
 public:
  Clock() = default;
  // rate: parts per million faster than true time; at most 200,000.
  Clock(Nanos offset, Nanos rate) : offset_(offset), rate_(rate) {}

  Instant at(Nanos truth) const { return Instant(Duration(reading(truth))); }
  // The first moment at which the clock shows `local` or later.
  Nanos when(Instant local) const {
    const Nanos wanted = local.time_since_epoch().count() - offset_;
    if (wanted <= 0) return 0;
    if (wanted > kNever / 4) return kNever;
    Nanos truth =
        static_cast<Nanos>(static_cast<double>(wanted) / (1.0 + static_cast<double>(rate_) * 1e-6));
    while (truth > 0 && reading(truth - 1) - offset_ >= wanted) truth -= 1;
    while (reading(truth) - offset_ < wanted) ++truth;
    return truth;
  }
  void jump(Nanos by) { offset_ += by; }

 private:
  Nanos reading(Nanos truth) const {
    // In two parts, so that days of nanoseconds times the rate do not overflow.
    const Nanos whole = truth / 1'000'000;
    const Nanos rest = truth % 1'000'000;
    return offset_ + truth + whole * rate_ + rest * rate_ / 1'000'000;
  }

  Nanos offset_ = 0;
  Nanos rate_ = 0;
};

}  // namespace fyr::raft::sim
