#include "base/time.h"

#include <time.h>

#include <array>
#include <cstdio>
#include <limits>

#include "base/check.h"

namespace fyr {
namespace {

Duration read_clock(clockid_t clock) {
  timespec ts{};
  CHECK(clock_gettime(clock, &ts) == 0);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

constexpr std::uint64_t kMaxMagnitude = std::uint64_t{1} << 63;

struct Unit {
  std::string_view name;
  std::uint64_t nanoseconds;
};
constexpr std::array<Unit, 8> kUnits = {{
    {"ns", 1},
    {"us", 1000},
    {"\u00b5s", 1000},  // micro sign
    {"\u03bcs", 1000},  // Greek letter mu
    {"ms", 1000 * 1000},
    {"s", 1000ull * 1000 * 1000},
    {"m", 60ull * 1000 * 1000 * 1000},
    {"h", 3600ull * 1000 * 1000 * 1000},
}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 128)) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return out + '"';
}

Error bad_duration(std::string_view text) {
  return fail(ErrorCode::InvalidArgument, "time: invalid duration " + quoted(text));
}

// One "12.5ms" at the front of `rest`, which is advanced. nullopt sets `error`.
std::optional<std::uint64_t> take_term(std::string_view& rest, std::string_view whole,
                                       Error& error) {
  error = bad_duration(whole);
  std::uint64_t integer = 0;
  std::size_t digits = 0;
  for (; digits < rest.size() && is_digit(rest[digits]); ++digits) {
    if (integer > kMaxMagnitude / 10) return std::nullopt;
    integer = integer * 10 + static_cast<std::uint64_t>(rest[digits] - '0');
  }
  rest.remove_prefix(digits);
  std::uint64_t fraction = 0;
  double scale = 1;
  std::size_t fraction_digits = 0;
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    for (; fraction_digits < rest.size() && is_digit(rest[fraction_digits]); ++fraction_digits) {
      if (fraction > (kMaxMagnitude - 1) / 10) continue;  // finer than any unit can show
      fraction = fraction * 10 + static_cast<std::uint64_t>(rest[fraction_digits] - '0');
      scale *= 10;
    }
    rest.remove_prefix(fraction_digits);
  }
  if (digits + fraction_digits == 0) return std::nullopt;

  std::size_t length = 0;
  while (length < rest.size() && rest[length] != '.' && !is_digit(rest[length])) ++length;
  const auto name = rest.substr(0, length);
  rest.remove_prefix(length);
  if (name.empty()) {
    error = fail(ErrorCode::InvalidArgument, "time: missing unit in duration " + quoted(whole));
    return std::nullopt;
  }
  for (const auto& unit : kUnits) {
    if (unit.name != name) continue;
    if (integer > kMaxMagnitude / unit.nanoseconds) return std::nullopt;
    const auto part = static_cast<std::uint64_t>(static_cast<double>(fraction) *
                                                 (static_cast<double>(unit.nanoseconds) / scale));
    const auto total = integer * unit.nanoseconds + part;
    if (total > kMaxMagnitude) return std::nullopt;
    return total;
  }
  error = fail(ErrorCode::InvalidArgument,
               "time: unknown unit " + quoted(name) + " in duration " + quoted(whole));
  return std::nullopt;
}

// Appends value / 10^digits without trailing zeros.
void append_decimal(std::string& out, std::uint64_t value, int digits) {
  std::uint64_t divisor = 1;
  for (int i = 0; i < digits; ++i) divisor *= 10;
  out += std::to_string(value / divisor);
  auto fraction = std::to_string(value % divisor);
  if (value % divisor == 0) return;
  fraction.insert(0, static_cast<std::size_t>(digits) - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  out += '.';
  out += fraction;
}

}  // namespace

BootClock::time_point BootClock::now() noexcept {
  return time_point(read_clock(CLOCK_BOOTTIME));
}

Instant now() {
  return BootClock::now();
}

WallTime wall_now() {
  return WallTime(read_clock(CLOCK_REALTIME));
}

Result<Duration> parse_duration(std::string_view text) {
  auto rest = text;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return Duration::zero();
  if (rest.empty()) return bad_duration(text);
  std::uint64_t total = 0;
  while (!rest.empty()) {
    Error error;
    const auto term = take_term(rest, text, error);
    if (!term) return error;
    total += *term;
    if (total > kMaxMagnitude) return bad_duration(text);
  }
  if (negative) return Duration(static_cast<std::int64_t>(~total + 1));
  if (total > kMaxMagnitude - 1) return bad_duration(text);
  return Duration(static_cast<std::int64_t>(total));
}

std::string format_duration(Duration duration) {
  const auto count = duration.count();
  if (count == 0) return "0s";
  std::string out;
  auto magnitude = static_cast<std::uint64_t>(count);
  if (count < 0) {
    out += '-';
    magnitude = ~magnitude + 1;
  }
  if (magnitude < 1000) return out + std::to_string(magnitude) + "ns";
  if (magnitude < 1000 * 1000) {
    append_decimal(out, magnitude, 3);
    return out + "\u00b5s";
  }
  if (magnitude < 1000ull * 1000 * 1000) {
    append_decimal(out, magnitude, 6);
    return out + "ms";
  }
  constexpr auto kMinute = 60ull * 1000 * 1000 * 1000;
  constexpr auto kHour = 60 * kMinute;
  if (magnitude >= kHour) out += std::to_string(magnitude / kHour) + "h";
  if (magnitude >= kMinute) out += std::to_string(magnitude % kHour / kMinute) + "m";
  append_decimal(out, magnitude % kMinute, 9);
  return out + "s";
}

std::string format_time(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const time_t whole = seconds.count();
  tm fields{};
  CHECK(gmtime_r(&whole, &fields) != nullptr);
  char text[64];
  const auto length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &fields);
  std::string out(text, length);
  const auto fraction = (since_epoch - seconds).count();
  if (fraction != 0) {
    std::string decimal;
    append_decimal(decimal, static_cast<std::uint64_t>(fraction), 9);
    out += decimal.substr(1);  // without the leading "0"
  }
  return out + 'Z';
}

}  // namespace fyr
