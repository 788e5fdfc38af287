#include "base/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fyr::metrics {
namespace {

TEST(Metrics, GiveTheSameSeriesForTheSameName) {
  auto& first = counter("test.same");
  EXPECT_EQ(&counter("test.same"), &first);
  EXPECT_NE(&counter("test.same", {{"a", "b"}}), &first);
}

TEST(Metrics, AreReadSortedWithTheirValues) {
  counter("test.read.b").add(3);
  gauge("test.read.a", {{"x", "1"}}).set(2.5);
  const auto all = read_all();
  const auto at = [&all](std::string_view name) {
    return std::find_if(all.begin(), all.end(), [name](const auto& r) { return r.name == name; });
  };
  ASSERT_NE(at("test.read.a"), all.end());
  ASSERT_NE(at("test.read.b"), all.end());
  EXPECT_LT(at("test.read.a"), at("test.read.b"));
  EXPECT_EQ(at("test.read.a")->value, 2.5);
  EXPECT_FALSE(at("test.read.a")->is_counter);
  EXPECT_EQ(at("test.read.b")->value, 3);
  EXPECT_TRUE(at("test.read.b")->is_counter);
}

TEST(Metrics, ASampleSumsUpWhatItWasGiven) {
  auto& sample = metrics::sample("test.sample");
  EXPECT_EQ(&metrics::sample("test.sample"), &sample);
  for (const double value : {3.0, 1.0, 2.0}) sample.add(value);
  const auto all = read_samples();
  const auto found =
      std::find_if(all.begin(), all.end(), [](const auto& r) { return r.name == "test.sample"; });
  ASSERT_NE(found, all.end());
  EXPECT_EQ(found->summary.count, 3u);
  EXPECT_EQ(found->summary.sum, 6);
  EXPECT_EQ(found->summary.square_sum, 14);
  EXPECT_EQ(found->summary.min, 1);
  EXPECT_EQ(found->summary.max, 3);
}

// Last in the file: it fills the table.
TEST(MetricsLimit, SharesOneSeriesBeyondTenThousand) {
  for (int i = 0; i < 10001; ++i) counter("test.many", {{"n", std::to_string(i)}});
  EXPECT_EQ(&counter("test.beyond.a"), &counter("test.beyond.b"));
  const auto all = read_all();
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const auto& reading) {
    return reading.name == "fyr.metrics.series_refused" && reading.value > 0;
  }));
}

}  // namespace
}  // namespace fyr::metrics
