// The rules of balance besides round robin, and consistent hashing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <string>
#include <vector>

#include "proxy/balancer.h"
#include "proxy/hash_table.h"

namespace fyr::proxy {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

const Instant kStart{std::chrono::seconds(1000)};

TEST(Balance, least_request) {
  Random random(11);
  std::vector<int> active(8);
  // Filled up without answers, nobody gets away from the others.
  for (int i = 0; i < 8000; ++i) {
    ++active[pick_of_two(
        active.size(), random, [](std::size_t) { return 1; },
        [&](std::size_t k) { return active[k] + 1; })];
  }
  EXPECT_LE(*std::max_element(active.begin(), active.end()) - 1000, 4);
  EXPECT_LE(1000 - *std::min_element(active.begin(), active.end()), 8);
}

TEST(Balance, LeastConnIsWithinTwoOfEvenAndFollowsWeights) {
  std::vector<int> active(4);
  for (std::size_t turn = 0; turn < 403; ++turn) {
    ++active[pick_least(
        4, turn, [](std::size_t) { return 1; }, [&](std::size_t k) { return active[k] + 1; })];
  }
  EXPECT_LE(*std::max_element(active.begin(), active.end()) -
                *std::min_element(active.begin(), active.end()),
            2);
  active.assign(2, 0);
  const std::array<int, 2> weights{3, 1};
  for (std::size_t turn = 0; turn < 400; ++turn) {
    ++active[pick_least(
        2, turn, [&](std::size_t k) { return weights[k]; },
        [&](std::size_t k) { return active[k] + 1; })];
  }
  EXPECT_NEAR(active[0], 300, 2);
}

TEST(Balance, IdleEndpointsTakeTurnsUnderLeastConn) {
  std::vector<int> picked(3);
  for (std::size_t turn = 0; turn < 30; ++turn) {
    ++picked[pick_least(
        3, turn, [](std::size_t) { return 1; }, [](std::size_t) { return 1; })];
  }
  EXPECT_THAT(picked, ElementsAre(10, 10, 10));
}

TEST(Balance, ewma_slow) {
  Random random(5);
  std::array<PeakEwma, 3> recent;
  const std::array<std::int64_t, 3> takes_ms{1, 1, 50};
  std::array<int, 3> picked{};
  Instant now = kStart;
  for (int i = 0; i < 3000; ++i) {
    const auto at = pick_of_two(
        3, random, [](std::size_t) { return 1; },
        [&](std::size_t k) { return recent[k].value(now); });
    ++picked[at];
    recent[at].add(now, std::chrono::milliseconds(takes_ms[at]));
    now += std::chrono::milliseconds(2);
  }
  EXPECT_LT(picked[2], 300);
}

TEST(Balance, APeakCountsAtOnceAndFades) {
  PeakEwma recent;
  for (int i = 0; i < 10; ++i) recent.add(kStart, std::chrono::milliseconds(1));
  recent.add(kStart, std::chrono::milliseconds(100));
  EXPECT_EQ(recent.value(kStart), 100e6);
  EXPECT_LT(recent.value(kStart + std::chrono::seconds(60)), 1e6);
}

TEST(Balance, RandomFollowsWeights) {
  Random random(3);
  const std::array<int, 3> weights{1, 0, 3};
  std::array<int, 3> picked{};
  for (int i = 0; i < 8000; ++i) {
    ++picked[pick_random(3, random, [&](std::size_t k) { return weights[k]; })];
  }
  EXPECT_EQ(picked[1], 0);
  EXPECT_NEAR(picked[2], 6000, 200);
}

TEST(Balance, EveryRuleSkipsWhatHasNoWeightAndPicksNothingFromNothing) {
  Random random(1);
  const auto none = [](std::size_t) { return 0; };
  const auto only_1 = [](std::size_t i) { return i == 1 ? 1 : 0; };
  const auto same = [](std::size_t) { return 1; };
  EXPECT_EQ(pick_least(3, 0, none, same), kNothingPicked);
  EXPECT_EQ(pick_of_two(3, random, none, same), kNothingPicked);
  EXPECT_EQ(pick_random(3, random, none), kNothingPicked);
  EXPECT_EQ(pick_first(3, none, same), kNothingPicked);
  EXPECT_EQ(pick_least(0, 0, none, same), kNothingPicked);
  EXPECT_EQ(pick_least(3, 2, only_1, same), 1u);
  EXPECT_EQ(pick_of_two(3, random, only_1, same), 1u);
  EXPECT_EQ(pick_random(3, random, only_1), 1u);
  EXPECT_EQ(pick_first(3, only_1, same), 1u);
}

TEST(Balance, FirstIsTheLowestRank) {
  const std::array<int, 3> ranks{2, 1, 1};
  EXPECT_EQ(pick_first(
                3, [](std::size_t) { return 1; }, [&](std::size_t i) { return ranks[i]; }),
            1u);
}

// ---- consistent hashing -------------------------------------------------------------------------

std::vector<HashMember> members_of(int count) {
  std::vector<HashMember> members;
  for (int i = 0; i < count; ++i) {
    members.push_back({"node" + std::to_string(i) + "/web@10.0.0." + std::to_string(i) + ":80", 1});
  }
  return members;
}

std::vector<std::string> owners(const HashTable& table, const std::vector<HashMember>& members) {
  std::vector<std::string> out;
  for (int k = 0; k < 20000; ++k) {
    const auto at =
        table.pick(hash_of("key" + std::to_string(k)), [](std::size_t) { return true; });
    out.push_back(members[at].name);
  }
  return out;
}

TEST(HashTable, ring_maglev) {
  for (const auto make : {&HashTable::ring, &HashTable::maglev}) {
    const auto before = members_of(10);
    auto after = before;
    after.erase(after.begin() + 4);
    const auto a = owners(*make(before), before);
    const auto b = owners(*make(after), after);
    int moved = 0;
    for (std::size_t i = 0; i < a.size(); ++i) moved += a[i] != b[i] ? 1 : 0;
    EXPECT_LE(moved, 20000 * (0.1 + 0.02));
    EXPECT_GT(moved, 0);
  }
}

TEST(HashTable, SharesFollowWeights) {
  for (const auto make : {&HashTable::ring, &HashTable::maglev}) {
    auto members = members_of(3);
    members[1].weight = 0;
    members[2].weight = 3;
    const auto names = owners(*make(members), members);
    EXPECT_EQ(std::count(names.begin(), names.end(), members[1].name), 0);
    const auto share = std::count(names.begin(), names.end(), members[2].name) / 20000.0;
    EXPECT_NEAR(share, 0.75, 0.05);
  }
}

TEST(HashTable, OnlyTheKeysOfAnEndpointThatIsOutGoElsewhere) {
  for (const auto make : {&HashTable::ring, &HashTable::maglev}) {
    const auto members = members_of(5);
    const auto table = make(members);
    std::array<int, 5> refugees{};
    for (int k = 0; k < 5000; ++k) {
      const auto key = hash_of("k" + std::to_string(k));
      const auto home = table->pick(key, [](std::size_t) { return true; });
      const auto now = table->pick(key, [](std::size_t i) { return i != 2; });
      if (home == 2) {
        ++refugees[now];
      } else {
        EXPECT_EQ(now, home);
      }
    }
    EXPECT_EQ(refugees[2], 0);
    for (const std::size_t i : {0u, 1u, 3u, 4u}) EXPECT_GT(refugees[i], 50);  // not all to one
  }
}

TEST(HashTable, FindsTheLastUsableOneAndNobody) {
  const auto members = members_of(40);
  for (const auto make : {&HashTable::ring, &HashTable::maglev}) {
    const auto table = make(members);
    for (std::uint64_t key = 0; key < 50; ++key) {
      EXPECT_EQ(table->pick(hash_of(std::to_string(key)), [](std::size_t i) { return i == 17; }),
                17u);
      EXPECT_EQ(table->pick(key, [](std::size_t) { return false; }), kNothingPicked);
    }
    EXPECT_EQ(make({})->pick(1, [](std::size_t) { return true; }), kNothingPicked);
  }
}

// ---- sites, slow start --------------------------------------------------------------------------

TEST(TierShares, site_spill) {
  const auto shares = [](std::vector<TierHealth> tiers) { return tier_shares(tiers, 1.4); };
  EXPECT_THAT(shares({{3, 4}, {4, 4}}), ElementsAre(1.0, 0.0));
  EXPECT_THAT(shares({{1, 2}, {4, 4}}), ElementsAre(DoubleNear(0.7, 1e-9), DoubleNear(0.3, 1e-9)));
  EXPECT_THAT(shares({{0, 4}, {4, 4}}), ElementsAre(0.0, 1.0));
  EXPECT_THAT(shares({{0, 0}, {1, 1}}), ElementsAre(0.0, 1.0));
  EXPECT_THAT(shares({{0, 2}, {0, 2}}), ElementsAre(0.0, 0.0));
}

TEST(TierShares, ShortSitesShareInProportion) {
  const auto shares = tier_shares(std::vector<TierHealth>{{1, 4}, {1, 4}}, 1.4);
  EXPECT_NEAR(shares[0] + shares[1], 1, 1e-9);
  EXPECT_NEAR(shares[0], 0.35 / (0.35 + 0.65 * 0.35), 1e-9);
}

TEST(SlowStart, slow_start) {
  const auto share = [](int ms, double aggression) {
    return slow_start_share(std::chrono::milliseconds(ms), std::chrono::seconds(10), aggression,
                            0.1);
  };
  EXPECT_EQ(share(0, 1), 0.1);
  EXPECT_EQ(share(500, 1), 0.1);
  EXPECT_NEAR(share(5000, 1), 0.5, 1e-9);
  EXPECT_GT(share(5000, 2), 0.7);
  EXPECT_EQ(share(10000, 1), 1);
  EXPECT_EQ(slow_start_share(Duration::zero(), Duration::zero(), 1, 0.1), 1);
}

}  // namespace
}  // namespace fyr::proxy
