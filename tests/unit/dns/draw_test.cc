#include <gtest/gtest.h>

#include <map>
#include <set>

#include "server/dns/scratch.h"

namespace fyr::dns {
namespace {

TEST(DnsDraw, GivesEveryNumberOnce) {
  Draw::Space space;
  Random random(1);
  Draw draw(space, 10, random);
  std::set<std::uint32_t> seen;
  while (const auto i = draw.next()) EXPECT_TRUE(seen.insert(*i).second);
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(*seen.rbegin(), 9u);
}

TEST(DnsDraw, LeavesTheSpaceInOrderForAServiceOfAnotherSize) {
  Draw::Space space;
  Random random(2);
  for (const std::size_t count : {5u, 100u, 3u, 0u, 100u, 1u}) {
    {
      Draw draw(space, count, random);
      for (int i = 0; i < 3; ++i) draw.next();
    }
    for (std::size_t i = 0; i < space.order.size(); ++i) ASSERT_EQ(space.order[i], i);
  }
}

// Chi-square over all ordered choices of 3 of 5: 59 degrees of freedom, 99.9 % below 98.3.
TEST(DnsDraw, EveryOrderOfEveryChoiceIsEquallyLikely) {
  Draw::Space space;
  Random random(3);
  std::map<std::array<std::uint32_t, 3>, int> counts;
  constexpr int kRounds = 60000;
  for (int round = 0; round < kRounds; ++round) {
    Draw draw(space, 5, random);
    std::array<std::uint32_t, 3> choice{};
    for (auto& one : choice) one = *draw.next();
    ++counts[choice];
  }
  ASSERT_EQ(counts.size(), 60u);
  const double expected = kRounds / 60.0;
  double chi_square = 0;
  for (const auto& [choice, count] : counts)
    chi_square += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi_square, 98.3);
}

TEST(DnsSeenBytes, KnowsEqualContentAtOtherPlaces) {
  SeenBytes seen;
  const std::string message = "abcdabcdabce";
  seen.reset(4);
  EXPECT_TRUE(seen.insert(message, 0, 4));
  EXPECT_FALSE(seen.insert(message, 4, 4));
  EXPECT_TRUE(seen.insert(message, 8, 4));
  EXPECT_TRUE(seen.insert(message, 0, 3));
  seen.reset(4);
  EXPECT_TRUE(seen.insert(message, 4, 4));
}

TEST(DnsSeenBytes, HoldsAsManyAsPromised) {
  SeenBytes seen;
  std::string message;
  for (int i = 0; i < 4000; ++i)
    message += {static_cast<char>(i >> 8), static_cast<char>(i), 'x', 'y'};
  for (const int count : {3, 4000, 10}) {
    seen.reset(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i)
      EXPECT_TRUE(seen.insert(message, 4 * static_cast<std::size_t>(i), 4));
    for (int i = 0; i < count; ++i)
      EXPECT_FALSE(seen.insert(message, 4 * static_cast<std::size_t>(i), 4));
  }
}

}  // namespace
}  // namespace fyr::dns
