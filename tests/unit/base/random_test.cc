#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace fyr {
namespace {

TEST(Random, RepeatsItselfFromTheSameSeed) {
  Random a(42);
  Random b(42);
  Random c(43);
  for (int i = 0; i < 100; ++i) {
    const auto value = a.next();
    EXPECT_EQ(value, b.next());
    EXPECT_NE(value, c.next());
  }
}

// Fixed for good: simulations and their recorded seeds depend on it.
TEST(Random, KeepsItsSequenceBetweenVersions) {
  Random random(1);
  for (const auto expected :
       {12966619160104079557ull, 9600361134598540522ull, 10590380919521690900ull,
        7218738570589545383ull, 12860671823995680371ull, 2648436617965840162ull}) {
    EXPECT_EQ(random.next(), expected);
  }
}

TEST(Random, StaysBelowTheBoundAndReachesAllValues) {
  Random random(7);
  std::array<int, 6> seen{};
  for (int i = 0; i < 60000; ++i) ++seen.at(random.below(6));
  for (const auto count : seen) EXPECT_NEAR(count, 10000, 500);
}

TEST(Random, GivesDurationsInTheHalfOpenRange) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const auto value = random.between(Duration(5), Duration(8));
    EXPECT_GE(value.count(), 5);
    EXPECT_LT(value.count(), 8);
  }
  EXPECT_EQ(random.between(Duration(5), Duration(5)), Duration(5));
}

TEST(Random, ShuffleKeepsAllItems) {
  Random random(7);
  std::vector<int> items(100);
  std::iota(items.begin(), items.end(), 0);
  const auto sorted = items;
  random.shuffle(std::span(items));
  EXPECT_NE(items, sorted);
  std::sort(items.begin(), items.end());
  EXPECT_EQ(items, sorted);
}

TEST(Random, UnitStaysBelowOne) {
  Random random(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const auto value = random.unit();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

}  // namespace
}  // namespace fyr
