#include "server/leader/autopilot.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fyr::server {
namespace {

using namespace std::chrono_literals;
using raft::NodeId;

constexpr NodeId kSelf(1);

struct Cluster {
  AutopilotView view;
  Autopilot autopilot;

  Cluster() {
    view.now = Instant{1h};
    view.self = kSelf;
    view.last = raft::Index(1000);
  }
  raft::Member member(std::uint64_t id) {
    raft::Member m;
    m.id = NodeId(id);
    m.name = "s" + std::to_string(id);
    m.address = m.name + ":8300";
    return m;
  }
  void gossip(std::uint64_t id, bool alive = true) {
    ServerFact fact;
    fact.member = member(id);
    fact.alive = alive;
    view.servers.push_back(fact);
  }
  ServerFact& fact(std::uint64_t id) {
    return *std::ranges::find(view.servers, NodeId(id),
                              [](const ServerFact& f) { return f.member.id; });
  }
  raft::PeerStatus& peer(std::uint64_t id) {
    return *std::ranges::find(view.peers, NodeId(id), &raft::PeerStatus::id);
  }
  // In the cluster and well.
  void add(std::uint64_t id, bool voter = true) {
    view.members.members.push_back(member(id));
    (voter ? view.members.voters : view.members.learners).push_back(NodeId(id));
    gossip(id);
    if (NodeId(id) == kSelf) return;
    raft::PeerStatus status;
    status.id = NodeId(id);
    status.match = view.last;
    view.peers.push_back(status);
  }
  // Who is alive answered just now.
  std::optional<raft::ConfigChange> decide() {
    for (auto& status : view.peers) {
      if (fact(status.id.value).alive) status.last_contact = view.now;
    }
    return autopilot.decide(view);
  }
  std::optional<raft::ConfigChange> decide_after(Duration duration) {
    std::optional<raft::ConfigChange> out;
    for (const Instant end = view.now + duration; view.now < end;) {
      view.now += 1s;
      out = decide();
    }
    return out;
  }
};

std::vector<NodeId> ids(std::initializer_list<std::uint64_t> values) {
  std::vector<NodeId> out;
  for (const auto value : values) out.push_back(NodeId(value));
  return out;
}

TEST(Autopilot, AHealthyClusterIsLeftAlone) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  EXPECT_FALSE(c.decide_after(60s));
  EXPECT_EQ(c.autopilot.failure_tolerance(), 1u);
}

TEST(Autopilot, AServerThatGossipKnowsBecomesALearnerAndLaterAVoter) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.gossip(4);
  const auto taken = c.decide();
  ASSERT_TRUE(taken);
  ASSERT_EQ(taken->put.size(), 1u);
  EXPECT_EQ(taken->put[0].id, NodeId(4));
  EXPECT_TRUE(taken->promote.empty());

  c.view.servers.pop_back();
  c.add(4, false);
  EXPECT_FALSE(c.decide_after(9s));
  const auto promoted = c.decide_after(3s);
  ASSERT_TRUE(promoted);
  EXPECT_EQ(promoted->promote, ids({4}));
}

TEST(Autopilot, ALearnerThatLagsOrWasIllAMomentAgoIsNotPromoted) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.add(4, false);
  c.peer(4).match = raft::Index(c.view.last.value - Autopilot::kMaxLag - 1);
  EXPECT_FALSE(c.decide_after(60s));
  c.peer(4).match = c.view.last;
  EXPECT_TRUE(c.decide_after(1s));
  c.peer(4).quarantined = true;
  EXPECT_FALSE(c.decide_after(1s));
  c.peer(4).quarantined = false;
  EXPECT_FALSE(c.decide_after(9s));
  EXPECT_TRUE(c.decide_after(3s));
}

TEST(Autopilot, AReadServerNeverBecomesAVoter) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.add(4, false);
  c.view.members.members.back().kind = raft::MemberKind::ReadServer;
  c.fact(4).member.kind = raft::MemberKind::ReadServer;
  EXPECT_FALSE(c.decide_after(60s));
}

TEST(Autopilot, ADeadVoterOfThreeStaysUntilItsReplacementCanTakeItsPlace) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.decide();
  c.fact(3).alive = false;
  EXPECT_FALSE(c.decide_after(120s));
  EXPECT_EQ(c.autopilot.failure_tolerance(), 0u);
  c.add(4, false);
  const auto swapped = c.decide_after(11s);
  ASSERT_TRUE(swapped);
  EXPECT_EQ(swapped->promote, ids({4}));
  EXPECT_EQ(swapped->remove, ids({3}));
}

TEST(Autopilot, OfFiveVotersDeadOnesGoUntilThreeAreLeft) {
  Cluster c;
  for (const auto id : {1, 2, 3, 4, 5}) c.add(id);
  c.decide();
  c.fact(4).alive = false;
  EXPECT_FALSE(c.decide_after(9s));
  const auto removed = c.decide_after(4s);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->remove, ids({4}));
  c.view.settings.cleanup_dead_servers = false;
  EXPECT_FALSE(c.decide_after(1s));
  c.view.settings.cleanup_dead_servers = true;
  c.view.settings.min_quorum = 5;
  EXPECT_FALSE(c.decide_after(1s));
}

TEST(Autopilot, OneThatOnlyGossipLostButThatAnswersTheLeaderIsNotDead) {
  Cluster c;
  for (const auto id : {1, 2, 3, 4, 5}) c.add(id);
  c.decide();
  c.fact(4).alive = false;
  for (int i = 0; i < 60; ++i) {
    c.view.now += 1s;
    c.peer(4).last_contact = c.view.now;
    EXPECT_FALSE(c.decide());
  }
}

TEST(Autopilot, WhoLeftIsRemovedAtOnceEvenOfThree) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.fact(2).alive = false;
  c.fact(2).left = true;
  const auto removed = c.decide();
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->remove, ids({2}));
}

TEST(Autopilot, AnEmptyDiskUnderAnOldNameIsANewServerAndTheOldOneGoes) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  std::erase_if(c.view.servers, [](const ServerFact& f) { return f.member.id == NodeId(3); });
  c.gossip(9);
  c.fact(9).member.name = "s3";
  std::erase_if(c.view.peers, [](const raft::PeerStatus& p) { return p.id == NodeId(3); });
  const auto change = c.decide();
  ASSERT_TRUE(change);
  ASSERT_EQ(change->put.size(), 1u);
  EXPECT_EQ(change->put[0].id, NodeId(9));
  EXPECT_EQ(change->remove, ids({3}));
}

TEST(Autopilot, ANewAddressOfAMemberIsTold) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.fact(2).member.address = "elsewhere:8300";
  const auto change = c.decide();
  ASSERT_TRUE(change);
  EXPECT_EQ(change->put[0].address, "elsewhere:8300");
}

TEST(Autopilot, NothingIsDoneWhileAChangeIsUnderWay) {
  Cluster c;
  for (const auto id : {1, 2, 3}) c.add(id);
  c.view.members.outgoing = ids({1, 2});
  c.gossip(4);
  EXPECT_FALSE(c.decide());
}

}  // namespace
}  // namespace fyr::server
