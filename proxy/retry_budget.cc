#include "proxy/retry_budget.h"

#include <algorithm>

namespace fyr::proxy {

RetryBudget::RetryBudget(double ratio, int min_per_sec, Duration window)
    : ratio_(ratio),
      reserve_(static_cast<double>(min_per_sec) * std::chrono::duration<double>(window).count()),
      slot_length_(std::max<Duration>(window / kSlots, std::chrono::milliseconds(1))) {}

RetryBudget::Slot& RetryBudget::current(Instant now) {
  const std::int64_t number = now.time_since_epoch() / slot_length_;
  const std::int64_t steps = number - slot_number_;
  if (steps > 0) {
    for (std::int64_t i = 1; i <= std::min<std::int64_t>(steps, kSlots); ++i) {
      slots_[static_cast<std::size_t>((slot_number_ + i) % kSlots)] = {};
    }
    if (steps > kSlots) slots_.fill({});
    slot_number_ = number;
  }
  return slots_[static_cast<std::size_t>(slot_number_ % kSlots)];
}

void RetryBudget::observe(Instant now, std::uint64_t requests_total) {
  Slot& slot = current(now);
  if (requests_total > requests_seen_) {
    slot.requests += requests_total - requests_seen_;
    requests_seen_ = requests_total;
  }
}

double RetryBudget::balance(Instant now) {
  current(now);
  double sum = reserve_;
  for (const Slot& slot : slots_) {
    sum += ratio_ * static_cast<double>(slot.requests) - static_cast<double>(slot.withdrawals);
  }
  return sum;
}

bool RetryBudget::try_withdraw(Instant now) {
  if (balance(now) < 1) return false;
  ++current(now).withdrawals;
  return true;
}

}  // namespace fyr::proxy
