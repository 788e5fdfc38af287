#include "proxy/retry_budget.h"

#include <gtest/gtest.h>

namespace fyr::proxy {
namespace {

const Instant kStart{std::chrono::seconds(1000)};
using std::chrono::seconds;

int withdraw_all(RetryBudget& budget, Instant now) {
  int count = 0;
  while (count < 100000 && budget.try_withdraw(now)) ++count;
  return count;
}

TEST(RetryBudget, FloorIsThereWithoutTraffic) {
  RetryBudget budget(0.2, 10, seconds(10));
  EXPECT_EQ(withdraw_all(budget, kStart), 100);
}

TEST(RetryBudget, ShareOfTheTrafficIsAdded) {
  RetryBudget budget(0.2, 10, seconds(10));
  budget.observe(kStart, 1000);
  EXPECT_EQ(withdraw_all(budget, kStart), 300);
  budget.observe(kStart, 1000);
  EXPECT_EQ(withdraw_all(budget, kStart), 0);
}

TEST(RetryBudget, WindowSlides) {
  RetryBudget budget(0.2, 10, seconds(10));
  budget.observe(kStart, 1000);
  EXPECT_EQ(withdraw_all(budget, kStart), 300);
  EXPECT_EQ(withdraw_all(budget, kStart + seconds(9)), 0);
  // Requests and withdrawals of then are forgotten together.
  EXPECT_EQ(withdraw_all(budget, kStart + seconds(10)), 100);
  EXPECT_EQ(withdraw_all(budget, kStart + seconds(1000)), 100);
}

// "budget: replays <= 20 % + 10/s" over a long run.
TEST(RetryBudget, LongRunStaysWithinRatioAndFloor) {
  RetryBudget budget(0.2, 10, seconds(10));
  std::uint64_t requests = 0;
  std::uint64_t replays = 0;
  for (int ms = 0; ms < 100000; ms += 10) {
    const Instant now = kStart + std::chrono::milliseconds(ms);
    requests += 5;  // 500/s, all of them want a replay
    budget.observe(now, requests);
    for (int i = 0; i < 5; ++i) replays += budget.try_withdraw(now) ? 1 : 0;
  }
  EXPECT_LE(replays, requests / 5 + 100 * 10 + 200);
  EXPECT_GE(replays, requests / 5);
}

}  // namespace
}  // namespace fyr::proxy
