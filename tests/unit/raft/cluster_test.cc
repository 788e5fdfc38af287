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

}  // namespace
}  // namespace fyr::raft
