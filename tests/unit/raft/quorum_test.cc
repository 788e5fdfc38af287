// Quorum arithmetic against its definition: some majority of each voter set has it.
#include "raft/quorum.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>

#include "base/random.h"

namespace fyr::raft {
namespace {

using Values = std::map<NodeId, int>;

// The highest value v such that more than half of the voters have at least v, by trying all.
int by_definition(const std::vector<NodeId>& voters, const Values& values) {
  int best = 0;
  for (int v = 1; v <= 9; ++v) {
    std::size_t reached = 0;
    for (const NodeId id : voters) reached += values.at(id) >= v ? 1 : 0;
    if (2 * reached > voters.size()) best = v;
  }
  return best;
}

std::vector<NodeId> subset(unsigned mask) {
  std::vector<NodeId> out;
  for (std::uint64_t i = 0; i < 7; ++i) {
    if (mask >> i & 1) out.emplace_back(i + 1);
  }
  return out;
}

TEST(Quorum, MatchesTheDefinitionForEverySetAndJointPairOfUpToSevenVoters) {
  Random random(1);
  for (unsigned incoming = 0; incoming < 128; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 128; ++outgoing) {
      Configuration c;
      c.voters = subset(incoming);
      c.outgoing = subset(outgoing);
      c.learners = subset(127 & ~incoming & ~outgoing);
      Values values;
      for (const NodeId id : subset(127)) values[id] = static_cast<int>(random.below(10));
      const int expected = outgoing == 0 ? by_definition(c.voters, values)
                                         : std::min(by_definition(c.voters, values),
                                                    by_definition(c.outgoing, values));
      const auto value_of = [&](NodeId id) { return values.at(id); };
      ASSERT_EQ(quorum_value(c, value_of, 0), expected) << incoming << " " << outgoing;
      for (int v = 1; v <= 9; ++v) {
        const auto has = [&](NodeId id) { return values.at(id) >= v; };
        ASSERT_EQ(quorum_agrees(c, has), expected >= v) << incoming << " " << outgoing;
      }
    }
  }
}

TEST(Quorum, AnyTwoQuorumsOfAConfigurationMeet) {
  for (unsigned voters = 1; voters < 128; ++voters) {
    Configuration c;
    c.voters = subset(voters);
    for (unsigned a = 0; a < 128; ++a) {
      const auto in = [](unsigned mask) {
        return [mask](NodeId id) { return (mask >> (id.value - 1) & 1) != 0; };
      };
      if (quorum_agrees(c, in(a))) {
        EXPECT_FALSE(quorum_agrees(c, in(~a))) << voters << " " << a;
      }
    }
  }
}

TEST(Quorum, NeedsMoreThanHalfOfAnEvenNumber) {
  EXPECT_EQ(majority(1), 1u);
  EXPECT_EQ(majority(2), 2u);
  EXPECT_EQ(majority(3), 2u);
  EXPECT_EQ(majority(4), 3u);
}

TEST(Quorum, OfNobodyDecidesNothing) {
  EXPECT_FALSE(quorum_agrees(Configuration{}, [](NodeId) { return true; }));
}

}  // namespace
}  // namespace fyr::raft
