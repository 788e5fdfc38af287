// Several nodes over a network without delay: elections and replication as a whole.
#include "tests/unit/raft/cluster.h"

namespace fyr::raft {
namespace {

TEST(RaftCluster, ThreeNodesElectOneLeaderAndReplicate) {
  Cluster c(3);
  const std::uint64_t leader = c.elect();
  ASSERT_NE(leader, 0u);
  const ProposalResult result = c.propose(leader, "hello");
  ASSERT_FALSE(result.refused);
  c.run(20);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(c[id].soft.applied, result.index) << id;
    EXPECT_EQ(*c[id].disk.entries.at(result.index).data, "hello");
    EXPECT_EQ(c[id].soft.leader, NodeId(leader));
  }
}

// el-whole-cluster-restart, el-two-nodes, el-four-nodes-even-majority.
TEST(RaftCluster, EverySizeElectsALeaderWithinThreeSeconds) {
  for (std::uint64_t count = 1; count <= 7; ++count) {
    Cluster c(count);
    EXPECT_TRUE(c.run_until([&] { return c.leader() != 0; }, 3'000)) << count;
    const ProposalResult result = c.propose(c.leader());
    c.run(20);
    for (std::uint64_t id = 1; id <= count; ++id) EXPECT_EQ(c[id].soft.applied, result.index);
  }
}

TEST(RaftCluster, ANewLeaderTakesOverWithEverythingAcknowledged) {
  Cluster c(3);
  for (int round = 0; round < 5; ++round) {
    const std::uint64_t old = c.elect();
    const Index index = c.propose(old, std::to_string(round)).index;
    c.run(20);
    EXPECT_GE(c[old].soft.applied, index);
    c.stop(old);
    ASSERT_TRUE(c.run_until([&] { return c.leader() != 0; }, 2'500));
    EXPECT_EQ(*c[c.leader()].disk.entries.at(index).data, std::to_string(round));
    c.start(old);
    c.run(1'500);
  }
}

// Trap W6: two data servers and a witness.
class RaftWitness : public ::testing::Test {
 protected:
  static Configuration two_and_a_witness() {
    Configuration c = voters(3);
    c.members[2].kind = MemberKind::Witness;
    return c;
  }
  static CoreConfig small_log() {
    CoreConfig config;
    config.retention = {.entries = 50, .bytes = 1 << 20, .step_entries = 20, .step_bytes = 1 << 20};
    return config;
  }
  Cluster c{two_and_a_witness(), small_log()};
};

TEST_F(RaftWitness, WhatOneDataServerAndTheWitnessAcknowledgedSurvivesThatServer) {
  const std::uint64_t first = c.elect();
  ASSERT_NE(first, 3u) << "a witness leads last";
  const std::uint64_t other = 3 - first;
  c.run(500);
  c.isolate(other);
  const Index index = c.propose(first, "kept").index;
  c.run(50);
  ASSERT_GE(c[first].soft.applied, index) << "acknowledged";
  c.stop(first);
  c.heal();
  const std::int64_t two_timeouts = 2 * (700 + 2 * 400 + 400);
  ASSERT_TRUE(c.run_until([&] { return c.leader() == other; }, two_timeouts));
  ASSERT_TRUE(c.run_until([&] { return c[other].soft.applied >= index; }, 1'000));
  EXPECT_EQ(*c[other].disk.entries.at(index).data, "kept");
}

TEST_F(RaftWitness, ItKeepsTheLogUntilEveryDataServerHasIt) {
  const std::uint64_t leader = c.elect();
  const std::uint64_t other = 3 - leader;
  c.run(500);
  c.isolate(other);
  for (int i = 0; i < 200; ++i) {
    c.propose(leader);
    c.run(10);
  }
  EXPECT_GT(c.view(leader).base, c.view(other).last) << "a data server has its state";
  EXPECT_LE(c.view(3).base, c.view(other).last);
}

TEST_F(RaftWitness, ItForgetsWhatEveryDataServerHas) {
  const std::uint64_t leader = c.elect();
  for (int i = 0; i < 200; ++i) {
    c.propose(leader);
    c.run(10);
  }
  EXPECT_GT(c.view(3).base.value + 20, c.view(3).last.value);
}

}  // namespace
}  // namespace fyr::raft
