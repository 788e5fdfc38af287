// Elections message by message (raft.md §5): the promise, pre-votes, votes, check-quorum.
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

constexpr std::int64_t kE = 1'000;

PreVote pre_vote(std::uint64_t campaign, std::uint64_t last, std::uint64_t last_term) {
  return {Term(campaign), 7, Index(last), Term(last_term)};
}

Vote vote(std::uint64_t last, std::uint64_t last_term) {
  return {Index(last), Term(last_term), NodeId{}, Term{}};
}

// ---- timers -----------------------------------------------------------------------------------

TEST(RaftElection, AVoterAsksForPreVotesAfterItsTimeoutAndChangesNothing) {
  Solo s;
  const HardState before = s.view().hard;
  s.live(kE - 10);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.live(410);
  EXPECT_TRUE(s.view().pre_campaigning);
  EXPECT_EQ(s.view().hard, before);
  const auto asked = s.sent_all<PreVote>();
  ASSERT_GE(asked.size(), 2u);
  EXPECT_EQ(asked[0].campaign, Term(2));
  EXPECT_EQ(asked[0].last, Index(1));
}

// Those who start together have promised until slightly different times.
TEST(RaftElection, AfterAStartItAsksAgainSoonUntilALeaderIsHeardOf) {
  Solo s;
  s.live(kE + kE / 2);
  EXPECT_GE(s.sent_all<PreVote>().size(), 6u) << "three rounds of two";
  EXPECT_LE(s.sent_all<PreVote>().size(), 12u);
  Solo led;
  led.heartbeat(2, 1);
  led.live(2 * kE);
  EXPECT_LE(led.sent_all<PreVote>().size(), 6u);
}

TEST(RaftElection, AHeartbeatPutsTheTimeoutOff) {
  Solo s;
  for (int i = 0; i < 50; ++i) {
    s.heartbeat(2, 1);
    s.live(100);
  }
  EXPECT_FALSE(s.view().pre_campaigning);
}

// Rank: 400 ms for each distinct higher priority.
TEST(RaftElection, ALowerPriorityWaitsLonger) {
  Configuration c = voters(3);
  c.members[0].priority = 50;
  Solo s(c);
  s.live(kE + 390);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.live(420);
  EXPECT_TRUE(s.view().pre_campaigning);
}

TEST(RaftElection, PriorityZeroWaitsFiveTimeoutsMore) {
  Configuration c = voters(3);
  c.members[0].priority = 0;
  Solo s(c);
  s.live(6 * kE + 390);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.live(420);
  EXPECT_TRUE(s.view().pre_campaigning);
}

TEST(RaftElection, AResetOfTheLeadersLinkSavesTheRandomWaitButKeepsThePromise) {
  Solo s;
  s.heartbeat(2, 1);
  s.live(50);
  s.link(2, LinkState::Reset);
  s.live(940);
  EXPECT_FALSE(s.view().pre_campaigning) << "the promise still holds";
  s.live(20);
  EXPECT_TRUE(s.view().pre_campaigning);
}

TEST(RaftElection, AResetOfSomebodyElsesLinkChangesNothing) {
  Solo s;
  s.heartbeat(2, 1);
  const Instant due = *s.out.wake_at;
  s.link(3, LinkState::Reset);
  s.link(2, LinkState::Down);
  EXPECT_EQ(*s.out.wake_at, due);
}

// ---- promise ----------------------------------------------------------------------------------

// el-promise-after-restart (M22).
TEST(RaftElection, AfterAStartItKeepsWhatItMayHavePromised) {
  Solo s;
  s.live(kE - 10);
  s.receive(2, 1, pre_vote(2, 9, 1));
  EXPECT_FALSE(s.sent_one<PreVoteReply>()->granted);
  s.receive(2, 2, vote(9, 1));
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
  EXPECT_EQ(s.term(), 1u) << "nor does it take over the term";
  s.live(20);
  s.receive(2, 2, vote(9, 1));
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>()->granted);
}

TEST(RaftElection, ANodeThatNeverVotedPromisedNothing) {
  Solo s((DiskImage()));
  s.receive(2, 2, vote(1, 1));
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>()->granted);
}

// A leader may count on the echo of a node that has no entry yet.
TEST(RaftElection, AnEmptyNodeThatHeardOfALeaderMayHavePromisedSomething) {
  DiskImage disk;
  disk.hard = {Term(2), NodeId{}};
  Solo s(std::move(disk));
  s.receive(2, 3, vote(1, 1));
  s.disk_done();
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
}

TEST(RaftElection, TheLeadersMessagesRenewThePromise) {
  Solo s;
  s.live(kE);
  s.heartbeat(2, 1);
  s.live(kE - 10);
  s.clear();
  s.receive(3, 5, vote(9, 1));
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
  EXPECT_EQ(s.term(), 1u);
}

TEST(RaftElection, ALaterTermDoesNotEndThePromiseForOthers) {
  Solo s;
  s.live(kE);
  s.heartbeat(2, 1);
  s.heartbeat(3, 2);  // a leader of a later term: followed
  EXPECT_EQ(s.view().leader, NodeId(3));
  s.disk_done();
  s.clear();
  s.receive(2, 3, vote(9, 1));
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
}

// ---- pre-votes --------------------------------------------------------------------------------

// el-prevote-behind-log-refused-in-leaderless-window (M16), el-prevote-term-mirrored-in-grant.
TEST(RaftElection, APreVoteNeedsTheFullLogCheck) {
  Solo s(voters(3), {1, 2});  // ends at 3 of term 2
  s.live(kE + 10);
  s.clear();
  const auto granted = [&](std::uint64_t last, std::uint64_t term) {
    s.receive(2, 2, pre_vote(3, last, term));
    const auto reply = s.sent_one<PreVoteReply>();
    EXPECT_EQ(reply->campaign, Term(3));
    EXPECT_EQ(reply->round, 7u);
    return reply->granted;
  };
  EXPECT_TRUE(granted(3, 2));
  EXPECT_TRUE(granted(2, 3)) << "shorter, but of a later term";
  EXPECT_FALSE(granted(2, 2));
  EXPECT_FALSE(granted(99, 1)) << "longer, but of an earlier term";
}

TEST(RaftElection, APreVoteChangesNeitherTermNorVoteNorTimer) {
  Solo s;
  s.live(kE + 10);
  s.clear();
  const Instant due = *s.out.wake_at;
  const HardState hard = s.view().hard;
  s.receive(2, 9, pre_vote(10, 5, 5));
  EXPECT_TRUE(s.sent_one<PreVoteReply>()->granted);
  EXPECT_EQ(s.view().hard, hard);
  EXPECT_TRUE(s.out.persist.empty());
  EXPECT_EQ(*s.out.wake_at, due) << "el-timer-not-reset-by-prevote-grant";
}

TEST(RaftElection, APreVoteForItsOwnTermNeedsAFreeVote) {
  Solo s;
  s.live(kE);
  s.receive(2, 4, vote(9, 1));
  s.disk_done();
  s.clear();
  s.receive(3, 3, pre_vote(4, 9, 1));
  EXPECT_FALSE(s.sent_one<PreVoteReply>()->granted);
  s.receive(2, 3, pre_vote(4, 9, 1));
  EXPECT_TRUE(s.sent_one<PreVoteReply>()->granted) << "it already is the asker's";
}

// A pre-vote from a lower term is answered, not dropped.
TEST(RaftElection, AnOldPreVoteIsRefusedWithOurTerm) {
  Solo s(voters(3), {}, {}, 7);
  s.live(kE);
  s.clear();
  s.receive(2, 3, pre_vote(4, 9, 6));
  const auto sent = s.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].term, Term(7));
  EXPECT_FALSE(std::get<PreVoteReply>(sent[0].body).granted);
}

// el-prevote-higher-term-voter-can-be-reabsorbed: or nobody could ever ask for a term it grants.
TEST(RaftElection, ARefusalTeachesTheAskerTheVotersTerm) {
  Solo s;
  s.run_to_election();
  s.receive(2, 7, PreVoteReply{Term(2), s.pre_round(), false});
  EXPECT_EQ(s.term(), 7u);
  EXPECT_FALSE(s.view().pre_campaigning);
}

TEST(RaftElection, RepliesToAnEarlierRoundDoNotCount) {
  Solo s;
  s.run_to_election();
  const std::uint64_t old = s.pre_round();
  s.live(1'000);  // asks again
  EXPECT_GT(s.pre_round(), old);
  s.receive(2, 1, PreVoteReply{Term(2), old, true});
  s.receive(3, 1, PreVoteReply{Term(2), old, true});
  EXPECT_EQ(s.view().role, Role::Follower);
  s.receive(3, 1, PreVoteReply{Term(2), s.pre_round(), true});
  EXPECT_EQ(s.view().role, Role::Candidate);
}

TEST(RaftElection, OnePeerCountsOnce) {
  Solo s(voters(5));
  s.run_to_election();
  for (int i = 0; i < 3; ++i) s.receive(2, 1, PreVoteReply{Term(2), s.pre_round(), true});
  EXPECT_EQ(s.view().role, Role::Follower);
}

// "only if term and role did not change meanwhile".
TEST(RaftElection, ALeadersMessageEndsThePreCampaign) {
  Solo s;
  s.run_to_election();
  s.heartbeat(2, 1);
  s.receive(3, 1, PreVoteReply{Term(2), s.pre_round(), true});
  EXPECT_EQ(s.view().role, Role::Follower);
  EXPECT_EQ(s.term(), 1u);
}

TEST(RaftElection, AVoteGivenMeanwhileEndsThePreCampaign) {
  Solo s;
  s.run_to_election();
  s.receive(2, 2, vote(1, 1));
  s.disk_done();
  s.receive(3, 1, PreVoteReply{Term(2), s.pre_round(), true});
  EXPECT_EQ(s.view().role, Role::Follower);
}

// W6: it holds what a data server lacks, and nobody else can hand it on.
TEST(RaftElection, AWitnessAskedBySomebodyWhoLacksItsEntriesStandsItself) {
  Configuration c = voters(3);
  c.members[0].kind = MemberKind::Witness;
  Solo s(c, {1, 1});
  s.live(kE + 10);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.receive(2, 1, pre_vote(2, 2, 1));
  s.pass(0);
  EXPECT_TRUE(s.view().pre_campaigning);
}

// ---- votes ------------------------------------------------------------------------------------

// D1, D2: el-vote-durable-crash-before-reply (M01).
TEST(RaftElection, D2_AVoteLeavesOnlyWhenItIsDurable) {
  Solo s;
  s.live(kE);
  s.clear();
  s.receive(2, 2, vote(1, 1));
  EXPECT_TRUE(s.sent().empty());
  EXPECT_EQ(s.held(), 1u);
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(2)->granted);
  s.restart();
  EXPECT_EQ(s.view().hard, (HardState{Term(2), NodeId(2)}));
  s.live(kE);
  s.clear();
  s.receive(3, 2, vote(9, 1));
  EXPECT_FALSE(s.sent_one<VoteReply>(3)->granted);
  s.receive(2, 2, vote(1, 1));
  EXPECT_TRUE(s.sent_one<VoteReply>(2)->granted) << "el-vote-repeat-same-candidate-granted-again";
}

TEST(RaftElection, D2_AVoteInATermThatIsDurableAlreadyWaitsForItsOwnWrite) {
  Solo s(voters(3), {1});
  s.live(kE);
  s.receive(2, 5, vote(1, 1));  // behind: refused, but its term is taken over
  s.disk_done();
  s.clear();
  s.receive(3, 5, vote(2, 1));
  EXPECT_TRUE(s.sent().empty());
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(3)->granted);
}

TEST(RaftElection, ARepeatedRequestDoesNotOvertakeTheWriteOfTheVote) {
  Solo s;
  s.live(kE);
  s.clear();
  s.receive(2, 2, vote(1, 1));
  s.receive(2, 2, vote(1, 1));
  EXPECT_TRUE(s.sent().empty());
  s.disk_done();
  EXPECT_EQ(s.sent_all<VoteReply>().size(), 2u);
}

// D1: a refusal carries the new term, too (M02).
TEST(RaftElection, D1_ARefusalInANewTermWaitsForTheTerm) {
  Solo s(voters(3), {1, 1});
  s.live(kE);
  s.clear();
  s.receive(2, 5, vote(1, 1));
  EXPECT_TRUE(s.sent().empty());
  s.disk_done();
  const auto sent = s.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].term, Term(5));
  EXPECT_FALSE(std::get<VoteReply>(sent[0].body).granted);
}

// el-candidate-crash-before-own-vote-durable (M03).
TEST(RaftElection, D2_ItsRequestsLeaveAndItsOwnVoteCountsOnlyWhenDurable) {
  Solo s;
  s.run_to_election();
  s.clear();
  s.receive(2, 1, PreVoteReply{Term(2), s.pre_round(), true});
  EXPECT_EQ(s.view().role, Role::Candidate);
  EXPECT_TRUE(s.sent_all<Vote>().empty());
  s.receive(2, 2, VoteReply{true});
  EXPECT_EQ(s.view().role, Role::Candidate) << "one of three: its own is not durable";
  s.disk_done();
  EXPECT_EQ(s.view().role, Role::Leader);
}

TEST(RaftElection, VotesOfOtherTermsDoNotCount) {
  Solo s;
  s.campaign();
  s.receive(2, 1, VoteReply{true});
  EXPECT_EQ(s.view().role, Role::Candidate);
  s.receive(2, 2, VoteReply{true});
  EXPECT_EQ(s.view().role, Role::Leader);
}

// el-stale-candidate-learns-term.
TEST(RaftElection, ARefusalOfALaterTermEndsTheCandidacy) {
  Solo s;
  s.campaign();
  s.receive(2, 9, VoteReply{false});
  EXPECT_EQ(s.view().role, Role::Follower);
  EXPECT_EQ(s.view().hard, (HardState{Term(9), NodeId{}}));
}

// el-candidate-yields-to-leader-same-term; stepping down within a term keeps the vote (M32).
TEST(RaftElection, ACandidateYieldsToTheLeaderOfItsTermAndKeepsItsVote) {
  Solo s;
  s.campaign();
  s.heartbeat(2, 2);
  EXPECT_EQ(s.view().role, Role::Follower);
  EXPECT_EQ(s.view().leader, NodeId(2));
  EXPECT_EQ(s.view().hard, (HardState{Term(2), NodeId(1)}));
}

// el-log-longer-lower-term-loses, el-log-equal-wins, el-shorter-log-same-term-loses (M15).
TEST(RaftElection, AVoteNeedsALogThatIsNotBehind) {
  const auto granted = [](std::uint64_t last, std::uint64_t term) {
    Solo s(voters(3), {1, 2, 2});  // ends at 4 of term 2
    s.live(kE);
    s.clear();
    s.receive(2, 9, vote(last, term));
    s.disk_done();
    return s.sent_one<VoteReply>()->granted;
  };
  EXPECT_TRUE(granted(4, 2));
  EXPECT_TRUE(granted(1, 3));
  EXPECT_FALSE(granted(3, 2));
  EXPECT_FALSE(granted(100, 1));
}

// me-learner-votes-when-asked, el-candidate-unknown-to-voter-config-can-win.
TEST(RaftElection, WhoBelongsToTheClusterDoesNotMatterForAVote) {
  Configuration c = voters(3);
  c.voters = {NodeId(2), NodeId(3)};
  c.learners = {NodeId(1)};
  Solo s(c);
  s.live(kE);
  s.clear();
  s.receive(9, 2, vote(1, 1));
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(9)->granted);
}

TEST(RaftElection, AVoteGivenPutsTheTimeoutOff) {
  Solo s;
  s.live(kE);
  s.receive(2, 2, vote(1, 1));
  s.disk_done();
  s.live(kE - 10);
  EXPECT_FALSE(s.view().pre_campaigning);
}

TEST(RaftElection, RetriesWhileAVoteIsBeingWrittenWouldBurnTerms) {
  Solo s;
  s.run_to_election();
  s.receive(2, 1, PreVoteReply{Term(2), s.pre_round(), true});
  s.live(1'900);  // the disk takes its time
  EXPECT_EQ(s.term(), 2u);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.disk_done();
  s.receive(3, 2, VoteReply{true});
  EXPECT_EQ(s.view().role, Role::Leader);
}

// ---- who may stand ----------------------------------------------------------------------------

TEST(RaftElection, ALearnerNeverStands) {
  Configuration c = voters(3);
  c.voters = {NodeId(2), NodeId(3)};
  c.learners = {NodeId(1)};
  Solo s(c);
  s.live(60'000);
  EXPECT_FALSE(s.view().pre_campaigning);
  EXPECT_TRUE(s.sent().empty());
}

// el-no-campaign-when-disk-stalled.
TEST(RaftElection, AStalledDiskDoesNotStand) {
  Solo s;
  s.append(2, 1, 1, 1, {1});  // its write is never finished
  s.live(30'000);
  EXPECT_TRUE(s.sent_all<Vote>().empty());
  EXPECT_FALSE(s.view().hard.term > Term(1));
  s.heartbeat(2, 1);
  const auto reply = s.sent_one<HeartbeatReply>();
  EXPECT_EQ(reply->disk, DiskState::Stalled);
}

TEST(RaftElection, AQuarantinedNodeNeitherStandsNorVotes) {
  DiskImage disk = Solo::image(voters(3), {1}, 0);
  disk.quarantine = LogPosition{Index(5), Term(1)};
  Solo s(std::move(disk));
  s.live(10'000);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.clear();
  s.receive(2, 5, pre_vote(6, 9, 9));
  EXPECT_FALSE(s.sent_one<PreVoteReply>()->granted);
  s.receive(2, 5, vote(9, 9));
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
}

// ---- leaders ----------------------------------------------------------------------------------

TEST(RaftElection, ALeaderInContactRefusesEverybody) {
  Solo s;
  s.lead();
  s.receive(2, 2, pre_vote(3, 99, 9));
  EXPECT_FALSE(s.sent_one<PreVoteReply>()->granted);
  s.receive(2, 3, vote(99, 9));
  EXPECT_FALSE(s.sent_one<VoteReply>()->granted);
  EXPECT_EQ(s.view().role, Role::Leader);
  EXPECT_EQ(s.term(), 2u);
}

// el-checkquorum-stepdown-in-E (M30).
TEST(RaftElection, ALeaderWithoutItsQuorumStepsDownAndFallsSilent) {
  Solo s(voters(5));
  s.lead();
  for (int i = 0; i < 5; ++i) {
    s.live(100);
    s.echo(2);  // one of four is not enough
  }
  EXPECT_EQ(s.view().role, Role::Leader);
  s.live(600);
  EXPECT_EQ(s.view().role, Role::Follower);
  EXPECT_EQ(s.term(), 2u);
  s.clear();
  s.live(500);
  EXPECT_TRUE(s.sent_all<Heartbeat>().empty());
}

TEST(RaftElection, LearnersDoNotKeepALeader) {
  Configuration c = voters(5);
  c.voters = {NodeId(1), NodeId(2), NodeId(3)};
  c.learners = {NodeId(4), NodeId(5)};
  Solo s(c);
  s.lead();
  for (int i = 0; i < 15; ++i) {
    s.live(100);
    s.echo(4);
    s.echo(5);
  }
  EXPECT_EQ(s.view().role, Role::Follower);
}

TEST(RaftElection, AJointLeaderNeedsBothMajorities) {
  Configuration c = voters(6);
  c.voters = {NodeId(1), NodeId(2), NodeId(3)};
  c.outgoing = {NodeId(4), NodeId(5), NodeId(6)};
  Solo s(c);
  s.campaign();
  for (std::uint64_t id = 2; id <= 6; ++id) s.receive(id, 2, VoteReply{true});
  ASSERT_EQ(s.view().role, Role::Leader);
  for (int i = 0; i < 15; ++i) {
    s.live(100);
    s.echo(2);
    s.echo(3);
  }
  EXPECT_EQ(s.view().role, Role::Follower);
}

TEST(RaftElection, LateCopiesOfOldEchoesDoNotKeepALeader) {
  Solo s;
  s.lead();
  const std::uint64_t old = s.round();
  s.live(100);
  s.echo(2);
  for (int i = 0; i < 15; ++i) {
    s.live(100);
    s.echo(2, old);
  }
  EXPECT_EQ(s.view().role, Role::Follower);
}

// el-restarted-follower..., "a node with an inflated term is re-absorbed".
TEST(RaftElection, AFollowerOfALaterTermAnswersAnOldLeaderWithItsTerm) {
  Solo s(voters(3), {}, {}, 9);
  s.heartbeat(2, 3);
  const auto sent = s.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].term, Term(9));
  EXPECT_EQ(s.view().leader, NodeId{}) << "el-leader-lower-term-append-deposes-nobody";
  s.append(2, 3, 1, 1, {3});
  EXPECT_FALSE(s.sent_one<AppendReply>()->success);
  EXPECT_EQ(s.view().last, Index(1));
}

TEST(RaftElection, ALeaderYieldsToALaterTermInAReply) {
  Solo s;
  s.lead();
  s.receive(3, 8, HeartbeatReply{});
  EXPECT_EQ(s.view().role, Role::Follower);
  EXPECT_EQ(s.term(), 8u);
}

// ---- whom messages are for --------------------------------------------------------------------

// tp-old-incarnation-dropped, rd-origin-restarted-reply-dropped (I19, R7).
TEST(RaftElection, MessagesOfEarlierLivesAreDropped) {
  Solo s;
  s.heartbeat(2, 1);
  s.clear();
  s.receive(2, 1, Heartbeat{2, Index{}, Index{}}, 5);
  EXPECT_EQ(s.sent_all<HeartbeatReply>().size(), 1u);
  s.receive(2, 1, Heartbeat{3, Index{}, Index{}}, 4);
  EXPECT_TRUE(s.sent().empty()) << "the sender has restarted since";
  Message message;
  message.from = NodeId(2);
  message.to = NodeId(1);
  message.from_incarnation = 5;
  message.to_incarnation = 99;
  message.term = Term(1);
  message.body = Heartbeat{4, Index{}, Index{}};
  s.receive(message);
  EXPECT_TRUE(s.sent().empty()) << "for another life of ours";
}

TEST(RaftElection, MessagesForSomebodyElseAreCountedAndIgnored) {
  Solo s;
  Message message;
  message.from = NodeId(2);
  message.to = NodeId(3);
  message.from_incarnation = 1;
  message.term = Term(9);
  message.body = Heartbeat{};
  s.receive(message);
  EXPECT_EQ(s.term(), 1u);
  EXPECT_EQ(s.view().protocol_errors, 1u);
}

TEST(RaftElection, ASecondLeaderOfOneTermIsNotFollowed) {
  Solo s;
  s.heartbeat(2, 1);
  s.heartbeat(3, 1);
  EXPECT_EQ(s.view().leader, NodeId(2));
  EXPECT_EQ(s.view().protocol_errors, 1u);
}

}  // namespace
}  // namespace fyr::raft
