#include "raft/retention.h"

#include <gtest/gtest.h>

namespace fyr::raft {
namespace {

constexpr RetentionLimits kLimits{
    .entries = 20'000, .bytes = 256ull << 20, .step_entries = 10'000, .step_bytes = 32ull << 20};

void fill(Retention& retention, std::uint64_t from, std::uint64_t to, std::uint64_t bytes) {
  for (std::uint64_t i = from; i <= to; ++i) retention.appended(Index(i), bytes);
}

TEST(Retention, CutsNothingBeforeAWholeStepIsInExcess) {
  Retention retention(kLimits, Index(0));
  fill(retention, 1, 29'999, 100);
  EXPECT_EQ(retention.excess(), std::nullopt);
}

TEST(Retention, LeavesTheLimitOfEntriesBehind) {
  Retention retention(kLimits, Index(0));
  fill(retention, 1, 31'000, 100);
  const auto cut = retention.excess();
  ASSERT_TRUE(cut);
  EXPECT_GE(31'000 - cut->value, 20'000u);
  EXPECT_LE(31'000 - cut->value, 21'001u);
}

TEST(Retention, LeavesTheLimitOfBytesBehindWhenThatIsLess) {
  Retention retention(kLimits, Index(0));
  fill(retention, 1, 400, 1 << 20);
  const auto cut = retention.excess();
  ASSERT_TRUE(cut);
  EXPECT_NEAR(static_cast<double>(400 - cut->value), 256, 2);
}

TEST(Retention, AsksForNothingMoreRightAfterACut) {
  Retention retention(kLimits, Index(500));
  fill(retention, 501, 31'500, 100);
  const auto cut = retention.excess();
  ASSERT_TRUE(cut);
  retention.compacted(*cut);
  EXPECT_EQ(retention.excess(), std::nullopt);
  fill(retention, 31'501, 43'000, 100);
  const auto next = retention.excess();
  ASSERT_TRUE(next);
  EXPECT_GT(*next, *cut);
}

TEST(Retention, FollowsATruncatedTail) {
  Retention retention(kLimits, Index(0));
  fill(retention, 1, 31'000, 100);
  retention.truncated_from(Index(15'500));
  EXPECT_EQ(retention.excess(), std::nullopt);
  fill(retention, 15'500, 25'000, 100);
  EXPECT_EQ(retention.excess(), std::nullopt);
  fill(retention, 25'001, 31'000, 100);
  const auto cut = retention.excess();
  ASSERT_TRUE(cut);
  EXPECT_GE(31'000 - cut->value, 20'000u);
}

TEST(Retention, CountsANewTailFromItsBaseWhenEverythingWasTruncated) {
  Retention retention(kLimits, Index(7));
  fill(retention, 8, 20, 1);
  retention.truncated_from(Index(8));
  fill(retention, 8, 30, 1);
  EXPECT_EQ(retention.excess(), std::nullopt);
}

}  // namespace
}  // namespace fyr::raft
