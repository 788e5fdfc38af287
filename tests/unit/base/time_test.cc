#include "base/time.h"

#include <gtest/gtest.h>

namespace fyr {
namespace {

using namespace std::chrono_literals;

TEST(ParseDuration, ReadsWhatGoReads) {
  const std::pair<const char*, Duration> cases[] = {{"0", 0s},
                                                    {"0s", 0s},
                                                    {"5s", 5s},
                                                    {"1m30s", 90s},
                                                    {"10.5s", 10500ms},
                                                    {"150ms", 150ms},
                                                    {"-2h", -2h},
                                                    {"+1h15m", 75min},
                                                    {"1us", 1us},
                                                    {"1µs", 1us},
                                                    {"1μs", 1us},
                                                    {".5s", 500ms},
                                                    {"1.s", 1s},
                                                    {"100ns", 100ns},
                                                    {"2h45m0.5s", 9900500ms},
                                                    {"9223372036854775807ns", Duration(INT64_MAX)},
                                                    {"-9223372036854775808ns", Duration(INT64_MIN)},
                                                    {"0.3333333333333333333h", 20min}};
  for (const auto& [text, expected] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, expected) << text;
  }
}

TEST(ParseDuration, RefusesInGosWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "time: invalid duration \"\""},
      {"abc", "time: invalid duration \"abc\""},
      {"-", "time: invalid duration \"-\""},
      {".s", "time: invalid duration \".s\""},
      {"5", "time: missing unit in duration \"5\""},
      {"5 s", "time: unknown unit \" s\" in duration \"5 s\""},
      {"5x", "time: unknown unit \"x\" in duration \"5x\""},
      {"9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""},
      {"300000000h", "time: invalid duration \"300000000h\""},
      {"99999999999999999999s", "time: invalid duration \"99999999999999999999s\""}};
  for (const auto& [text, message] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().message, message);
  }
}

TEST(FormatDuration, WritesWhatGoWrites) {
  const std::pair<Duration, const char*> cases[] = {
      {0s, "0s"},
      {1ns, "1ns"},
      {1100ns, "1.1µs"},
      {2200us, "2.2ms"},
      {3300ms, "3.3s"},
      {90s, "1m30s"},
      {10500ms, "10.5s"},
      {150ms, "150ms"},
      {-2h, "-2h0m0s"},
      {3600s, "1h0m0s"},
      {245s + 1ms, "4m5.001s"},
      {100h, "100h0m0s"},
      {Duration(INT64_MIN), "-2562047h47m16.854775808s"}};
  for (const auto& [duration, text] : cases) EXPECT_EQ(format_duration(duration), text);
}

TEST(FormatTime, TrimsTheFraction) {
  const auto at = [](std::int64_t seconds, std::int64_t nanoseconds) {
    return format_time(WallTime(std::chrono::seconds(seconds) + Duration(nanoseconds)));
  };
  EXPECT_EQ(at(0, 0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(at(1700000000, 120000000), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(at(1700000000, 1), "2023-11-14T22:13:20.000000001Z");
  EXPECT_EQ(at(-1, 500000000), "1969-12-31T23:59:59.5Z");
}

TEST(BootClock, NeverGoesBack) {
  auto last = now();
  for (int i = 0; i < 1000; ++i) {
    const auto next = now();
    ASSERT_GE(next, last);
    last = next;
  }
}

}  // namespace
}  // namespace fyr
