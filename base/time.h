// Time. Cores get `Instant` as an argument and never ask; drivers call `now()`.
//
// Instant: monotonic, counts suspended time (CLOCK_BOOTTIME), nanoseconds, meaningful only within
// this boot. WallTime: UTC, for stamps and logs only; nothing is decided by comparing it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr {

using Duration = std::chrono::nanoseconds;

struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};

using Instant = BootClock::time_point;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

Instant now();
WallTime wall_now();

// Durations as Go writes them: "1m30s", "10.5s", "150ms", "0s", "-2h".
Result<Duration> parse_duration(
    std::string_view text);  // error text as Go's: time: invalid duration "abc"
std::string format_duration(Duration duration);

// RFC 3339 in UTC with up to nine digits of fraction, as Go's time.RFC3339Nano.
std::string format_time(WallTime time);

}  // namespace fyr
