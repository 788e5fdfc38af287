// Offering and installing snapshots (raft.md §8).
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

SnapshotMeta meta(std::uint64_t index, std::uint64_t term, std::string id = "s") {
  return {std::move(id), Index(index), Term(term), "hash"};
}

SnapshotEvent prepared(const SnapshotMeta& of, const Configuration& configuration = voters(3)) {
  return {SnapshotEvent::Kind::Prepared, of, configuration};
}

// ---- follower ---------------------------------------------------------------------------------

class RaftInstall : public ::testing::Test {
 protected:
  void offer(const SnapshotMeta& of, std::uint64_t from = 2, std::uint64_t term = 2) {
    s.receive(from, term, SnapshotOffer{of, 1});
    s.disk_done();
  }
  Solo s{voters(3), {1, 1, 1}};
};

TEST_F(RaftInstall, FetchesPreparesInstallsActivatesAndReports) {
  offer(meta(50, 2));
  ASSERT_EQ(s.snapshot_fetches.size(), 1u);
  EXPECT_EQ(s.snapshot_fetches[0].from, NodeId(2));
  s.clear();
  s.snapshot(prepared(meta(50, 2)));
  EXPECT_TRUE(s.view().installing);
  ASSERT_EQ(s.out.persist.size(), 1u);
  EXPECT_EQ(s.out.persist[0].install->index, Index(50));
  EXPECT_TRUE(s.sent_all<SnapshotDone>().empty()) << "D8";
  EXPECT_FALSE(s.activated);
  s.disk_done();
  ASSERT_TRUE(s.activated);
  EXPECT_EQ(s.activated->index, Index(50));
  const auto done = s.sent_one<SnapshotDone>(2);
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->installed);
  EXPECT_EQ(done->index, Index(50));
  EXPECT_EQ(s.view().base, Index(50));
  EXPECT_EQ(s.view().last, Index(50)) << "the log did not hold it: all of it is gone";
  EXPECT_EQ(s.view().commit, Index(50));
  EXPECT_EQ(s.view().applied, Index(0)) << "until the state machine says so";
  s.apply_done();
  EXPECT_EQ(s.view().applied, Index(50));
  s.append(2, 2, 50, 2, {2}, 51);
  s.disk_done();
  EXPECT_EQ(s.view().handed, Index(51));
}

// sn-two-offers-in-short-time.
TEST_F(RaftInstall, RepeatedOffersAreOne) {
  offer(meta(50, 2));
  offer(meta(50, 2));
  EXPECT_EQ(s.snapshot_fetches.size(), 1u);
  offer(meta(60, 2, "t"));
  EXPECT_EQ(s.snapshot_fetches.size(), 2u) << "another one takes its place";
}

// sn-leader-change-mid-transfer.
TEST_F(RaftInstall, ANewLeadersOfferTakesTheOldOnesPlace) {
  offer(meta(50, 2));
  offer(meta(50, 2), 3, 3);
  ASSERT_EQ(s.snapshot_fetches.size(), 2u);
  EXPECT_EQ(s.snapshot_fetches[1].from, NodeId(3));
}

// sn-older-than-commit-ignored.
TEST_F(RaftInstall, AnOfferOfWhatIsCommittedHereIsAnsweredWithTheCommit) {
  s.append(2, 2, 4, 1, {}, 4);
  s.clear();
  offer(meta(3, 1));
  EXPECT_TRUE(s.snapshot_fetches.empty());
  const auto done = s.sent_one<SnapshotDone>();
  EXPECT_TRUE(done->installed);
  EXPECT_EQ(done->index, Index(4));
  EXPECT_EQ(done->term, Term(1));
}

TEST_F(RaftInstall, AnOfferOfAnEntryTheLogHoldsNeedsNoFetch) {
  s.clear();
  offer(meta(3, 1));
  EXPECT_TRUE(s.snapshot_fetches.empty());
  EXPECT_EQ(s.view().commit, Index(3));
  EXPECT_EQ(s.sent_one<SnapshotDone>()->index, Index(3));
}

// sn-append-overtakes-snapshot.
TEST_F(RaftInstall, AppendsThatOvertakeASnapshotEndIt) {
  offer(meta(6, 2));
  s.append(3, 3, 4, 1, {2, 2, 3}, 7);
  EXPECT_TRUE(s.out.drop_snapshot);
  s.disk_done();
  s.snapshot(prepared(meta(6, 2)));
  EXPECT_FALSE(s.view().installing);
  EXPECT_TRUE(s.out.drop_snapshot);
}

// sn-install-keeps-matching-suffix.
TEST_F(RaftInstall, AMatchingSuffixStays) {
  offer(meta(6, 2));
  s.append(3, 3, 4, 1, {2, 2, 3});  // 5, 6, 7; nothing committed
  s.disk_done();
  s.snapshot(prepared(meta(6, 2)));
  s.disk_done();
  EXPECT_EQ(s.view().base, Index(6));
  EXPECT_EQ(s.view().last, Index(7));
  EXPECT_EQ(s.disk().last(), Index(7));
  s.restart();
  EXPECT_EQ(s.view().last, Index(7));
}

// sn-install-over-conflicting-log (M23).
TEST_F(RaftInstall, AConflictingLogGoesAsAWhole) {
  s.append(3, 2, 4, 1, {2, 2, 2, 2});  // 5..8 of term 2
  s.disk_done();
  offer(meta(6, 3), 2, 3);
  s.snapshot(prepared(meta(6, 3)));
  s.disk_done();
  EXPECT_EQ(s.view().base, Index(6));
  EXPECT_EQ(s.view().last, Index(6));
  EXPECT_EQ(s.view().last_term, Term(3));
}

// me-voter-to-learner-by-snapshot, me-config-in-snapshot-beats-older-log.
TEST_F(RaftInstall, TheSnapshotsConfigurationCounts) {
  offer(meta(50, 2));
  Configuration c = voters(5);
  s.snapshot(prepared(meta(50, 2), c));
  EXPECT_EQ(s.core().configuration().voters.size(), 3u) << "not before it is installed";
  s.disk_done();
  EXPECT_EQ(s.core().configuration().voters.size(), 5u);
}

// el-no-campaign-while-installing.
TEST_F(RaftInstall, DoesNotStandMeanwhileButVotes) {
  offer(meta(50, 2));
  s.snapshot(prepared(meta(50, 2)));
  s.live(1'900);
  EXPECT_FALSE(s.view().pre_campaigning);
  s.clear();
  s.receive(3, 3, Vote{Index(60), Term(2), NodeId{}, Term{}});
  s.disk_done();
  EXPECT_TRUE(s.sent_one<VoteReply>(3)->granted);
}

TEST_F(RaftInstall, AppendsWaitWhileItIsWritten) {
  offer(meta(50, 2));
  s.snapshot(prepared(meta(50, 2)));
  s.clear();
  s.append(2, 2, 4, 1, {2});
  EXPECT_TRUE(s.sent_all<AppendReply>().empty());
  EXPECT_EQ(s.view().last, Index(4));
  s.heartbeat(2, 2);
  EXPECT_TRUE(s.sent_one<HeartbeatReply>()) << "but it is alive";
}

TEST_F(RaftInstall, WhatWasHandedOutBeforeIsAppliedFirst) {
  s.append(2, 2, 4, 1, {}, 3);
  ASSERT_EQ(s.view().handed, Index(3));
  offer(meta(50, 2));
  s.snapshot(prepared(meta(50, 2)));
  EXPECT_TRUE(s.out.persist.empty()) << "those entries may still be read from the log";
  s.apply_done();
  ASSERT_EQ(s.out.persist.size(), 1u);
  EXPECT_TRUE(s.out.persist[0].install);
}

TEST_F(RaftInstall, AFailureIsReportedAndTheNextOfferTriedAgain) {
  offer(meta(50, 2));
  s.clear();
  s.snapshot({SnapshotEvent::Kind::Failed, meta(50, 2), {}});
  EXPECT_FALSE(s.sent_one<SnapshotDone>(2)->installed);
  offer(meta(50, 2));
  EXPECT_EQ(s.snapshot_fetches.size(), 2u);
}

TEST_F(RaftInstall, APreparedSnapshotNobodyWaitsForIsDropped) {
  s.snapshot(prepared(meta(50, 2)));
  EXPECT_TRUE(s.out.drop_snapshot);
  EXPECT_FALSE(s.view().installing);
}

TEST_F(RaftInstall, AnOldLeadersOfferIsRefusedWithTheTerm) {
  s.heartbeat(2, 5);
  s.disk_done();
  s.clear();
  s.receive(3, 4, SnapshotOffer{meta(50, 2), 1});
  const auto sent = s.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].term, Term(5));
  EXPECT_TRUE(s.snapshot_fetches.empty());
}

TEST(RaftSnapshots, AQuarantinedNodeIsRebuiltFromASnapshot) {
  DiskImage disk = Solo::image(voters(3), {1}, 0);
  disk.quarantine = LogPosition{Index(40), Term(1)};
  Solo s(std::move(disk));
  s.receive(2, 2, SnapshotOffer{meta(50, 1), 1});
  s.disk_done();
  s.snapshot(prepared(meta(50, 1)));
  s.disk_done();
  s.apply_done();
  EXPECT_TRUE(s.view().quarantined) << "the leader's own term is not reached";
  s.append(2, 2, 50, 1, {2}, 51);
  s.disk_done();
  s.disk_done();
  EXPECT_FALSE(s.view().quarantined);
}

// ---- leader -----------------------------------------------------------------------------------

// A leader whose log begins behind what follower 3 needs.
class RaftOffer : public ::testing::Test {
 protected:
  void SetUp() override {
    s.lead();
    s.pass(100);
    s.echo(2);
    s.clear();
  }
  static DiskImage image() {
    DiskImage out;
    out.base = {Index(100), Term(1), voters(3)};
    for (std::uint64_t i = 101; i <= 110; ++i) out.entries[Index(i)] = Solo::entry(1, i);
    out.applied = Index(110);
    return out;
  }
  // Follower 3 comes back with an empty disk.
  void lose_everything() {
    HeartbeatReply reply;
    reply.round = s.round();
    s.receive(3, s.term(), reply, 2);
  }
  void made(std::uint64_t index, std::string id = "s") {
    s.snapshot({SnapshotEvent::Kind::Made, meta(index, 1, std::move(id)), {}});
  }
  // A beat, with 3 in contact.
  void beat() {
    s.pass(100);
    s.echo(2);
    HeartbeatReply reply;
    reply.round = s.round();
    s.receive(3, s.term(), reply, 2);
  }
  Solo s{image()};
};

TEST_F(RaftOffer, APeerWhoseEntriesAreGoneIsOfferedASnapshotMadeForIt) {
  lose_everything();
  EXPECT_TRUE(s.sent_all<Append>(3).empty()) << "M27: never without the term before it";
  beat();
  EXPECT_EQ(s.snapshots_wanted, 1);
  beat();
  EXPECT_EQ(s.snapshots_wanted, 1);
  s.clear();
  made(110);
  const auto offered = s.sent_one<SnapshotOffer>(3);
  ASSERT_TRUE(offered);
  EXPECT_EQ(offered->snapshot, meta(110, 1));
}

TEST_F(RaftOffer, AnOfferIsRepeatedOnceASecond) {
  lose_everything();
  beat();
  made(110);
  s.clear();
  for (int i = 0; i < 30; ++i) beat();
  EXPECT_EQ(s.sent_all<SnapshotOffer>(3).size(), 3u);
  EXPECT_EQ(s.sent_all<Heartbeat>(3).size(), 30u);
}

// sn-to-offline-peer-not-started.
TEST_F(RaftOffer, NothingIsOfferedToWhoIsNotThere) {
  lose_everything();
  for (int i = 0; i < 20; ++i) {
    s.pass(100);
    s.echo(2);
  }
  s.snapshots_wanted = 0;
  made(110);
  s.clear();
  for (int i = 0; i < 20; ++i) {
    s.pass(100);
    s.echo(2);
  }
  EXPECT_TRUE(s.sent_all<SnapshotOffer>().empty());
}

// sn-frequent-snapshots-do-not-restart-transfer.
TEST_F(RaftOffer, ASnapshotIsPinnedUntilItIsDone) {
  lose_everything();
  beat();
  made(105);
  s.clear();
  made(110, "t");
  for (int i = 0; i < 11; ++i) beat();
  for (const SnapshotOffer& offer : s.sent_all<SnapshotOffer>(3)) {
    EXPECT_EQ(offer.snapshot.id, "s");
  }
}

// sn-lagging-follower-installs-then-follows, sn-completion-accepted.
TEST_F(RaftOffer, WhenItIsInstalledTheLogGoesOnBehindIt) {
  lose_everything();
  beat();
  made(105);
  s.clear();
  s.receive(3, s.term(), SnapshotDone{"s", true, Index(105), Term(1)}, 2);
  ASSERT_FALSE(s.fetches.empty()) << "the entries are on disk only";
  EXPECT_EQ(s.fetches.back().range.first, Index(106));
  EXPECT_FALSE(s.core().peers().at(1).snapshot);
  EXPECT_EQ(s.core().peers().at(1).match, Index(105));
}

TEST_F(RaftOffer, ACompletionThatFitsNoEntryIsNotBelieved) {
  lose_everything();
  beat();
  made(105);
  s.receive(3, s.term(), SnapshotDone{"s", true, Index(105), Term(9)}, 2);
  s.receive(3, s.term(), SnapshotDone{"s", true, Index(500), Term(1)}, 2);
  EXPECT_TRUE(s.core().peers().at(1).snapshot);
  EXPECT_EQ(s.core().peers().at(1).match, Index(0));
}

TEST_F(RaftOffer, AnAppendSuccessEndsItToo) {
  lose_everything();
  beat();
  made(105);
  AppendReply ack;
  ack.success = true;
  ack.match = ack.durable_last = Index(108);
  ack.round = s.round();
  s.receive(3, s.term(), ack, 2);
  EXPECT_FALSE(s.core().peers().at(1).snapshot);
  EXPECT_EQ(s.core().peers().at(1).match, Index(108));
}

TEST_F(RaftOffer, AfterThreeFailuresAnotherOneIsMade) {
  lose_everything();
  beat();
  made(110);
  for (int i = 0; i < 3; ++i) {
    s.receive(3, s.term(), SnapshotDone{"s", false, Index{}, Term{}}, 2);
  }
  s.snapshots_wanted = 0;
  beat();
  EXPECT_EQ(s.snapshots_wanted, 1);
}

TEST_F(RaftOffer, ASnapshotThatCannotBeMadeIsTriedAgainAfterAWhile) {
  lose_everything();
  beat();
  s.snapshot({SnapshotEvent::Kind::Failed, {}, {}});
  for (int i = 0; i < 45; ++i) beat();
  EXPECT_EQ(s.snapshots_wanted, 1);
  for (int i = 0; i < 10; ++i) beat();
  EXPECT_EQ(s.snapshots_wanted, 2);
}

// sn-retention-during-send.
TEST(RaftSnapshots, TheLogBehindAPinnedSnapshotIsKept) {
  CoreConfig config;
  config.retention = {.entries = 20, .bytes = 1 << 20, .step_entries = 10, .step_bytes = 1 << 20};
  Cluster c(3, config);
  const std::uint64_t leader = c.elect();
  const std::uint64_t other = leader == 1 ? 2 : 1;
  c.isolate(other);
  for (int i = 0; i < 200; ++i) c.propose(leader), c.run(10);
  EXPECT_GT(c.view(leader).base, c.view(other).last);
  c.heal();
  ASSERT_TRUE(c.run_until([&] { return c[leader].make_snapshot; }));
  const SnapshotMeta of = {"s", c[leader].soft.applied,
                           *c.core(leader).term_at(c[leader].soft.applied), "h"};
  c.snapshot(leader, {SnapshotEvent::Kind::Made, of, {}});
  c.run(50);
  ASSERT_FALSE(c[other].fetches.empty());
  for (int i = 0; i < 200; ++i) c.propose(leader), c.run(10);
  EXPECT_LE(c.view(leader).base, of.index);
  c.snapshot(other, prepared(of));
  ASSERT_TRUE(c.run_until([&] { return c[other].soft.applied == c[leader].soft.applied; }, 2'000));
  for (int i = 0; i < 50; ++i) c.propose(leader), c.run(10);
  EXPECT_GT(c.view(leader).base, of.index) << "and then it goes";
}

}  // namespace
}  // namespace fyr::raft
