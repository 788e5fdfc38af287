#include "agent/swim/suspicion.h"

#include <algorithm>
#include <cmath>

namespace fyr::agent {

Suspicion::Suspicion(const SuspicionRules& rules, std::size_t members, Instant now,
                     std::string from)
    : wanted_(rules.mult - 2), start_(now) {
  const double scale =
      std::max(1.0, std::log10(static_cast<double>(std::max<std::size_t>(1, members))));
  min_ = std::chrono::duration_cast<Duration>(rules.probe_interval * (rules.mult * scale));
  max_ = min_ * rules.max_mult;
  // Too few others to ever confirm: waiting for them would only be slow.
  if (members < static_cast<std::size_t>(wanted_) + 2) wanted_ = 0;
  accusers_.insert(std::move(from));
}

bool Suspicion::confirm(const std::string& from) {
  if (confirmations() >= wanted_) return false;
  return accusers_.insert(from).second;
}

Instant Suspicion::deadline() const {
  if (wanted_ == 0) return start_ + min_;
  const double heard = std::log(confirmations() + 1.0) / std::log(wanted_ + 1.0);
  const auto spread = std::chrono::duration_cast<Duration>((max_ - min_) * heard);
  return start_ + std::max(min_, max_ - spread);
}

}  // namespace fyr::agent
