// Changes of the members by joint consensus (raft.md §7).
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

ConfigChange put(std::uint64_t id) {
  ConfigChange out;
  out.put = {member(id)};
  return out;
}
ConfigChange promote(std::vector<std::uint64_t> ids) {
  ConfigChange out;
  for (const std::uint64_t id : ids) out.promote.emplace_back(id);
  return out;
}
ConfigChange remove(std::vector<std::uint64_t> ids) {
  ConfigChange out;
  for (const std::uint64_t id : ids) out.remove.emplace_back(id);
  return out;
}

void add_empty(Cluster& c, std::uint64_t id) {
  DiskImage empty;
  empty.hard = {};
  c.add(id, std::move(empty));
}

// Waits for the end of a change.
std::optional<Error> outcome(Cluster& c, std::uint64_t leader, std::uint64_t id) {
  EXPECT_TRUE(c.run_until([&] { return c[leader].changes.contains(id); }, 5'000));
  return c[leader].changes[id];
}

std::optional<ErrorCode> refused(Solo& s, ConfigChange change) {
  const auto found = s.outcome_of(s.change(std::move(change)));
  if (!found || !*found) return std::nullopt;
  return (*found)->code;
}

// ---- whole changes ----------------------------------------------------------------------------

// me-add-one-via-joint.
TEST(RaftMembership, ANewServerLearnsThenVotes) {
  Cluster c(3);
  const std::uint64_t leader = c.elect();
  add_empty(c, 4);
  EXPECT_FALSE(outcome(c, leader, c.change(leader, put(4))));
  EXPECT_EQ(c.core(leader).configuration().learners, std::vector<NodeId>{NodeId(4)});
  c.run(500);
  EXPECT_EQ(c[4].soft.applied, c[leader].soft.applied);
  EXPECT_FALSE(outcome(c, leader, c.change(leader, promote({4}))));
  c.run(300);
  for (std::uint64_t id = 1; id <= 4; ++id) {
    EXPECT_EQ(c.core(id).configuration().voters.size(), 4u) << id;
    EXPECT_FALSE(c.core(id).configuration().is_joint()) << id;
    EXPECT_TRUE(c.core(id).configuration().learners.empty()) << id;
  }
}

// me-replace-one-of-three-with-one-node-down.
TEST(RaftMembership, ADeadServerIsReplacedInOneStep) {
  Cluster c(3);
  const std::uint64_t leader = c.elect();
  const std::uint64_t dead = leader == 1 ? 2 : 1;
  c.stop(dead);
  add_empty(c, 4);
  EXPECT_FALSE(outcome(c, leader, c.change(leader, put(4))));
  c.run(500);
  ConfigChange swap = promote({4});
  swap.remove = {NodeId(dead)};
  EXPECT_FALSE(outcome(c, leader, c.change(leader, swap)));
  EXPECT_EQ(c.core(leader).configuration().voters.size(), 3u);
  EXPECT_EQ(c.core(leader).configuration().find(NodeId(dead)), nullptr);
  c.propose(leader);
  c.run(100);
  EXPECT_EQ(c[4].soft.applied, c[leader].soft.last);
}

// me-remove-one, me-removed-node-learns-of-it, el-removed-node-keeps-campaigning.
TEST(RaftMembership, ARemovedServerLearnsOfItAndKeepsQuiet) {
  Cluster c(4);
  const std::uint64_t leader = c.elect();
  const std::uint64_t gone = leader == 4 ? 3 : 4;
  EXPECT_FALSE(outcome(c, leader, c.change(leader, remove({gone}))));
  c.run(200);
  EXPECT_FALSE(c.core(gone).configuration().is_voter(NodeId(gone)));
  EXPECT_TRUE(c.core(leader).peers().size() == 2u);
  const Term term = c[leader].soft.term;
  c.run(20'000);
  EXPECT_EQ(c[leader].soft.term, term);
  EXPECT_EQ(c[leader].soft.role, Role::Leader);
}

TEST(RaftMembership, ARemovedServerThatNeverHeardOfItDisturbsNobody) {
  Cluster c(4);
  const std::uint64_t leader = c.elect();
  const std::uint64_t gone = leader == 4 ? 3 : 4;
  c.isolate(gone);
  EXPECT_FALSE(outcome(c, leader, c.change(leader, remove({gone}))));
  c.run(11'000);
  c.heal();
  const Term term = c[leader].soft.term;
  c.run(20'000);
  EXPECT_EQ(c[leader].soft.term, term);
  EXPECT_EQ(c[leader].soft.role, Role::Leader);
}

// me-remove-leader-hands-over.
TEST(RaftMembership, ALeaderThatIsRemovedHandsOverAtOnce) {
  Cluster c(3);
  const std::uint64_t leader = c.elect();
  c.run(300);
  EXPECT_FALSE(outcome(c, leader, c.change(leader, remove({leader}))));
  EXPECT_TRUE(c.run_until([&] { return c.leader() != leader && c.leader() != 0; }, 200));
  EXPECT_FALSE(c.propose(c.leader()).refused);
  c.run(10'000);
  EXPECT_NE(c.leader(), leader);
  EXPECT_EQ(c.core(c.leader()).configuration().voters.size(), 2u);
}

// me-replace-all, me-abcde-to-abcdefg.
TEST(RaftMembership, EverybodyIsReplacedAtOnce) {
  Cluster c(3);
  const std::uint64_t leader = c.elect();
  for (const std::uint64_t id : {4, 5, 6}) {
    add_empty(c, id);
    EXPECT_FALSE(outcome(c, leader, c.change(leader, put(id))));
  }
  c.run(500);
  ConfigChange all = promote({4, 5, 6});
  all.remove = {NodeId(1), NodeId(2), NodeId(3)};
  EXPECT_FALSE(outcome(c, leader, c.change(leader, all)));
  ASSERT_TRUE(c.run_until([&] { return c.leader() > 3; }, 3'000));
  for (const std::uint64_t id : {1, 2, 3}) c.stop(id);
  const Index index = c.propose(c.leader()).index;
  c.run(200);
  for (const std::uint64_t id : {4, 5, 6}) EXPECT_GE(c[id].soft.applied, index);
}

// me-joint-inherited-by-new-leader.
TEST(RaftMembership, AnInheritedJointStateIsLeft) {
  Cluster c(5);
  const std::uint64_t leader = c.elect();
  const std::uint64_t gone = leader == 5 ? 4 : 5;
  // The leader's joint entry gets out, its leave entry does not.
  bool joint_sent = false;
  c.lose([&](const Message& message) {
    if (message.from != NodeId(leader)) return true;
    const auto* append = std::get_if<Append>(&message.body);
    if (append == nullptr) return !joint_sent;
    for (const Entry& entry : append->entries) {
      if (entry.type != EntryType::Config) continue;
      if (!decode_configuration(*entry.data)->is_joint()) return false;
      joint_sent = true;
    }
    return true;
  });
  const std::uint64_t id = c.change(leader, remove({gone}));
  c.run(50);
  c.stop(leader);
  c.lose({});
  ASSERT_TRUE(c.run_until([&] { return c.leader() != 0 && c.leader() != leader; }, 5'000));
  c.run(500);
  const Configuration& now = c.core(c.leader()).configuration();
  EXPECT_FALSE(now.is_joint());
  EXPECT_EQ(now.voters.size(), 4u);
  EXPECT_EQ(now.find(NodeId(gone)), nullptr);
  EXPECT_FALSE(c[leader].changes.contains(id)) << "it died before it could know";
}

// ---- conditions -------------------------------------------------------------------------------

// C1: me-config-before-own-noop-refused (M10).
TEST(RaftMembership, C1_ANewLeaderChangesNothingBeforeItsNoopIsCommitted) {
  Solo s;
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  EXPECT_EQ(refused(s, put(4)), ErrorCode::Unavailable);
  s.disk_done();
  s.acknowledge(2);
  const std::uint64_t id = s.change(put(4));
  EXPECT_FALSE(s.outcome_of(id)) << "accepted, and under way";
}

// C2: me-second-change-while-first-uncommitted-refused.
TEST(RaftMembership, C2_OneChangeAtATime) {
  Solo s;
  s.lead();
  const std::uint64_t first = s.change(put(4));
  EXPECT_EQ(refused(s, put(5)), ErrorCode::Conflict);
  s.disk_done();
  s.acknowledge(2);
  ASSERT_TRUE(s.outcome_of(first));
  EXPECT_FALSE(*s.outcome_of(first));
  EXPECT_FALSE(refused(s, put(5)));
}

// C3, M11: the leave entry comes only after the joint one is committed by both majorities.
TEST(RaftMembership, C3_TheJointEntryIsCommittedByBothMajoritiesBeforeItIsLeft) {
  Configuration c = voters(5);
  c.voters = {NodeId(1), NodeId(2), NodeId(3)};
  c.learners = {NodeId(4), NodeId(5)};
  Solo s(c);
  s.lead();
  s.acknowledge(4);
  s.acknowledge(5);
  s.pass(100);
  for (const std::uint64_t id : {2, 3, 4, 5}) s.echo(id);
  ConfigChange change = promote({4, 5});
  change.demote = {NodeId(2), NodeId(3)};
  const std::uint64_t id = s.change(change);
  EXPECT_TRUE(s.core().configuration().is_joint());
  const Index joint = s.view().last;
  s.disk_done();
  s.acknowledge(4, joint.value);
  s.acknowledge(5, joint.value);
  EXPECT_LT(s.view().commit, joint) << "the new majority alone";
  EXPECT_TRUE(s.core().configuration().is_joint());
  s.acknowledge(2, joint.value);
  EXPECT_EQ(s.view().commit, joint);
  EXPECT_FALSE(s.core().configuration().is_joint()) << "left at once";
  EXPECT_FALSE(s.outcome_of(id));
  s.acknowledge(4);
  s.acknowledge(5);
  ASSERT_TRUE(s.outcome_of(id));
  EXPECT_FALSE(*s.outcome_of(id));
  EXPECT_EQ(s.core().configuration().learners, (std::vector<NodeId>{NodeId(2), NodeId(3)}));
}

// C4: me-unreachable-new-voter-refused.
TEST(RaftMembership, C4_NewVotersAreLearnersThatHaveCaughtUp) {
  Configuration c = voters(4);
  c.voters.pop_back();
  c.learners = {NodeId(4)};
  CoreConfig config;
  config.promote_lag = 5;
  Solo s(c, {}, config);
  s.lead();
  for (int i = 0; i < 10; ++i) s.propose();
  s.disk_done();
  s.acknowledge(2);
  EXPECT_EQ(refused(s, promote({4})), ErrorCode::Unavailable);
  ConfigChange force = promote({4});
  force.force = true;
  EXPECT_EQ(refused(s, force), ErrorCode::Unavailable) << "force does not help against that";
  ConfigChange both = put(5);
  both.promote = {NodeId(5)};
  EXPECT_EQ(refused(s, both), ErrorCode::Unavailable);
  s.acknowledge(4);
  EXPECT_FALSE(refused(s, promote({4})));
}

// C5.
TEST(RaftMembership, C5_AMajorityOfTheNewVotersMustAnswerUnlessForced) {
  Solo s(voters(5));
  s.lead();
  for (int i = 0; i < 12; ++i) {
    s.pass(100);
    for (const std::uint64_t id : {2, 3}) s.echo(id);
  }
  ASSERT_EQ(s.view().role, Role::Leader);
  EXPECT_EQ(refused(s, remove({2, 3})), ErrorCode::Unavailable) << "4 and 5 are silent";
  ConfigChange force = remove({2, 3});
  force.force = true;
  EXPECT_FALSE(refused(s, force));
}

TEST(RaftMembership, RefusesWhatMakesNoSense) {
  Solo s;
  s.lead();
  ConfigChange bad = put(4);
  bad.put[0].address.clear();
  EXPECT_EQ(refused(s, bad), ErrorCode::InvalidArgument);
  EXPECT_EQ(refused(s, remove({1, 2, 3})), ErrorCode::InvalidArgument) << "me-never-empty";
  EXPECT_EQ(refused(s, promote({9})), ErrorCode::NotFound);
  ConfigChange twice = remove({2});
  twice.demote = {NodeId(2)};
  EXPECT_EQ(refused(s, twice), ErrorCode::InvalidArgument);
  ConfigChange reader = put(4);
  reader.put[0].kind = MemberKind::ReadServer;
  reader.promote = {NodeId(4)};
  EXPECT_EQ(refused(s, reader), ErrorCode::InvalidArgument);
  ConfigChange many;
  for (std::uint64_t id = 10; id < 27; ++id) many.put.push_back(member(id));
  EXPECT_EQ(refused(s, many), ErrorCode::InvalidArgument);
}

TEST(RaftMembership, OnlyALeaderChangesAnything) {
  Solo s;
  EXPECT_EQ(refused(s, put(4)), ErrorCode::NoLeader);
  s.heartbeat(2, 1);
  EXPECT_EQ(refused(s, put(4)), ErrorCode::NotLeader);
}

// me-idempotent-request.
TEST(RaftMembership, WhatIsAlreadySoIsDoneAtOnce) {
  Solo s;
  s.lead();
  const Index last = s.view().last;
  ConfigChange same;
  same.put = {member(2)};
  same.promote = {NodeId(3)};
  same.remove = {NodeId(77)};
  const auto found = s.outcome_of(s.change(same));
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
  EXPECT_EQ(s.view().last, last);
}

TEST(RaftMembership, LearnersAndFieldsChangeInOnePlainEntry) {
  Solo s;
  s.lead();
  ConfigChange change = put(4);
  change.put.push_back(member(2, 7));
  s.change(change);
  EXPECT_FALSE(s.core().configuration().is_joint());
  EXPECT_EQ(s.core().configuration().find(NodeId(2))->priority, 7);
}

// D9.
TEST(RaftMembership, AChangeUnderWayIsUnknownWhenTheLeadershipIsLost) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.change(put(4));
  s.receive(2, 9, HeartbeatReply{});
  ASSERT_TRUE(s.outcome_of(id));
  EXPECT_EQ((*s.outcome_of(id))->code, ErrorCode::CommitUnknown);
}

// me-leader-outside-new-set-not-counted.
TEST(RaftMembership, ALeaderOutsideTheNewSetDoesNotCountItself) {
  Solo s;
  s.lead();
  s.change(remove({1}));
  const Index joint = s.view().last;
  s.disk_done();
  s.acknowledge(2, joint.value);
  s.acknowledge(3, joint.value);
  const Index leave = s.view().last;
  ASSERT_FALSE(s.core().configuration().is_joint());
  s.disk_done();
  s.acknowledge(2);
  EXPECT_LT(s.view().commit, leave) << "one of the two that count";
  s.acknowledge(3);
  EXPECT_EQ(s.view().commit, leave);
  EXPECT_EQ(s.view().readable_until, Instant::min());
}

// me-transfer-target-demoted-aborts.
TEST(RaftMembership, ATransferToSomebodyWhoGoesIsNotStarted) {
  Solo s;
  s.lead();
  s.transfer(2);
  EXPECT_EQ(refused(s, remove({2})), ErrorCode::NoLeader) << "no change during a transfer";
}

// ---- founding ---------------------------------------------------------------------------------

TEST(RaftMembership, AnEmptyNodeFoundsAClusterThatTheOthersJoin) {
  Cluster c{Configuration{}};
  for (std::uint64_t id = 1; id <= 3; ++id) add_empty(c, id);
  c.run(5'000);
  EXPECT_EQ(c.leader(), 0u) << "nobody stands before there is a cluster";
  c.core(1).found(c.now(), 77, voters(3));
  c.settle(1);
  ASSERT_TRUE(c[1].changes.contains(77));
  EXPECT_FALSE(c[1].changes[77]);
  ASSERT_NE(c.elect(), 0u);
  c.run(200);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(c.core(id).configuration().voters.size(), 3u) << id;
  }
  c.core(2).found(c.now(), 78, voters(3));
  c.settle(2);
  EXPECT_EQ(c[2].changes[78]->code, ErrorCode::Conflict);
}

TEST(RaftMembership, TheFounderLeadsAsSoonAsAMajorityIsConnected) {
  Cluster c{Configuration{}};
  for (std::uint64_t id = 1; id <= 3; ++id) add_empty(c, id);
  c.run(5'000);
  c.core(1).found(c.now(), 77, voters(3));
  c.settle(1);
  c.run(100);
  EXPECT_EQ(c.leader(), 0u);
  c.link(1, 2, LinkState::Up);
  c.run(100);
  EXPECT_EQ(c.leader(), 1u);
  EXPECT_EQ(c[1].changes.size(), 1u);
}

}  // namespace
}  // namespace fyr::raft
