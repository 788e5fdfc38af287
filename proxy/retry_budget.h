// Replays a listener may make: a share of its requests plus a floor, over a sliding window, so
// that a failing service is not buried under its own retries (specification, section 2).
//
// Pure; the caller serialises calls. Only replays of requests that were sent cost budget; a
// refused connection is free.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace fyr::proxy {

class RetryBudget {
 public:
  RetryBudget(double ratio, int min_per_sec, Duration window);

  // `requests_total` counts all requests ever; the difference to the last call is credited now.
  void observe(Instant now, std::uint64_t requests_total);
  bool try_withdraw(Instant now);
  double balance(Instant now);

 private:
  static constexpr int kSlots = 10;
  struct Slot {
    std::uint64_t requests = 0;
    std::uint64_t withdrawals = 0;
  };
  Slot& current(Instant now);

  double ratio_;
  double reserve_;  // floor over the whole window
  Duration slot_length_;
  std::int64_t slot_number_ = 0;
  std::array<Slot, kSlots> slots_{};
  std::uint64_t requests_seen_ = 0;
};

}  // namespace fyr::proxy
