// Reads of several nodes (raft.md §6): lease, confirmation by rounds, questions of followers.
#include <algorithm>

#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

using std::chrono::milliseconds;

// ---- lease ------------------------------------------------------------------------------------

// rd-lease-fast-path; R4: from when the round was sent (M20).
TEST(RaftReads, R4_TheLeaseCountsFromWhenTheRoundWasSent) {
  Solo s;
  s.lead();
  s.pass(100);
  const Instant sent = s.now();
  s.pass(50);
  s.echo(2);
  EXPECT_EQ(s.view().readable_until, sent + milliseconds(900));
  const std::uint64_t id = s.read(ReadMode::Default);
  ASSERT_NE(s.grant_of(id), nullptr);
  EXPECT_EQ(s.grant_of(id)->index, s.view().applied);
}

TEST(RaftReads, R4_TheLeaseNeedsAQuorum) {
  Solo s(voters(5));
  s.lead();
  const Instant before = s.view().readable_until;
  s.pass(100);
  s.echo(2);
  EXPECT_EQ(s.view().readable_until, before);
  s.echo(3);
  EXPECT_GT(s.view().readable_until, before);
}

// rd-joint-needs-both.
TEST(RaftReads, R4_OnlyVotersOfTheNewestConfigurationRenewTheLease) {
  Configuration c = voters(5);
  c.voters = {NodeId(1), NodeId(2), NodeId(3)};
  c.outgoing = {NodeId(1), NodeId(4), NodeId(5)};
  Solo s(c);
  s.campaign();
  for (const std::uint64_t id : {2, 3, 4, 5}) s.receive(id, 2, VoteReply{true});
  s.disk_done();
  s.acknowledge(2);
  s.acknowledge(4);  // the no-op is committed; the leave entry that follows needs 2 or 3
  s.apply_done();
  s.pass(100);
  ASSERT_FALSE(s.core().configuration().is_joint());
  s.echo(4);
  s.echo(5);
  EXPECT_LE(s.view().readable_until, s.now()) << "those who go do not count any more";
  s.echo(3);
  EXPECT_GT(s.view().readable_until, s.now());
}

// rd-lease-expired-falls-to-readindex, rd-pause-past-lease.
TEST(RaftReads, AnExpiredLeaseFallsBackToARound) {
  Solo s;
  s.lead();
  s.pass(100);
  s.echo(2);
  s.pass(901);  // a pause, say
  ASSERT_EQ(s.view().role, Role::Leader);
  s.clear();
  const std::uint64_t id = s.read(ReadMode::Default);
  EXPECT_EQ(s.grant_of(id), nullptr);
  EXPECT_EQ(s.sent_all<Heartbeat>().size(), 2u) << "a round was started at once";
  s.echo(3);
  ASSERT_NE(s.grant_of(id), nullptr);
  EXPECT_FALSE(s.grant_of(id)->refused);
}

// R5: the jump ends the leadership, too.
TEST(RaftReads, R5_AfterAPauseLongerThanThePromiseNothingIsServed) {
  Solo s;
  s.lead();
  s.pass(100);
  s.echo(2);
  s.pass(10'000);
  const std::uint64_t id = s.read(ReadMode::Default);
  EXPECT_EQ(s.grant_of(id), nullptr);
  EXPECT_EQ(s.view().readable_until, Instant::min());
  EXPECT_EQ(s.view().role, Role::Follower);
}

TEST(RaftReads, EchoesThatWaitedOutAPauseRenewNothing) {
  Solo s;
  s.lead();
  s.pass(100);
  const std::uint64_t round = s.round();
  s.pass(950);
  s.echo(2, round);  // was in the queue all the time
  EXPECT_LE(s.view().readable_until, s.now());
}

TEST(RaftReads, LeaseReadsCanBeSwitchedOff) {
  CoreConfig config;
  config.lease_reads = false;
  Solo s(voters(3), {}, config);
  s.lead();
  EXPECT_EQ(s.view().readable_until, Instant::min());
  const std::uint64_t id = s.read(ReadMode::Default);
  EXPECT_EQ(s.grant_of(id), nullptr);
  s.echo(2);
  EXPECT_NE(s.grant_of(id), nullptr);
}

TEST(RaftReads, AStalledDiskVoidsTheLease) {
  Solo s;
  s.lead();
  s.propose();
  for (int i = 0; i < 21; ++i) {
    s.pass(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_EQ(s.view().readable_until, Instant::min());
}

// R1: rd-before-own-term-commit-waits (M18).
TEST(RaftReads, R1_NothingIsServedBeforeItsFirstOwnCommit) {
  Solo s;
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  s.disk_done();
  s.pass(100);
  s.echo(2);
  s.echo(3);
  EXPECT_EQ(s.view().readable_until, Instant::min());
  const std::uint64_t lease = s.read(ReadMode::Default);
  const std::uint64_t round = s.read(ReadMode::Consistent);
  s.echo(2);
  s.echo(3);
  EXPECT_EQ(s.grant_of(lease), nullptr);
  s.acknowledge(2);
  s.apply_done();
  s.echo(2);
  EXPECT_NE(s.grant_of(lease), nullptr);
  EXPECT_NE(s.grant_of(round), nullptr);
}

// ---- rounds -----------------------------------------------------------------------------------

// R3 (M17).
TEST(RaftReads, R3_AConsistentReadNeedsARoundStartedAfterIt) {
  Solo s;
  s.lead();
  s.pass(100);
  const std::uint64_t before = s.round();
  const std::uint64_t id = s.read(ReadMode::Consistent);
  s.echo(2, before);
  s.echo(3, before);
  EXPECT_EQ(s.grant_of(id), nullptr);
  s.echo(2);
  ASSERT_NE(s.grant_of(id), nullptr);
  EXPECT_EQ(s.grant_of(id)->index, s.view().commit);
}

// rd-batched-one-round.
TEST(RaftReads, R3_OneRoundServesAllThatWaitAndTwoAreUnderWayAtMost) {
  Solo s;
  s.lead();
  for (int i = 0; i < 5; ++i)
    s.core().read(s.now(), {100u + static_cast<unsigned>(i), ReadMode::Consistent});
  const std::uint64_t first = s.read(ReadMode::Consistent);
  EXPECT_EQ(s.sent_all<Heartbeat>().size(), 2u);
  const std::uint64_t round = s.round();
  const std::uint64_t second = s.read(ReadMode::Consistent);
  EXPECT_EQ(s.sent_all<Heartbeat>().size(), 2u);
  const std::uint64_t third = s.read(ReadMode::Consistent);
  EXPECT_TRUE(s.sent_all<Heartbeat>().empty()) << "two are under way";
  s.echo(2, round);
  EXPECT_NE(s.grant_of(100), nullptr);
  EXPECT_NE(s.grant_of(first), nullptr);
  EXPECT_EQ(s.grant_of(second), nullptr);
  EXPECT_EQ(s.sent_all<Heartbeat>().size(), 2u) << "now the third one's";
  s.echo(3);
  EXPECT_NE(s.grant_of(second), nullptr);
  EXPECT_NE(s.grant_of(third), nullptr);
}

// rd-duplicate-request-delayed-echo (M19).
TEST(RaftReads, R2_CopiesOfOldEchoesConfirmNothing) {
  Solo s;
  s.lead();
  const std::uint64_t first = s.read(ReadMode::Consistent);
  const std::uint64_t old = s.round();
  s.echo(2);
  EXPECT_NE(s.grant_of(first), nullptr);
  const std::uint64_t second = s.read(ReadMode::Consistent);
  for (int i = 0; i < 5; ++i) s.echo(2, old), s.echo(3, old);
  EXPECT_EQ(s.grant_of(second), nullptr);
}

TEST(RaftReads, EchoesOfAnEarlierTermConfirmNothing) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.read(ReadMode::Consistent);
  HeartbeatReply reply;
  reply.round = s.round();
  s.receive(2, 1, reply);
  EXPECT_EQ(s.grant_of(id), nullptr);
}

// R6.
TEST(RaftReads, R6_AConfirmedReadWaitsForTheState) {
  Solo s;
  s.lead();
  s.propose();
  s.disk_done();
  s.acknowledge(2);
  const std::uint64_t id = s.read(ReadMode::Consistent);
  s.echo(2);
  EXPECT_EQ(s.grant_of(id), nullptr);
  s.apply_done();
  EXPECT_NE(s.grant_of(id), nullptr);
}

// rd-isolated-leader-consistent-fails-fast.
TEST(RaftReads, AnIsolatedLeaderAnswersWithinTheReadsDeadline) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.read(ReadMode::Consistent);
  s.live(2'100);
  ASSERT_NE(s.grant_of(id), nullptr);
  EXPECT_EQ(s.grant_of(id)->refused->code, ErrorCode::NoLeader);
}

TEST(RaftReads, AReadThatWasNotConfirmedGoesToTheNextLeader) {
  Solo s;
  s.lead();
  const std::uint64_t id = s.read(ReadMode::Consistent);
  s.heartbeat(3, 3);
  s.disk_done();
  const auto ask = s.sent_one<ReadIndex>(3);
  ASSERT_TRUE(ask);
  s.receive(3, 3, ReadIndexReply{ask->sequence, true, Index(2)});
  ASSERT_NE(s.grant_of(id), nullptr);
  EXPECT_FALSE(s.grant_of(id)->refused);
}

// ---- followers --------------------------------------------------------------------------------

TEST(RaftReads, AFollowerAsksTheLeaderOnceForAllThatWait) {
  Solo s;
  s.heartbeat(2, 1);
  s.core().read(s.now(), {100, ReadMode::Default});
  const std::uint64_t id = s.read(ReadMode::Consistent);
  const auto ask = s.sent_one<ReadIndex>(2);
  ASSERT_TRUE(ask);
  EXPECT_EQ(ask->mode, ReadMode::Consistent);
  s.receive(2, 1, ReadIndexReply{ask->sequence, true, Index(1)});
  EXPECT_EQ(s.grant_of(id), nullptr) << "R6: its state is not there yet";
  s.append(2, 1, 1, 1, {}, 1);
  s.apply_done();
  EXPECT_NE(s.grant_of(id), nullptr);
  EXPECT_NE(s.grant_of(100), nullptr);
}

// rd-follower-commit-untouched-by-readindex.
TEST(RaftReads, R6_AnAnswerDoesNotRaiseTheFollowersCommit) {
  Solo s(voters(3), {1, 1});
  s.heartbeat(2, 1);
  s.read(ReadMode::Default);
  const auto ask = s.sent_one<ReadIndex>(2);
  s.receive(2, 1, ReadIndexReply{ask->sequence, true, Index(3)});
  EXPECT_EQ(s.view().commit, Index(0));
}

TEST(RaftReads, AnUnansweredQuestionIsAskedAgain) {
  Solo s;
  s.heartbeat(2, 1);
  const std::uint64_t id = s.read(ReadMode::Default);
  const auto first = s.sent_one<ReadIndex>(2);
  s.live(290);
  EXPECT_TRUE(s.sent_all<ReadIndex>().empty());
  s.live(20);
  const auto second = s.sent_one<ReadIndex>(2);
  ASSERT_TRUE(second);
  EXPECT_GT(second->sequence, first->sequence);
  s.receive(2, 1, ReadIndexReply{first->sequence, true, Index(0)});
  EXPECT_EQ(s.grant_of(id), nullptr) << "it waits for the newer answer";
  s.receive(2, 1, ReadIndexReply{second->sequence, true, Index(0)});
  EXPECT_NE(s.grant_of(id), nullptr);
}

TEST(RaftReads, WithoutALeaderAReadWaitsAndThenFails) {
  Solo s;
  const std::uint64_t id = s.read(ReadMode::Default);
  s.live(1'990);
  EXPECT_EQ(s.grant_of(id), nullptr);
  s.live(20);
  EXPECT_EQ(s.grant_of(id)->refused->code, ErrorCode::NoLeader);
}

// rd-learner-forward.
TEST(RaftReads, ALeaderAnswersAnybodyUnderItsLease) {
  Solo s;
  s.lead();
  s.receive(9, 2, ReadIndex{17, ReadMode::Default});
  const auto answer = s.sent_one<ReadIndexReply>(9);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->granted);
  EXPECT_EQ(answer->sequence, 17u);
  EXPECT_EQ(answer->index, s.view().applied);
}

TEST(RaftReads, ALeaderConfirmsAFollowersConsistentReadFirst) {
  Solo s;
  s.lead();
  s.receive(3, 2, ReadIndex{17, ReadMode::Consistent}, 1);
  EXPECT_TRUE(s.sent_all<ReadIndexReply>().empty());
  s.echo(2);
  const auto sent = s.sent();
  const auto found = std::ranges::find_if(sent, [](const Message& message) {
    return std::holds_alternative<ReadIndexReply>(message.body);
  });
  ASSERT_NE(found, sent.end());
  EXPECT_EQ(found->to_incarnation, 1u) << "R7";
  EXPECT_TRUE(std::get<ReadIndexReply>(found->body).granted);
}

TEST(RaftReads, WhoeverLosesTheLeadershipSaysSoToThoseWhoAsked) {
  Solo s;
  s.lead();
  s.receive(3, 2, ReadIndex{17, ReadMode::Consistent});
  s.receive(2, 5, HeartbeatReply{});
  s.disk_done();
  EXPECT_FALSE(s.sent_one<ReadIndexReply>(3)->granted);
}

TEST(RaftReads, WhoDoesNotLeadDoesNotAnswer) {
  Solo s;
  s.heartbeat(2, 1);
  s.clear();
  s.receive(3, 1, ReadIndex{1, ReadMode::Default});
  EXPECT_FALSE(s.sent_one<ReadIndexReply>(3)->granted);
}

TEST(RaftReads, AQuarantinedServerServesNone) {
  DiskImage disk = Solo::image(voters(3), {1}, 0);
  disk.quarantine = LogPosition{Index(5), Term(1)};
  Solo s(std::move(disk));
  s.heartbeat(2, 1);
  for (const ReadMode mode : {ReadMode::Default, ReadMode::Consistent}) {
    const std::uint64_t id = s.read(mode);
    ASSERT_NE(s.grant_of(id), nullptr);
    EXPECT_EQ(s.grant_of(id)->refused->code, ErrorCode::Unavailable);
  }
}

TEST(RaftReads, QuestionsOfFollowersAreBounded) {
  CoreConfig config;
  config.max_waiting_reads = 2;
  Solo s(voters(3), {}, config);
  s.lead();
  for (std::uint64_t i = 1; i <= 3; ++i) s.receive(3, 2, ReadIndex{i, ReadMode::Consistent});
  EXPECT_FALSE(s.sent_one<ReadIndexReply>(3)->granted);
  EXPECT_EQ(s.view().waiting_reads, 2u);
}

}  // namespace
}  // namespace fyr::raft
