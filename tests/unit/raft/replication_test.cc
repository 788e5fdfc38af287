// Replication and commit message by message (raft.md §3, §4).
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

CoreConfig small_windows() {
  CoreConfig out;
  out.window_messages = 4;
  out.max_append_bytes = 1;  // one entry a message
  return out;
}

// ---- leader: sending --------------------------------------------------------------------------

// D4: re-leader-appends-before-own-fsync, co-commit-without-leader-disk.
TEST(RaftReplication, D4_EntriesLeaveBeforeTheLeadersSyncAndCommitWithoutIt) {
  Solo s;
  s.lead();
  const Index index = s.propose("a").index;
  const auto sent = s.sent_all<Append>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(*sent[0].entries.at(0).data, "a");
  s.acknowledge(2);
  EXPECT_LT(s.view().commit, index);
  s.acknowledge(3);
  EXPECT_EQ(s.view().commit, index) << "two of three disks";
  EXPECT_LT(s.view().handed, index) << "D5: not on ours";
  s.disk_done();
  EXPECT_EQ(s.view().handed, index);
}

TEST(RaftReplication, D4_ItsOwnDiskCountsLikeAnother) {
  Solo s;
  s.lead();
  const Index index = s.propose().index;
  s.disk_done();
  EXPECT_LT(s.view().commit, index);
  s.acknowledge(3);
  EXPECT_EQ(s.view().commit, index);
}

TEST(RaftReplication, ProposalsOfOneStepLeaveInOneMessage) {
  Solo s;
  s.lead();
  const auto data = std::make_shared<const std::string>("x");
  std::vector<Proposal> many(50, Proposal{1, EntryType::App, data});
  s.core().propose(s.now(), many);
  const Outputs out = s.core().take();
  ASSERT_EQ(out.send.size(), 2u);
  EXPECT_EQ(std::get<Append>(out.send[0].message.body).entries.size(), 50u);
  EXPECT_EQ(std::get<Append>(out.send[0].message.body).entries[7].data, data) << "not copied";
}

// D1: the first word of a new leader waits for nothing but its term, which is durable.
TEST(RaftReplication, ANewLeaderSendsItsNoopAtOnce) {
  Solo s;
  s.campaign();
  s.clear();
  s.receive(2, 2, VoteReply{true});
  const auto sent = s.sent_all<Append>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].entries.at(0).type, EntryType::Noop);
  EXPECT_EQ(sent[0].prev, Index(1));
}

// Figure 8 of the paper; co-figure8-never-committed-by-count (M06).
TEST(RaftReplication, OldEntriesAreNotCommittedByCountingCopies) {
  Solo s(voters(3), {2, 2});  // 2 and 3 of term 2
  s.campaign();               // term 3
  s.receive(2, 3, VoteReply{true});
  s.disk_done();
  s.acknowledge(2, 3);
  s.acknowledge(3, 3);
  EXPECT_EQ(s.view().commit, Index(0)) << "on all disks, but not of its term";
  s.acknowledge(2, 4);
  EXPECT_EQ(s.view().commit, Index(4));
}

// ---- leader: probing --------------------------------------------------------------------------

// re-one-probe-per-term-large-divergence.
TEST(RaftReplication, ProbesAtMostOncePerTerm) {
  std::vector<std::uint64_t> terms;
  for (std::uint64_t i = 0; i < 600; ++i) terms.push_back(2 + 2 * (i / 100));  // 2, 4, .. 12
  Solo s(voters(3), terms);
  s.campaign();
  s.receive(2, s.term(), VoteReply{true});
  s.disk_done();
  // The follower has 150 entries of term 2, then 600 of term 3.
  int probes = 0;
  for (;; ++probes) {
    const auto probe = s.sent_one<Append>(3);
    if (!probe) break;
    if (probe->prev.value <= 101) break;  // where the logs agree
    AppendReply reject;
    reject.prev = probe->prev;
    reject.hint = Index(std::min<std::uint64_t>(probe->prev.value, 751));
    reject.hint_term = Term(3);
    if (probe->prev_term < Term(3)) reject.hint = Index(151), reject.hint_term = Term(2);
    s.receive(3, s.term(), reject);
    ASSERT_LT(probes, 10);
  }
  EXPECT_LE(probes, 2);
}

TEST(RaftReplication, OneProbeAtATimeRearmedByALaterHeartbeatsEcho) {
  Solo s;
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  s.disk_done();
  EXPECT_EQ(s.sent_all<Append>(3).size(), 1u);
  s.propose();
  s.propose();
  EXPECT_TRUE(s.sent_all<Append>(3).empty());
  s.pass(0);
  const std::uint64_t old = s.round();
  s.pass(100);
  s.echo(3, old);
  EXPECT_EQ(s.sent_all<Append>(3).size(), 1u) << "the probe left before that round";
  s.echo(3, old);
  s.echo(3, s.round());
  EXPECT_TRUE(s.sent_all<Append>(3).empty()) << "it left after both rounds";
  s.pass(100);
  s.echo(3);
  EXPECT_EQ(s.sent_all<Append>(3).size(), 1u);
}

// re-late-rejection-after-success, re-rejection-then-success-crossing (M33).
TEST(RaftReplication, StaleRejectionsNeverMoveProgressBelowTheMatch) {
  Solo s;
  s.lead();
  s.propose();
  s.propose();
  s.acknowledge(2);
  const Index match = s.view().last;
  AppendReply reject;
  reject.prev = Index(2);
  reject.hint = Index(1);
  reject.hint_term = Term(1);
  s.clear();
  s.receive(2, 2, reject);
  EXPECT_TRUE(s.sent_all<Append>(2).empty());
  reject.prev = match.next();  // of a message that was never sent
  s.receive(2, 2, reject);
  EXPECT_EQ(s.view().protocol_errors, 1u);
  for (const PeerStatus& peer : s.core().peers()) {
    if (peer.id == NodeId(2)) {
      EXPECT_EQ(peer.match, match);
    }
  }
  s.propose();
  EXPECT_EQ(s.sent_all<Append>(2).at(0).prev, match);
}

TEST(RaftReplication, ARejectionOfAnOlderProbeIsIgnored) {
  Solo s(voters(3), {1, 1, 1, 1, 1, 1});
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  s.disk_done();
  const Append first = *s.sent_one<Append>(3);
  AppendReply reject;
  reject.prev = first.prev;
  reject.hint = Index(4);
  reject.hint_term = Term(1);
  s.receive(3, 2, reject);
  EXPECT_EQ(s.sent_one<Append>(3)->prev, Index(4));
  s.receive(3, 2, reject);  // once more
  EXPECT_TRUE(s.sent_all<Append>(3).empty());
}

// re-probe-caught-up-follower-returns-to-replicate.
TEST(RaftReplication, ACaughtUpFollowerThatIsProbedReturnsToTheWindow) {
  Solo s;
  s.lead();
  s.link(2, LinkState::Down);
  s.propose();
  EXPECT_TRUE(s.sent_all<Append>(2).empty());
  s.link(2, LinkState::Up);
  EXPECT_EQ(s.sent_all<Append>(2).size(), 1u);
  s.acknowledge(2, s.view().last.value - 1);  // nothing new: it has what it had
  EXPECT_EQ(s.sent_all<Append>(2).size(), 1u) << "the entry itself";
  s.propose();
  EXPECT_EQ(s.sent_all<Append>(2).size(), 1u) << "and the next one without waiting";
}

// ---- leader: window ---------------------------------------------------------------------------

// re-window-full-all-lost-heals (M34).
TEST(RaftReplication, AWindowThatGotLostIsNoticed) {
  Solo s(voters(3), {}, small_windows());
  s.lead();
  for (int i = 0; i < 10; ++i) s.propose();
  EXPECT_EQ(s.sent_all<Append>(2).size(), 4u) << "the window";
  s.pass(100);
  s.echo(2);
  EXPECT_TRUE(s.sent_all<Append>(2).empty()) << "they may still come";
  for (int i = 0; i < 3; ++i) {
    s.pass(100);
    s.echo(2);
  }
  const auto empty = s.sent_one<Append>(2);
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->entries.empty());
  AppendReply reject;
  reject.prev = empty->prev;
  reject.hint = Index(2);
  reject.hint_term = Term(2);
  reject.round = s.round();
  s.receive(2, 2, reject);
  const auto again = s.sent_one<Append>(2);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->prev, Index(2));
  EXPECT_FALSE(again->entries.empty());
}

TEST(RaftReplication, TheWindowMovesWithEachAcknowledgement) {
  Solo s(voters(3), {}, small_windows());
  s.lead();
  for (int i = 0; i < 10; ++i) s.propose();
  s.clear();
  s.acknowledge(2, 4);
  EXPECT_EQ(s.sent_all<Append>(2).size(), 2u);
  s.acknowledge(2, 4);
  EXPECT_TRUE(s.sent_all<Append>(2).empty());
}

// re-entry-at-limit-alone-in-message.
TEST(RaftReplication, ALargeEntryTravelsAlone) {
  CoreConfig config;
  config.max_append_bytes = 1'000;
  Solo s(voters(3), {}, config);
  s.lead();
  s.core().propose(
      s.now(), std::vector<Proposal>{{1, EntryType::App, std::make_shared<std::string>("a")},
                                     {2, EntryType::App, std::make_shared<std::string>(5'000, 'b')},
                                     {3, EntryType::App, std::make_shared<std::string>("c")}});
  s.pass(0);
  const auto sent = s.sent_all<Append>(2);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].entries.size(), 1u);
}

// re-slow-follower-does-not-slow-quorum.
TEST(RaftReplication, ASilentFollowerDoesNotHoldUpTheOthers) {
  Solo s(voters(3), {}, small_windows());
  s.lead();
  for (int i = 0; i < 100; ++i) {
    const Index index = s.propose().index;
    s.disk_done();
    s.acknowledge(2);
    ASSERT_EQ(s.view().commit, index);
  }
}

TEST(RaftReplication, EntriesNoLongerInMemoryAreFetched) {
  Solo s(voters(3), {1, 1, 1, 1});
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  s.disk_done();
  s.clear();
  AppendReply reject;
  reject.prev = Index(5);
  reject.hint = Index(2);
  reject.hint_term = Term(1);
  s.receive(3, 2, reject);
  EXPECT_TRUE(s.sent_one<Append>(3)->entries.empty()) << "a probe does not wait for the disk";
  s.acknowledge(3, 2);
  ASSERT_EQ(s.fetches.size(), 1u);
  EXPECT_EQ(s.fetches[0].range.first, Index(3));
  EXPECT_TRUE(s.sent_all<Append>(3).empty());
  FetchedLog fetched{NodeId(3), s.fetches[0].range, {Solo::entry(1, 3), Solo::entry(1, 4)}};
  s.core().on_log_fetched(s.now(), fetched);
  s.pass(0);
  EXPECT_EQ(s.sent_one<Append>(3)->entries.size(), 2u);
  ASSERT_EQ(s.fetches.size(), 2u) << "and the rest";
  EXPECT_EQ(s.fetches[1].range.first, Index(5));
}

TEST(RaftReplication, WhatWasFetchedForAnEarlierPositionIsNotSent) {
  Solo s(voters(3), {1, 1, 1, 1});
  s.campaign();
  s.receive(2, 2, VoteReply{true});
  s.disk_done();
  s.acknowledge(3, 2);
  ASSERT_EQ(s.fetches.size(), 1u);
  s.acknowledge(3, 4);  // it had them
  s.clear();
  s.core().on_log_fetched(s.now(), {NodeId(3), s.fetches[0].range, {Solo::entry(1, 3)}});
  s.pass(0);
  EXPECT_TRUE(s.sent_all<Append>(3).empty());
}

// ---- leader: commit notices -------------------------------------------------------------------

// re-heartbeat-commit-limited-to-match (M13).
TEST(RaftReplication, AHeartbeatTellsOfNoMoreThanThePeerAcknowledged) {
  Solo s;
  s.lead();
  s.propose();
  s.disk_done();
  s.acknowledge(2);
  s.apply_done();
  s.clear();
  s.pass(100);
  EXPECT_EQ(s.sent_one<Heartbeat>(2)->commit, Index(3));
  EXPECT_EQ(s.sent_one<Heartbeat>(3)->commit, Index(2));
}

// A follower's state is never ahead of the leader's, or reads under the lease could go back.
TEST(RaftReplication, ACommitIsAnnouncedOnceTheLeaderHasAppliedIt) {
  Solo s;
  s.lead();
  s.propose();
  s.acknowledge(2);
  s.acknowledge(3);
  EXPECT_EQ(s.view().commit, Index(3));
  s.clear();
  s.pass(100);
  EXPECT_EQ(s.sent_one<Heartbeat>(2)->commit, Index(2));
  s.disk_done();
  s.apply_done();
  s.pass(5);
  EXPECT_EQ(s.sent_one<Heartbeat>(2)->commit, Index(3)) << "soon, and not with the next beat";
}

TEST(RaftReplication, NewsOfACommitRidesOnAppends) {
  Solo s;
  s.lead();
  s.propose();
  s.disk_done();
  s.acknowledge(2);
  s.acknowledge(3);
  s.apply_done();
  s.clear();
  s.propose();
  EXPECT_EQ(s.sent_one<Append>(2)->commit, Index(3));
  s.pass(5);
  EXPECT_TRUE(s.sent_all<Heartbeat>().empty());
}

// ---- leader: peers that come back -------------------------------------------------------------

// re-match-regression-detected.
TEST(RaftReplication, AFollowerThatLostWhatItAcknowledgedDoesNotCount) {
  Solo s;
  s.lead();
  s.propose();
  s.acknowledge(2);
  s.acknowledge(3);
  s.pass(100);
  HeartbeatReply reply;
  reply.round = s.round();
  reply.durable_last = Index(1);
  s.receive(3, 2, reply, 2);  // restarted
  const auto regressed = [&] { return s.core().peers().at(1).regressed; };
  EXPECT_TRUE(regressed());
  const Index index = s.propose().index;
  AppendReply ack;
  ack.success = true;
  ack.match = ack.durable_last = index;
  s.receive(3, 2, ack, 2);
  s.disk_done();
  EXPECT_LT(s.view().commit, index) << "ours alone";
  ack.quarantined = true;
  s.receive(3, 2, ack, 2);  // it has noticed: what it holds counts again
  EXPECT_FALSE(regressed());
  EXPECT_EQ(s.view().commit, index);
}

TEST(RaftReplication, AFollowerThatRestartsWithEverythingIsComparedAgain) {
  Solo s;
  s.lead();
  s.pass(100);
  s.clear();
  HeartbeatReply reply;
  reply.round = s.round();
  reply.durable_last = s.view().last;
  s.receive(3, 2, reply, 2);
  const auto probe = s.sent_one<Append>(3);
  ASSERT_TRUE(probe) << "it believes no commit before that";
  EXPECT_EQ(probe->prev, s.view().last);
}

TEST(RaftReplication, LateNewsOfLessIsNoRegression) {
  Solo s;
  s.lead();
  s.propose();
  s.acknowledge(3);
  HeartbeatReply reply;
  reply.round = s.round();
  reply.durable_last = Index(1);
  s.receive(3, 2, reply);  // left before the acknowledgement
  EXPECT_FALSE(s.core().peers().at(1).regressed);
}

TEST(RaftReplication, AcknowledgementsOfAnotherTermOrOfNothingWeHaveAreIgnored) {
  Solo s;
  s.lead();
  const Index index = s.propose().index;
  s.disk_done();
  AppendReply ack;
  ack.success = true;
  ack.match = ack.prev = index;
  s.receive(2, 1, ack);
  EXPECT_LT(s.view().commit, index);
  ack.match = Index(100);
  s.receive(2, 2, ack);
  EXPECT_LT(s.view().commit, index);
  EXPECT_EQ(s.view().protocol_errors, 1u);
}

// ---- limits -----------------------------------------------------------------------------------

// re-uncommitted-limit-refuses-but-noop-passes.
TEST(RaftReplication, WhileWritesAreRefusedItsOwnEntriesPass) {
  CoreConfig config;
  config.max_unapplied_bytes = 1'000;
  Solo s(voters(3), {}, config);
  s.lead();
  while (!s.propose(std::string(300, 'x')).refused) continue;
  EXPECT_EQ(s.out.results.back().refused->code, ErrorCode::ResourceExhausted);
  EXPECT_FALSE(s.propose("", EntryType::Check).refused);
}

// ---- follower ---------------------------------------------------------------------------------

// D3 (M04).
TEST(RaftFollowing, D3_AnAcknowledgementWaitsForTheDisk) {
  Solo s;
  s.append(2, 1, 1, 1, {1, 1});
  EXPECT_TRUE(s.sent_all<AppendReply>().empty());
  s.disk_done();
  const auto ack = s.sent_one<AppendReply>(2);
  EXPECT_TRUE(ack->success);
  EXPECT_EQ(ack->match, Index(3));
}

// D3: re-aba-append (M28). The entry is the same as the one whose write ends first.
TEST(RaftFollowing, D3_OnlyTheLastWriteOfAnEntryAcknowledgesIt) {
  Solo s;
  s.append(2, 2, 1, 1, {2});     // A
  s.append(3, 3, 1, 1, {3});     // B
  s.append(2, 4, 1, 1, {2, 4});  // A again, by a leader of term 4 that has it
  s.clear();
  s.disk_done(1);
  EXPECT_TRUE(s.sent_all<AppendReply>().empty() || s.held() > 0);
  s.clear();
  s.disk_done(1);
  for (const AppendReply& reply : s.sent_all<AppendReply>()) EXPECT_LT(reply.match, Index(3));
  s.disk_done();
  const auto last = s.sent_all<AppendReply>();
  ASSERT_FALSE(last.empty());
  EXPECT_EQ(last.back().match, Index(3));
}

TEST(RaftFollowing, D1_RefusalsInANewTermWaitForTheTerm) {
  Solo s;
  s.append(2, 5, 9, 5, {5});
  EXPECT_TRUE(s.sent().empty());
  s.disk_done();
  const auto sent = s.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].term, Term(5));
}

TEST(RaftFollowing, HeartbeatsAreAnsweredWhileEntriesAreBeingWritten) {
  Solo s;
  s.append(2, 1, 1, 1, {1, 1});
  s.heartbeat(2, 1);
  const auto reply = s.sent_one<HeartbeatReply>();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->durable_last, Index(1));
}

// re-commit-limited-to-verified (M12).
TEST(RaftFollowing, CommitsNoMoreThanTheMessageHasShownToBeEqual) {
  Solo s(voters(3), {1, 1, 1, 1});
  s.append(2, 2, 3, 1, {}, 5);
  EXPECT_EQ(s.view().commit, Index(3)) << "4 and 5 may differ from the leader's";
  s.append(2, 2, 3, 1, {1}, 5);
  EXPECT_EQ(s.view().commit, Index(4));
}

TEST(RaftFollowing, AHeartbeatCommitsOnlyWhatThisLeadersAppendsReached) {
  Solo s(voters(3), {1, 1, 1});
  s.heartbeat(2, 2, 4);
  EXPECT_EQ(s.view().commit, Index(0));
  s.append(2, 2, 3, 1, {});
  s.heartbeat(2, 2, 4);
  EXPECT_EQ(s.view().commit, Index(3));
  s.append(3, 3, 4, 1, {});
  s.heartbeat(3, 3, 4);
  EXPECT_EQ(s.view().commit, Index(4));
}

// re-lost-commit-notice-healed-by-heartbeat.
TEST(RaftFollowing, AHeartbeatBringsTheCommitThatGotLost) {
  Solo s;
  s.append(2, 1, 1, 1, {1, 1}, 1);
  s.disk_done();
  s.heartbeat(2, 1, 3);
  EXPECT_EQ(s.view().commit, Index(3));
  s.heartbeat(2, 1, 2);
  EXPECT_EQ(s.view().commit, Index(3)) << "never back";
}

// re-duplicate-append-harmless, re-reordered-appends (M14).
TEST(RaftFollowing, AnAppendThatSaysLessCutsNothing) {
  Solo s;
  s.append(2, 1, 1, 1, {1, 1, 1});
  s.append(2, 1, 1, 1, {1});
  EXPECT_EQ(s.view().last, Index(4));
  s.append(2, 1, 2, 1, {});
  EXPECT_EQ(s.view().last, Index(4));
  for (const PersistBatch& batch : s.out.persist) EXPECT_EQ(batch.truncate_from, Index{});
  s.disk_done();
  EXPECT_EQ(s.disk().last(), Index(4));
}

// re-follower-higher-term-uncommitted-tail.
TEST(RaftFollowing, OnlyARealConflictCutsTheTail) {
  Solo s(voters(3), {2, 2, 2});
  s.append(2, 3, 2, 2, {3});
  EXPECT_EQ(s.view().last, Index(3));
  ASSERT_EQ(s.out.persist.size(), 1u);
  EXPECT_EQ(s.out.persist[0].truncate_from, Index(3));
  EXPECT_EQ(s.out.persist[0].entries.at(0).term, Term(3));
  s.disk_done();
  EXPECT_EQ(s.disk().entries.at(Index(3)).term, Term(3));
  EXPECT_EQ(s.disk().last(), Index(3));
}

TEST(RaftFollowing, TwoConflictsWithinOneStepMakeOneWriteThatIsRight) {
  Solo s(voters(3), {1, 1, 1});  // 2..4 of term 1
  const auto receive = [&](std::uint64_t from, std::uint64_t term, std::uint64_t prev,
                           std::uint64_t prev_term, std::vector<std::uint64_t> terms) {
    Message message;
    message.from = NodeId(from);
    message.to = NodeId(1);
    message.from_incarnation = 1;
    message.term = Term(term);
    Append body;
    body.prev = Index(prev);
    body.prev_term = Term(prev_term);
    for (const std::uint64_t each : terms) body.entries.push_back(Solo::entry(each, ++prev));
    message.body = std::move(body);
    s.core().on_message(s.now(), std::move(message));
  };
  receive(2, 2, 3, 1, {2, 2});  // 4, 5 of term 2
  receive(3, 3, 2, 1, {3});     // 3 of term 3
  receive(2, 4, 3, 3, {4});     // 4 of term 4
  s.pass(0);
  s.disk_done();
  EXPECT_EQ(s.disk().last(), Index(4));
  EXPECT_EQ(s.disk().entries.at(Index(2)).term, Term(1));
  EXPECT_EQ(s.disk().entries.at(Index(3)).term, Term(3));
  EXPECT_EQ(s.disk().entries.at(Index(4)).term, Term(4));
  EXPECT_EQ(s.view().durable, Index(4));
}

TEST(RaftFollowing, TheHintIsItsLastPositionOfATermNotAboveTheLeaders) {
  Solo s(voters(3), {1, 3, 3, 3, 5, 5});  // 2: 1, 3-5: 3, 6-7: 5
  const auto hint = [&](std::uint64_t prev, std::uint64_t prev_term) {
    s.append(2, 9, prev, prev_term, {});
    s.disk_done();
    const auto reply = s.sent_all<AppendReply>().back();
    EXPECT_FALSE(reply.success);
    EXPECT_EQ(reply.prev, Index(prev));
    return std::pair(reply.hint.value, reply.hint_term.value);
  };
  EXPECT_EQ(hint(20, 9), std::pair(std::uint64_t{7}, std::uint64_t{5}));
  EXPECT_EQ(hint(7, 4), std::pair(std::uint64_t{5}, std::uint64_t{3}));
  EXPECT_EQ(hint(4, 2), std::pair(std::uint64_t{2}, std::uint64_t{1}));
}

// re-late-append-below-commit.
TEST(RaftFollowing, AnAppendBelowTheCommitIsAcknowledgedThere) {
  Solo s(voters(3), {1, 1, 1});
  s.append(2, 2, 4, 1, {2}, 4);
  s.disk_done();
  s.clear();
  s.append(2, 2, 1, 1, {1}, 4);
  const auto ack = s.sent_one<AppendReply>();
  EXPECT_TRUE(ack->success);
  EXPECT_EQ(ack->match, Index(4));
}

TEST(RaftFollowing, AnAppendAcrossTheCommitGoesOnBehindIt) {
  Solo s(voters(3), {1, 1});
  s.append(2, 2, 3, 1, {}, 3);
  s.append(2, 2, 1, 1, {1, 1, 2, 2}, 4);
  EXPECT_EQ(s.view().last, Index(5));
  EXPECT_EQ(s.view().commit, Index(4));
}

using RaftFollowingDeathTest = ::testing::Test;

TEST(RaftFollowingDeathTest, AConflictBelowTheCommitStopsTheNode) {
  EXPECT_DEATH(
      {
        Solo s(voters(3), {1, 1});
        s.append(2, 2, 3, 1, {}, 3);
        s.append(2, 2, 1, 1, {2});
      },
      "a committed entry differs");
}

TEST(RaftFollowing, MalformedAppendsChangeNothing) {
  Solo s;
  const auto send = [&](std::vector<Entry> entries) {
    Append body;
    body.prev = Index(1);
    body.prev_term = Term(1);
    body.entries = std::move(entries);
    s.receive(2, 2, body);
  };
  send({Solo::entry(1, 3)});                     // a gap
  send({Solo::entry(2, 2), Solo::entry(1, 3)});  // terms fall
  send({Solo::entry(3, 2)});                     // from the future
  send({{Term(2), Index(2), EntryType::App, nullptr}});
  Entry config = Solo::entry(2, 2, "no configuration");
  config.type = EntryType::Config;
  send({config});
  EXPECT_EQ(s.view().protocol_errors, 5u);
  EXPECT_EQ(s.view().last, Index(1));
}

// Effective when appended, undone by truncation (raft.md §7).
TEST(RaftFollowing, ATruncatedConfigurationIsUndone) {
  Solo s;
  Append body;
  body.prev = Index(1);
  body.prev_term = Term(1);
  Entry config = Solo::entry(2, 2, encode_configuration(voters(5)));
  config.type = EntryType::Config;
  body.entries = {config, Solo::entry(2, 3)};
  s.receive(2, 2, body);
  EXPECT_EQ(s.core().configuration().voters.size(), 5u);
  s.append(3, 3, 1, 1, {3});
  EXPECT_EQ(s.core().configuration().voters.size(), 3u);
}

// el-ends of quarantine (raft.md §10): an entry of the serving leader's own term.
TEST(RaftFollowing, QuarantineEndsWithADurableCommittedEntryOfTheLeadersTerm) {
  DiskImage disk = Solo::image(voters(3), {1, 1}, 0);
  disk.quarantine = LogPosition{Index(5), Term(1)};
  Solo s(std::move(disk));
  s.append(2, 2, 3, 1, {1}, 4);
  s.disk_done();
  EXPECT_TRUE(s.view().quarantined) << "committed, but of an earlier term";
  s.append(2, 2, 4, 1, {2}, 4);
  s.disk_done();
  EXPECT_TRUE(s.view().quarantined) << "not known to be committed";
  s.append(2, 2, 5, 2, {}, 5);
  EXPECT_TRUE(s.view().quarantined) << "the end itself is not durable";
  s.disk_done();
  EXPECT_FALSE(s.view().quarantined);
  EXPECT_FALSE(s.disk().quarantine);
}

}  // namespace
}  // namespace fyr::raft
