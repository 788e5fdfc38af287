// One voter, rule by rule: D1-D9 of raft.md §3, R1-R6 of §6, limits of §13, and the claims of the
// Raft paper that one voter can show.
#include "raft/core.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/core_harness.h"

namespace fyr::raft {
namespace {

// ---- elections --------------------------------------------------------------------------------

TEST(RaftCore, IsAFollowerUntilItIsToldTheTime) {
  CoreHarness h;
  EXPECT_EQ(h.out.soft.role, Role::Follower);
  EXPECT_EQ(h.out.soft.leader, NodeId{});
  EXPECT_TRUE(h.writes.empty());
  ASSERT_TRUE(h.out.wake_at) << "a sole voter has something to do at once";
}

TEST(RaftCore, ASoleVoterCampaignsAtOnceInTheNextTerm) {
  CoreHarness h;
  h.on_time(0);
  EXPECT_EQ(h.out.soft.role, Role::Candidate);
  EXPECT_EQ(h.out.soft.term, Term(2));
  ASSERT_EQ(h.writes.size(), 1u);
  EXPECT_EQ(h.writes[0].hard, (HardState{Term(2), kSelf}));
  EXPECT_TRUE(h.writes[0].entries.empty());
}

// D2: el-candidate-crash-before-own-vote-durable.
TEST(RaftCore, D2_ItsOwnVoteCountsOnlyOnceDurable) {
  CoreHarness h;
  h.on_time(0);
  h.on_time(5'000);
  h.disk_done(WriteId{});  // news of the disk, but not of this write
  EXPECT_EQ(h.out.soft.role, Role::Candidate);
  EXPECT_EQ(h.out.soft.leader, NodeId{});
  h.disk_done();
  EXPECT_EQ(h.out.soft.role, Role::Leader);
  EXPECT_EQ(h.out.soft.leader, kSelf);
}

TEST(RaftCore, DoesNotCampaignTwiceWhileItsVoteIsBeingWritten) {
  CoreHarness h;
  h.on_time(0);
  h.on_time(1);
  h.on_time(60'000);
  EXPECT_EQ(h.out.soft.term, Term(2));
  EXPECT_EQ(h.writes.size(), 1u);
}

// Paper §8; co-noop-commits-old-tail.
TEST(RaftCore, ANewLeaderAppendsANoopOfItsTermAtOnce) {
  CoreHarness h;
  h.on_time(0);
  h.disk_done();
  ASSERT_EQ(h.writes.size(), 2u);
  ASSERT_EQ(h.writes[1].entries.size(), 1u);
  EXPECT_EQ(h.writes[1].entries[0].type, EntryType::Noop);
  EXPECT_EQ(h.writes[1].entries[0].term, Term(2));
  EXPECT_EQ(h.writes[1].entries[0].index, Index(2));
}

TEST(RaftCore, WithoutAConfigurationItNeverCampaigns) {
  CoreHarness h((RecoveredState()));
  h.on_time(1'000'000);
  EXPECT_EQ(h.out.soft.role, Role::Follower);
  EXPECT_EQ(h.out.wake_at, std::nullopt);
}

// Trap R2: a server that is no voter never starts an election.
TEST(RaftCore, ALearnerOrStrangerNeverCampaigns) {
  for (const bool learner : {true, false}) {
    RecoveredState state = fresh_voter();
    Configuration& c = state.configurations[0].second;
    c.voters = {NodeId(2)};
    if (learner) c.learners = {kSelf};
    CoreHarness h(std::move(state));
    h.on_time(1'000'000);
    EXPECT_EQ(h.out.soft.role, Role::Follower);
  }
}

TEST(RaftCore, DoesNotDecideAloneWhileAnotherVoterCounts) {
  for (const bool joint : {true, false}) {
    RecoveredState state = fresh_voter();
    Configuration& c = state.configurations[0].second;
    (joint ? c.outgoing : c.voters).push_back(NodeId(2));
    CoreHarness h(std::move(state));
    h.on_time(1'000'000);
    EXPECT_EQ(h.out.soft.role, Role::Follower) << (joint ? "joint" : "two voters");
  }
}

TEST(RaftCore, TheLatestConfigurationInTheLogCountsCommittedOrNot) {
  RecoveredState state = fresh_voter();
  Configuration two = state.configurations[0].second;
  two.voters.push_back(NodeId(2));
  state.configurations.emplace_back(Index(2), two);
  state.last = Index(2);
  state.entry_bytes = {1, 1};
  CoreHarness h(std::move(state));
  h.on_time(0);
  EXPECT_EQ(h.out.soft.role, Role::Follower);
}

// ---- replication and commit ---------------------------------------------------------------------

// D4: co-single-node-waits-for-disk.
TEST(RaftCore, D4_CommitsOnlyWhatIsOnItsDisk) {
  CoreHarness h;
  h.lead();
  const ProposalResult result = h.propose();
  EXPECT_EQ(result.index, Index(3));
  EXPECT_EQ(result.term, Term(2));
  EXPECT_EQ(h.out.soft.commit, Index(2));
  EXPECT_EQ(h.out.soft.last, Index(3));
  h.disk_done();
  EXPECT_EQ(h.out.soft.commit, Index(3));
}

// Paper §5.4.2, figure 8: entries of earlier terms commit through one of the own term.
TEST(RaftCore, OldEntriesCommitOnlyTogetherWithItsNoop) {
  RecoveredState state = fresh_voter();
  state.hard.term = Term(7);
  state.last = Index(5);
  state.runs = {{Index(1), Term(1)}, {Index(2), Term(7)}};
  state.entry_bytes = {1, 1, 1, 1, 1};
  CoreHarness h(std::move(state));
  h.on_time(0);
  h.disk_done();
  EXPECT_EQ(h.out.soft.role, Role::Leader);
  EXPECT_EQ(h.out.soft.durable, Index(5));
  EXPECT_EQ(h.out.soft.commit, Index(0)) << "all of it is durable, none of it of our term";
  h.disk_done();
  EXPECT_EQ(h.out.soft.commit, Index(6));
  EXPECT_EQ(h.handed_out.size(), 6u);
}

// D5.
TEST(RaftCore, D5_HandsOutEachCommittedAndDurableIndexOnceInOrder) {
  CoreHarness h;
  h.lead();
  h.propose();
  const WriteId first = h.last_write();
  h.propose();
  h.propose();
  EXPECT_EQ(h.handed_out.size(), 2u);
  h.disk_done(first);
  EXPECT_EQ(h.handed_out.size(), 3u);
  h.disk_done();
  h.disk_done();
  EXPECT_EQ(h.handed_out, (std::vector<Index>{Index(1), Index(2), Index(3), Index(4), Index(5)}));
}

TEST(RaftCore, ReplaysFromWhereTheStateWas) {
  RecoveredState state = fresh_voter();
  state.last = Index(9);
  state.entry_bytes.assign(9, 1);
  state.applied = Index(4);
  CoreHarness h(std::move(state));
  EXPECT_EQ(h.out.soft.applied, Index(4));
  EXPECT_TRUE(h.handed_out.empty()) << "what is committed is not known yet";
  h.on_time(0);
  h.disk_done();
  h.disk_done();
  ASSERT_EQ(h.handed_out.size(), 6u);
  EXPECT_EQ(h.handed_out.front(), Index(5));
}

// Three voters, five entries of term 3 behind the configuration, the state at entry 2.
RecoveredState follower_of_three() {
  RecoveredState out = fresh_voter();
  out.hard = {Term(3), NodeId{}};
  out.last = Index(6);
  out.runs = {{Index(1), Term(1)}, {Index(2), Term(3)}};
  Configuration three = single_voter({kSelf, "a", "127.0.0.1:1", "", 100});
  three.voters = {kSelf, NodeId(2), NodeId(3)};
  out.configurations = {{Index(1), three}};
  out.entry_bytes = {100, 100, 100, 100, 100, 100};
  out.applied = out.durable_applied = Index(2);
  return out;
}

TEST(RaftCore, WhatIsNotedAsCommittedIsAppliedWithoutALeader) {
  RecoveredState noted = follower_of_three();
  noted.committed = {Index(5), Term(3)};
  CoreHarness h(noted);
  EXPECT_EQ(h.handed_out, (std::vector<Index>{Index(3), Index(4), Index(5)}));
  EXPECT_EQ(h.core.view().commit, Index(5));
}

TEST(RaftCore, ANoteThatTheLogDoesNotBearOutCountsForNothing) {
  for (const LogPosition position : {LogPosition{Index(5), Term(2)}, LogPosition{Index(7), Term(3)},
                                     LogPosition{Index(1), Term(1)}}) {
    RecoveredState noted = follower_of_three();
    noted.committed = position;
    EXPECT_TRUE(CoreHarness(noted).handed_out.empty()) << position.index.value;
  }
  RecoveredState lost = follower_of_three();
  lost.committed = {Index(5), Term(3)};
  lost.quarantine = LogPosition{Index(8), Term(3)};
  EXPECT_TRUE(CoreHarness(lost).handed_out.empty()) << "in quarantine";
}

// el-promise-after-restart: as long as the life before may have made it, and no longer.
TEST(RaftCore, ThePromiseOfAnEarlierLifeEndsWithTheTimeSinceThatLife) {
  RecoveredState alone = follower_of_three();
  alone.alone_since = at_ms(300);
  CoreHarness h(alone);
  h.on_time(1'000);
  EXPECT_EQ(h.core.view().promise_until, at_ms(300) + CoreConfig().election_min);
  CoreHarness unknown(follower_of_three());
  unknown.on_time(1'000);
  EXPECT_EQ(unknown.core.view().promise_until, at_ms(1'000) + CoreConfig().election_min);
}

TEST(RaftCore, ProposalsOfOneStepShareOneWrite) {
  CoreHarness h;
  h.lead();
  const auto data = std::make_shared<const std::string>("x");
  const std::vector<Proposal> three = {
      {1, EntryType::App, data}, {2, EntryType::App, data}, {3, EntryType::App, data}};
  h.core.propose(at_ms(0), three);
  const Outputs out = h.core.take();
  ASSERT_EQ(out.persist.size(), 1u);
  EXPECT_EQ(out.persist[0].entries.size(), 3u);
  EXPECT_EQ(out.results.size(), 3u);
}

TEST(RaftCore, RefusesProposalsBeforeItLeads) {
  CoreHarness h;
  EXPECT_EQ(h.propose().refused->code, ErrorCode::NoLeader);
  h.on_time(0);
  const ProposalResult result = h.propose();
  EXPECT_EQ(result.refused->code, ErrorCode::NoLeader);
  EXPECT_EQ(result.refused->message, "No cluster leader");
}

TEST(RaftCore, TakesNothingTwice) {
  CoreHarness h;
  h.lead();
  h.propose();
  const Outputs again = h.core.take();
  EXPECT_TRUE(again.persist.empty());
  EXPECT_TRUE(again.results.empty());
  EXPECT_EQ(again.apply, std::nullopt);
}

// ---- limits -----------------------------------------------------------------------------------

// re-entry-over-limit-refused-at-propose.
TEST(RaftCore, RefusesAnEntryOverTheLimitAndTakesOneAtTheLimit) {
  CoreConfig config{.self = kSelf};
  config.max_entry_bytes = 100;
  CoreHarness h(fresh_voter(), config);
  h.lead();
  EXPECT_EQ(h.propose(std::string(101, 'x')).refused->code, ErrorCode::InvalidArgument);
  EXPECT_FALSE(h.propose(std::string(100, 'x')).refused);
}

// re-uncommitted-limit-refuses.
TEST(RaftCore, RefusesProposalsWhileTooManyBytesAreUnderWay) {
  CoreConfig config{.self = kSelf};
  config.max_unapplied_bytes = 1'000;
  CoreHarness h(fresh_voter(), config);
  h.lead();
  EXPECT_FALSE(h.propose(std::string(600, 'x')).refused);
  EXPECT_EQ(h.propose(std::string(600, 'x')).refused->code, ErrorCode::ResourceExhausted);
  h.disk_done();
  EXPECT_EQ(h.propose(std::string(600, 'x')).refused->code, ErrorCode::ResourceExhausted)
      << "committed is not applied";
  h.apply_done();
  EXPECT_FALSE(h.propose(std::string(600, 'x')).refused);
}

TEST(RaftCore, CountsEmptyEntriesToo) {
  CoreConfig config{.self = kSelf};
  config.max_unapplied_bytes = 1'000;
  CoreHarness h(fresh_voter(), config);
  h.lead();
  int taken = 0;
  while (taken < 100 && !h.propose("").refused) ++taken;
  EXPECT_LT(taken, 100);
}

TEST(RaftCore, RefusesProposalsWhenApplyingLagsTooFarBehind) {
  CoreConfig config{.self = kSelf};
  config.max_apply_lag = 3;
  CoreHarness h(fresh_voter(), config);
  h.lead();
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(h.propose().refused);
  h.disk_done();
  EXPECT_EQ(h.propose().refused->code, ErrorCode::ResourceExhausted);
  h.apply_done();
  EXPECT_FALSE(h.propose().refused);
}

TEST(RaftCore, ForgetsEntriesOnceTheyAreApplied) {
  CoreHarness h;
  h.lead();
  h.propose();
  EXPECT_TRUE(h.core.cached({Index(3), Index(3)}));
  h.disk_done();
  EXPECT_TRUE(h.core.cached({Index(3), Index(3)})) << "needed for applying";
  h.apply_done();
  EXPECT_FALSE(h.core.cached({Index(3), Index(3)}));
}

// ---- reads ------------------------------------------------------------------------------------

// R1: rd-before-own-term-commit-waits.
TEST(RaftCore, R1_NoReadIsServedBeforeItsFirstOwnCommit) {
  for (const ReadMode mode : {ReadMode::Default, ReadMode::Consistent}) {
    CoreHarness h;
    const std::uint64_t id = h.read(mode);
    h.on_time(0);
    h.disk_done();
    EXPECT_EQ(h.out.soft.role, Role::Leader);
    EXPECT_EQ(h.grant_of(id), nullptr);
    h.disk_done();
    EXPECT_EQ(h.out.soft.commit, Index(2));
    EXPECT_EQ(h.grant_of(id), nullptr) << "R6: committed, not applied";
    h.apply_done();
    ASSERT_NE(h.grant_of(id), nullptr);
    EXPECT_EQ(h.grant_of(id)->index, Index(2));
  }
}

// What it knew to be committed before is not all that may have been acknowledged.
TEST(RaftCore, R1_HoldsForAStateThatIsNotEmptyToo) {
  for (const ReadMode mode : {ReadMode::Default, ReadMode::Consistent}) {
    RecoveredState state = fresh_voter();
    state.last = Index(9);
    state.entry_bytes.assign(9, 1);
    state.applied = Index(4);
    CoreHarness h(std::move(state));
    h.on_time(0);
    h.disk_done();
    EXPECT_EQ(h.out.soft.role, Role::Leader);
    const std::uint64_t id = h.read(mode);
    EXPECT_EQ(h.grant_of(id), nullptr);
    h.disk_done();
    h.apply_done();
    ASSERT_NE(h.grant_of(id), nullptr);
    EXPECT_EQ(h.grant_of(id)->index, Index(10));
  }
}

TEST(RaftCore, LocalReadsAreAllowedOnceItsNoopIsApplied) {
  CoreHarness h;
  h.on_time(0);
  h.disk_done();
  h.disk_done();
  EXPECT_EQ(h.out.soft.readable_until, Instant::min());
  h.apply_done();
  EXPECT_EQ(h.out.soft.readable_until, Instant::max()) << "nobody can depose a sole voter";
}

// R3, R6.
TEST(RaftCore, R6_AConsistentReadWaitsForWhatWasCommittedBeforeIt) {
  CoreHarness h;
  h.lead();
  h.propose();
  h.disk_done();
  const std::uint64_t id = h.read(ReadMode::Consistent);
  EXPECT_EQ(h.grant_of(id), nullptr);
  h.apply_done();
  ASSERT_NE(h.grant_of(id), nullptr);
  EXPECT_EQ(h.grant_of(id)->index, Index(3));
}

TEST(RaftCore, ADefaultReadDoesNotWaitForWritesNobodyWasToldAbout) {
  CoreHarness h;
  h.lead();
  h.propose();
  h.disk_done();
  const std::uint64_t id = h.read(ReadMode::Default);
  ASSERT_NE(h.grant_of(id), nullptr);
  EXPECT_EQ(h.grant_of(id)->index, Index(2));
}

TEST(RaftCore, WaitingReadsEndAfterTwoSeconds) {
  CoreHarness h;
  h.on_time(0);  // a candidate whose disk does not answer
  const std::uint64_t id = h.read(ReadMode::Default);
  ASSERT_TRUE(h.out.wake_at);
  EXPECT_EQ(*h.out.wake_at, at_ms(2'000));
  h.on_time(1'999);
  EXPECT_EQ(h.grant_of(id), nullptr);
  h.on_time(2'000);
  ASSERT_NE(h.grant_of(id), nullptr);
  EXPECT_EQ(h.grant_of(id)->refused->code, ErrorCode::NoLeader);
  EXPECT_EQ(h.out.wake_at, std::nullopt);
}

TEST(RaftCore, AReadThatWaitsForASlowStateTimesOut) {
  CoreHarness h;
  h.lead();
  h.propose();
  h.disk_done();
  const std::uint64_t id = h.read(ReadMode::Consistent);
  h.on_time(3'000);
  ASSERT_NE(h.grant_of(id), nullptr);
  EXPECT_EQ(h.grant_of(id)->refused->code, ErrorCode::Timeout);
}

TEST(RaftCore, RefusesReadsBeyondTheLimit) {
  CoreConfig config{.self = kSelf};
  config.max_waiting_reads = 2;
  CoreHarness h(fresh_voter(), config);
  h.read(ReadMode::Default);
  h.read(ReadMode::Default);
  const std::uint64_t third = h.read(ReadMode::Default);
  ASSERT_NE(h.grant_of(third), nullptr);
  EXPECT_EQ(h.grant_of(third)->refused->code, ErrorCode::ResourceExhausted);
}

// ---- compaction ---------------------------------------------------------------------------------

CoreConfig small_retention() {
  CoreConfig config{.self = kSelf};
  config.retention = {
      .entries = 1'000, .bytes = 1 << 30, .step_entries = 500, .step_bytes = 1 << 30};
  return config;
}

// D7.
TEST(RaftCore, D7_CutsTheLogOnlyBelowTheDurableState) {
  CoreHarness h(fresh_voter(), small_retention());
  h.lead();
  for (int i = 0; i < 3'000; ++i) h.propose();
  h.disk_done();
  h.apply_done();
  EXPECT_TRUE(h.out.flush_state) << "the log wants to shrink";
  EXPECT_FALSE(h.out.compact);
  h.apply_done();
  EXPECT_FALSE(h.out.flush_state) << "asks once";
  h.apply_done(/*durable=*/true);
  ASSERT_TRUE(h.out.compact);
  EXPECT_GE(3'002 - h.out.compact->index.value, 1'000u);
  EXPECT_EQ(h.out.compact->term, Term(2));
  EXPECT_EQ(h.out.compact->configuration.voters, std::vector<NodeId>{kSelf});
}

TEST(RaftCore, KeepsItsConfigurationWhenTheEntryIsCutAway) {
  CoreHarness h(fresh_voter(), small_retention());
  h.lead();
  for (int i = 0; i < 3'000; ++i) h.propose();
  h.disk_done();
  h.apply_done(true);
  EXPECT_TRUE(h.out.compact);
  EXPECT_EQ(h.core.configuration().voters, std::vector<NodeId>{kSelf});
  EXPECT_FALSE(h.propose().refused);
  h.disk_done();
  EXPECT_EQ(h.out.soft.commit, Index(3'003));
}

// ---- time -------------------------------------------------------------------------------------

TEST(RaftCore, AClockThatStepsBackIsClampedAndCounted) {
  CoreHarness h;
  h.on_time(5'000);
  const std::uint64_t id = h.read(ReadMode::Default);
  h.on_time(1'000);
  EXPECT_EQ(h.core.view().clock_steps_back, 1u);
  EXPECT_EQ(*h.out.wake_at, at_ms(7'000));
  EXPECT_EQ(h.grant_of(id), nullptr);
}

TEST(RaftCore, NothingIsDueWhenASoleLeaderIsIdle) {
  CoreHarness h;
  h.lead();
  EXPECT_EQ(h.out.wake_at, std::nullopt);
}

}  // namespace
}  // namespace fyr::raft
