// Handing the leadership over, stalled disks, preferred leaders (raft.md §5).
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

// ---- leader -----------------------------------------------------------------------------------

// rd-transfer-voids-lease (M21).
TEST(RaftTransfer, TheLeaseIsVoidBeforeTheTargetIsTold) {
  Solo s;
  s.lead();
  s.pass(100);
  s.echo(2);
  ASSERT_GT(s.view().readable_until, s.now());
  s.propose();
  s.clear();
  s.transfer(2);
  EXPECT_TRUE(s.sent_all<TimeoutNow>().empty()) << "the target lacks the last entry";
  EXPECT_GT(s.view().readable_until, s.now());
  s.acknowledge(2);
  const auto told = s.sent_one<TimeoutNow>(2);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->last, s.view().last);
  EXPECT_EQ(told->last_term, Term(2));
  EXPECT_EQ(s.out.soft.readable_until, Instant::min()) << "in the same step";
}

// re-propose-during-transfer-answered-retry.
TEST(RaftTransfer, ProposalsAreRefusedMeanwhile) {
  Solo s;
  s.lead();
  s.transfer(2);
  EXPECT_EQ(s.propose().refused->code, ErrorCode::NoLeader);
  EXPECT_TRUE(s.out.soft.transferring);
}

// tr-lost-timeoutnow-resumes, tr-target-dies-after-timeoutnow, rd-late-timeoutnow-after-abort.
TEST(RaftTransfer, AfterAnAbortTheLeaseStaysVoidUntilAFreshNoopIsCommitted) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.transfer(2);
  for (int i = 0; i < 11; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  ASSERT_TRUE(s.outcome_of(id));
  EXPECT_EQ((*s.outcome_of(id))->code, ErrorCode::Timeout);
  EXPECT_EQ(s.view().readable_until, Instant::min());
  const Index noop = s.view().last;
  EXPECT_EQ(s.core().term_at(noop), Term(2));
  EXPECT_FALSE(s.propose().refused) << "proposals resume";
  s.disk_done();
  s.acknowledge(2, noop.value);
  s.apply_done();
  EXPECT_GT(s.view().readable_until, s.now());
}

TEST(RaftTransfer, AnAbortBeforeTheTargetWasToldLeavesTheLeaseAlone) {
  Solo s;
  s.lead();
  s.propose();
  s.transfer(2);
  for (int i = 0; i < 11; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_FALSE(s.view().transferring);
  EXPECT_GT(s.view().readable_until, s.now());
}

// tr-to-learner-refused.
TEST(RaftTransfer, OnlyAReadyVoterIsATarget) {
  Configuration c = voters(4);
  c.voters.pop_back();
  c.learners = {NodeId(4)};
  Solo s(c);
  s.lead();
  const auto code = [&](std::uint64_t to) {
    const auto outcome = s.outcome_of(s.transfer(to));
    return outcome && *outcome ? (*outcome)->code : ErrorCode::Internal;
  };
  EXPECT_EQ(code(4), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(1), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(9), ErrorCode::InvalidArgument);
  HeartbeatReply reply;
  reply.round = s.round();
  reply.disk = DiskState::Stalled;
  s.receive(2, 2, reply);
  EXPECT_EQ(code(2), ErrorCode::Unavailable);
  s.transfer(3);
  EXPECT_EQ(code(3), ErrorCode::Conflict) << "one at a time";
}

TEST(RaftTransfer, AFollowerCannotHandOver) {
  Solo s;
  s.heartbeat(2, 1);
  EXPECT_EQ((*s.outcome_of(s.transfer(3)))->code, ErrorCode::NotLeader);
}

TEST(RaftTransfer, ItHasEndedWhenSomebodyElseLeads) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.transfer(2);
  s.clear();
  s.receive(2, 3, Vote{s.view().last, Term(2), NodeId(1), Term(2)});
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(2)->granted) << "it released the target itself";
  EXPECT_FALSE(s.outcome_of(id));
  s.heartbeat(2, 3);
  ASSERT_TRUE(s.outcome_of(id));
  EXPECT_FALSE(*s.outcome_of(id));
}

// me-transfer-target-demoted-aborts is in membership_test.cc.

// ---- target -----------------------------------------------------------------------------------

// tr-prevote-not-used.
TEST(RaftTransfer, TheTargetStandsWithoutAskingFirst) {
  Solo s(voters(3), {1});
  s.heartbeat(2, 1);
  s.clear();
  s.receive(2, 1, TimeoutNow{Index(2), Term(1)});
  EXPECT_EQ(s.view().role, Role::Candidate);
  s.disk_done();
  const auto asked = s.sent_all<Vote>();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].from_leader, NodeId(2));
  EXPECT_EQ(asked[0].from_term, Term(1));
}

TEST(RaftTransfer, TheTargetsLogMustEndExactlyThere) {
  Solo s(voters(3), {1});
  s.receive(2, 1, TimeoutNow{Index(3), Term(1)});
  s.receive(2, 1, TimeoutNow{Index(1), Term(1)});
  s.receive(2, 2, TimeoutNow{Index(2), Term(1)});
  EXPECT_EQ(s.view().role, Role::Follower);
}

TEST(RaftTransfer, ALearnerDoesNotStandWhenTold) {
  Configuration c = voters(3);
  c.voters = {NodeId(2), NodeId(3)};
  c.learners = {NodeId(1)};
  Solo s(c);
  s.receive(2, 1, TimeoutNow{Index(1), Term(1)});
  EXPECT_EQ(s.view().role, Role::Follower);
}

// ---- other voters -----------------------------------------------------------------------------

TEST(RaftTransfer, OnlyThePromiseToThatLeaderInThatTermIsReleased) {
  const auto granted = [](std::uint64_t from_leader, std::uint64_t from_term) {
    Solo s;
    s.live(1'000);
    s.heartbeat(2, 1);
    s.clear();
    s.receive(3, 2, Vote{Index(9), Term(1), NodeId(from_leader), Term(from_term)});
    s.disk_done();
    return s.sent_one<VoteReply>(3)->granted;
  };
  EXPECT_TRUE(granted(2, 1));
  EXPECT_FALSE(granted(3, 1));
  EXPECT_FALSE(granted(2, 0));
  EXPECT_FALSE(granted(0, 1));
}

TEST(RaftTransfer, AVoterThatRestartedKnowsNoLeaderAndIsReleasedToo) {
  Solo s;
  s.receive(3, 2, Vote{Index(9), Term(1), NodeId(2), Term(1)});
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(3)->granted);
}

// ---- disk -------------------------------------------------------------------------------------

// st-frozen-leader-replaced.
TEST(RaftTransfer, AFrozenDiskGivesTheLeadershipAway) {
  Solo s;
  s.lead();
  s.propose();
  s.acknowledge(2);
  s.acknowledge(3);
  s.clear();
  for (int i = 0; i < 19; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_TRUE(s.sent_all<TimeoutNow>().empty());
  for (int i = 0; i < 2; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_EQ(s.sent_all<TimeoutNow>().size(), 1u);
  for (int i = 0; i < 11; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_EQ(s.view().role, Role::Follower) << "whether or not somebody took it";
}

TEST(RaftTransfer, AFrozenFollowerIsFlaggedAndHarmless) {
  Solo s;
  s.heartbeat(2, 1);
  s.append(2, 1, 1, 1, {1});
  s.clear();
  s.pass(600);
  s.heartbeat(2, 1);
  EXPECT_EQ(s.sent_one<HeartbeatReply>()->disk, DiskState::Slow);
  s.pass(2'000);
  s.heartbeat(2, 1);
  EXPECT_EQ(s.sent_one<HeartbeatReply>()->disk, DiskState::Stalled);
  s.disk_done();
  s.clear();
  s.heartbeat(2, 1);
  EXPECT_EQ(s.sent_one<HeartbeatReply>()->disk, DiskState::Good);
}

// ---- disks without room -----------------------------------------------------------------------

TEST(RaftTransfer, ALeaderWithLittleRoomRefusesWritesAndHandsOver) {
  Solo s;
  s.lead();
  s.core().on_disk_low(s.now(), true);
  s.pass(100);
  EXPECT_EQ(s.sent_all<TimeoutNow>().size(), 1u);
}

TEST(RaftTransfer, IfNobodyHasRoomTheLeaderStaysAndRefusesWritesUntilThereIsSome) {
  Solo s;
  s.lead();
  const auto low_echoes = [&] {
    for (const std::uint64_t id : {2u, 3u}) {
      HeartbeatReply reply;
      reply.round = s.round();
      reply.durable_last = s.view().last;
      reply.disk = DiskState::Low;
      s.receive(id, s.term(), reply);
    }
  };
  low_echoes();
  s.core().on_disk_low(s.now(), true);
  for (int i = 0; i < 50; ++i) {
    s.pass(100);
    low_echoes();
  }
  EXPECT_TRUE(s.sent_all<TimeoutNow>().empty());
  EXPECT_EQ(s.view().role, Role::Leader);
  const auto refused = s.propose();
  ASSERT_TRUE(refused.refused);
  EXPECT_EQ(refused.refused->code, ErrorCode::ResourceExhausted);
  EXPECT_NE(refused.refused->message.find("disk_low"), std::string::npos);
  EXPECT_FALSE(s.propose("", EntryType::Check).refused);
  s.core().on_disk_low(s.now(), false);
  EXPECT_FALSE(s.propose().refused);
}

TEST(RaftTransfer, AFollowerWithLittleRoomSaysSo) {
  Solo s;
  s.core().on_disk_low(s.now(), true);
  s.heartbeat(2, 1);
  EXPECT_EQ(s.sent_one<HeartbeatReply>()->disk, DiskState::Low);
}

// ---- preferred leaders ------------------------------------------------------------------------

Configuration prefer_two(std::uint8_t own = 50) {
  Configuration c = voters(3);
  c.members[0].priority = own;
  c.members[2].priority = own;
  return c;
}

// pr-oslo-leads-after-heal.
TEST(RaftTransfer, TheLeadershipGoesToABetterRankedVoterThatWasWellForHalfAMinute) {
  Solo s(prefer_two());
  s.lead();
  int told_after = 0;
  for (int ms = 0; ms < 60'000 && told_after == 0; ms += 100) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
    if (s.sent_one<TimeoutNow>(2)) told_after = ms;
    s.clear();
  }
  EXPECT_GE(told_after, 29'000);
  EXPECT_LE(told_after, 31'000);
}

// pr-no-transfer-to-laggard.
TEST(RaftTransfer, AVoterThatLagsOrIsSilentIsNotPreferred) {
  Solo s(prefer_two());
  s.lead();
  for (int ms = 0; ms < 60'000; ms += 100) {
    s.pass(100);
    if (ms < 20'000) s.echo(2);
    s.echo(3);
  }
  EXPECT_TRUE(s.sent_all<TimeoutNow>().empty());
}

TEST(RaftTransfer, EqualsAreLeftAlone) {
  Solo s;
  s.lead();
  for (int ms = 0; ms < 60'000; ms += 100) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_TRUE(s.sent_all<TimeoutNow>().empty());
}

// A failed attempt is repeated after a minute, then two.
TEST(RaftTransfer, FailedAttemptsBackOff) {
  Solo s(prefer_two());
  s.lead();
  std::vector<int> told;
  for (int ms = 0; ms < 250'000; ms += 100) {
    s.pass(100);
    s.disk_done();
    s.echo(2);
    s.echo(3);
    if (s.sent_one<TimeoutNow>(2)) told.push_back(ms);
    s.acknowledge(2);
    s.acknowledge(3);
    s.apply_done();
    s.clear();
  }
  ASSERT_EQ(told.size(), 3u);
  EXPECT_NEAR(told[1] - told[0], 61'000, 1'000);
  EXPECT_NEAR(told[2] - told[1], 121'000, 1'000);
}

// Priority 0 and a witness hand over as soon as they can; pr-zero-priority-leads-if-only-log.
TEST(RaftTransfer, WhoIsToBeAvoidedHandsOverAtOnce) {
  for (const bool witness : {false, true}) {
    Configuration c = voters(3);
    c.members[0].priority = witness ? 100 : 0;
    if (witness) c.members[0].kind = MemberKind::Witness;
    Solo s(c);
    s.lead();
    s.pass(100);
    s.echo(2);
    s.echo(3);
    s.pass(100);
    EXPECT_EQ(s.sent_all<TimeoutNow>().size(), 1u) << witness;
  }
}

}  // namespace
}  // namespace fyr::raft
