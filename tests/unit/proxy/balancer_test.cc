#include "proxy/balancer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "proxy/latency.h"

namespace fyr::proxy {
namespace {

struct Candidates {
  explicit Candidates(std::vector<int> the_weights)
      : weights(std::move(the_weights)), credits(weights.size()) {}
  std::size_t pick() {
    return pick_round_robin(
        weights.size(), [&](std::size_t i) { return weights[i]; },
        [&](std::size_t i) -> RoundRobinCredit& { return credits[i]; });
  }
  std::vector<int> weights;
  std::vector<RoundRobinCredit> credits;
};

TEST(RoundRobin, EqualWeightsTakeTurns) {
  Candidates c({1, 1, 1});
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(c.pick(), 0u);
    EXPECT_EQ(c.pick(), 1u);
    EXPECT_EQ(c.pick(), 2u);
  }
}

TEST(RoundRobin, rr_weights) {
  Candidates c({3, 1});
  int first = 0;
  for (int i = 1; i <= 4000; ++i) {
    if (c.pick() == 0) ++first;
    EXPECT_NEAR(first, i * 0.75, 1.0) << i;  // within one of exact at any moment
  }
  EXPECT_EQ(first, 3000);
}

TEST(RoundRobin, HeavyWeightsAreSpreadNotBunched) {
  Candidates c({5, 1, 1});
  std::string order;
  for (int i = 0; i < 7; ++i) order += static_cast<char>('a' + c.pick());
  EXPECT_EQ(order, "aabacaa");
}

TEST(RoundRobin, weight_zero) {
  Candidates c({0, 2, 0});
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.pick(), 1u);
  c.weights = {0, 0, 0};
  EXPECT_EQ(c.pick(), kNothingPicked);
}

TEST(RoundRobin, ReturningCandidateHasNoStoredBurst) {
  Candidates c({1, 1});
  c.weights[0] = 0;
  for (int i = 0; i < 1000; ++i) c.pick();
  c.weights[0] = 1;
  int first = 0;
  for (int i = 0; i < 10; ++i) first += c.pick() == 0 ? 1 : 0;
  EXPECT_NEAR(first, 5, 1);
}

TEST(RoundRobin, SharesStayExactWhileCandidatesComeAndGo) {
  Random random(7);
  Candidates c({1, 2, 4, 8});
  for (int i = 0; i < 10000; ++i) {
    const auto at = random.below(4);
    c.weights[at] = random.chance(0.5) ? 0 : 1 << at;
    const auto picked = c.pick();
    if (picked != kNothingPicked) {
      ASSERT_GT(c.weights[picked], 0);
    }
  }
  c.weights = {1, 2, 4, 8};
  std::vector<int> counts(4);
  for (int i = 0; i < 15 * 100; ++i) ++counts[c.pick()];
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(counts[static_cast<std::size_t>(i)], 100 << i, 16) << i;
}

TEST(Latency, QuantilesAreWithinABucket) {
  LatencyHistogram h;
  EXPECT_EQ(h.quantile(0.99), Duration::zero());
  for (int i = 0; i < 990; ++i) h.add(std::chrono::milliseconds(1));
  for (int i = 0; i < 10; ++i) h.add(std::chrono::milliseconds(100));
  const auto p50 = std::chrono::duration<double, std::milli>(h.quantile(0.5)).count();
  const auto p995 = std::chrono::duration<double, std::milli>(h.quantile(0.995)).count();
  EXPECT_GE(p50, 1);
  EXPECT_LE(p50, 1.3);
  EXPECT_GE(p995, 100);
  EXPECT_LE(p995, 130);
}

TEST(Latency, OldSamplesFade) {
  LatencyHistogram h;
  for (int i = 0; i < 5000; ++i) h.add(std::chrono::milliseconds(500));
  for (int i = 0; i < 40000; ++i) h.add(std::chrono::milliseconds(1));
  EXPECT_LT(h.quantile(0.95), std::chrono::milliseconds(2));
}

}  // namespace
}  // namespace fyr::proxy
