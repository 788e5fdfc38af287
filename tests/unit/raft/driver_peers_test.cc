// The driver of one of three nodes: messages held back, and how those who wait get their answer.
#include <gtest/gtest.h>

#include "raft/driver.h"
#include "tests/unit/raft/solo.h"

namespace fyr::raft {
namespace {

class DriverOfThree : public ::testing::Test {
 protected:
  static CoreConfig config() {
    CoreConfig out;
    out.self = NodeId(1);
    return out;
  }
  void SetUp() override { step(); }

  void step(std::int64_t ms = 0) {
    now_ += std::chrono::milliseconds(ms);
    out_ = driver_.step(now_, input_);
    for (const PersistBatch& batch : out_.persist) asked_ = batch.id;
    for (Message& message : out_.send) sent_.push_back(std::move(message));
    if (out_.apply) {
      for (Refusal& each : out_.apply->refused) codes_.push_back(each.error.code);
      for (Waiter& each : out_.apply->waiters) with_entries_.push_back(each.index);
    }
    for (auto& [done, result] : out_.requests) done(std::move(result));
  }
  void disk_done() {
    input_.written = asked_;
    step();
  }
  void receive(std::uint64_t from, std::uint64_t term, MessageBody body) {
    Message message;
    message.from = NodeId(from);
    message.to = NodeId(1);
    message.from_incarnation = 1;
    message.term = Term(term);
    message.body = std::move(body);
    input_.messages.push_back(std::move(message));
    step();
  }
  void append(std::uint64_t from, std::uint64_t term, std::uint64_t prev, std::uint64_t prev_term,
              std::vector<Entry> entries, std::uint64_t commit = 0) {
    Append body;
    body.prev = Index(prev);
    body.prev_term = Term(prev_term);
    body.entries = std::move(entries);
    body.commit = Index(commit);
    receive(from, term, std::move(body));
  }
  void acknowledge(std::uint64_t from, std::uint64_t match) {
    AppendReply reply;
    reply.success = true;
    reply.match = reply.durable_last = Index(match);
    receive(from, driver_.core().view().hard.term.value, reply);
  }
  void propose(int count = 1) {
    for (int i = 0; i < count; ++i) {
      input_.proposals.push_back({std::make_shared<const std::string>("x"), nullptr});
    }
    step();
  }
  // Leads term 2, its no-op at 2 not acknowledged by anybody.
  void lead() {
    while (!driver_.core().view().pre_campaigning) step(10);
    for (const Message& message : sent_) {
      if (const auto* ask = std::get_if<PreVote>(&message.body)) {
        receive(2, 1, PreVoteReply{ask->campaign, ask->round, true});
        break;
      }
    }
    disk_done();
    receive(2, 2, VoteReply{true});
    ASSERT_EQ(driver_.core().view().role, Role::Leader);
    sent_.clear();
  }
  template <class T>
  std::size_t count() {
    std::size_t out = 0;
    for (const Message& message : sent_) out += std::holds_alternative<T>(message.body) ? 1 : 0;
    return out;
  }

  Driver driver_{config(), Solo::image(voters(3), {}, 0).recover(), 5};
  DriverInput input_;
  DriverOutput out_;
  Instant now_ = Instant(std::chrono::seconds(100));
  WriteId asked_{};
  std::vector<Message> sent_;
  std::vector<ErrorCode> codes_;
  std::vector<Index> with_entries_;
};

// ---- messages ---------------------------------------------------------------------------------

TEST_F(DriverOfThree, D3_MessagesLeaveWhenTheirWriteIsDurable) {
  append(2, 1, 1, 1, {Solo::entry(1, 2)});
  EXPECT_EQ(count<AppendReply>(), 0u);
  const WriteId first = asked_;
  append(2, 1, 2, 1, {Solo::entry(1, 3)});
  receive(2, 1, Heartbeat{1, Index{}, Index{}});
  EXPECT_EQ(count<HeartbeatReply>(), 1u) << "it depends on no entry";
  input_.written = first;
  step();
  EXPECT_EQ(count<AppendReply>(), 1u);
  disk_done();
  EXPECT_EQ(count<AppendReply>(), 2u);
}

// An acknowledgement of entries that another leader has cut away meanwhile.
TEST_F(DriverOfThree, WhatWasToBeSaidInAnEarlierTermIsNotSaidAnyMore) {
  append(2, 1, 1, 1, {Solo::entry(1, 2)});
  append(3, 2, 1, 1, {Solo::entry(2, 2)});
  disk_done();
  ASSERT_EQ(count<AppendReply>(), 1u);
  EXPECT_EQ(sent_.back().term, Term(2));
}

TEST_F(DriverOfThree, AFrozenDiskDoesNotGatherMessagesWithoutEnd) {
  append(2, 1, 1, 1, {Solo::entry(1, 2)});
  for (int i = 0; i < 6'000; ++i) append(2, 1, 1, 1, {Solo::entry(1, 2)});
  disk_done();
  EXPECT_EQ(count<AppendReply>(), 4'096u);
}

// ---- proposals --------------------------------------------------------------------------------

TEST_F(DriverOfThree, AProposalThatIsCommittedLaterByAnotherLeaderIsAnsweredWhenApplied) {
  lead();
  propose();  // at 3
  disk_done();
  receive(3, 5, Heartbeat{1, Index{}, Index{}});
  EXPECT_EQ(driver_.core().view().role, Role::Follower);
  EXPECT_TRUE(codes_.empty()) << "nobody knows yet";
  append(3, 5, 3, 2, {}, 3);
  EXPECT_EQ(with_entries_, std::vector<Index>{Index(3)});
  EXPECT_TRUE(codes_.empty());
}

// M35.
TEST_F(DriverOfThree, D9_AProposalThatIsCutAwayIsUnknown) {
  lead();
  propose(2);  // at 3 and 4
  append(3, 5, 2, 2, {});
  EXPECT_TRUE(codes_.empty());
  append(3, 5, 2, 2, {Solo::entry(5, 3)});
  EXPECT_EQ(codes_, (std::vector{ErrorCode::CommitUnknown, ErrorCode::CommitUnknown}));
  disk_done();
  append(3, 5, 3, 5, {}, 3);
  EXPECT_TRUE(with_entries_.empty());
}

TEST_F(DriverOfThree, D9_TwoSecondsAfterTheLeadershipWasLostItIsUnknown) {
  lead();
  propose();
  receive(3, 5, HeartbeatReply{});
  step(1'990);
  EXPECT_TRUE(codes_.empty());
  ASSERT_TRUE(out_.wake_at);
  EXPECT_LE(*out_.wake_at, now_ + std::chrono::milliseconds(10));
  step(10);
  EXPECT_EQ(codes_, std::vector{ErrorCode::CommitUnknown});
}

TEST_F(DriverOfThree, AProposalOfALaterLeadershipIsNotGivenUpWithTheEarlierOnes) {
  lead();
  propose();
  disk_done();
  receive(3, 2, HeartbeatReply{});
  now_ += std::chrono::milliseconds(1'100);  // without its quorum
  step();
  ASSERT_EQ(driver_.core().view().role, Role::Follower);
  sent_.clear();
  while (!driver_.core().view().pre_campaigning) step(10);
  for (const Message& message : std::vector(sent_)) {
    if (const auto* ask = std::get_if<PreVote>(&message.body)) {
      receive(2, 2, PreVoteReply{ask->campaign, ask->round, true});
    }
  }
  disk_done();
  receive(2, 3, VoteReply{true});
  ASSERT_EQ(driver_.core().view().role, Role::Leader);
  codes_.clear();
  propose();
  for (int i = 0; i < 30; ++i) {
    step(100);
    const auto round = static_cast<std::uint64_t>(i + 1);
    receive(2, 3, HeartbeatReply{.round = round, .durable_last = Index(1)});
  }
  ASSERT_EQ(driver_.core().view().role, Role::Leader);
  EXPECT_LE(codes_.size(), 1u) << "the first one only";
}

TEST_F(DriverOfThree, D9_ASnapshotThatPassesAProposalMakesItUnknown) {
  lead();
  propose();
  disk_done();
  const SnapshotMeta of{"s", Index(50), Term(5), "h"};
  receive(3, 5, SnapshotOffer{of, 1});
  ASSERT_TRUE(out_.fetch_snapshot);
  disk_done();
  input_.snapshots.push_back({SnapshotEvent::Kind::Prepared, of, voters(3)});
  step();
  disk_done();
  ASSERT_TRUE(out_.apply);
  ASSERT_TRUE(out_.apply->activate);
  EXPECT_EQ(out_.apply->activate->index, Index(50));
  EXPECT_EQ(codes_, std::vector{ErrorCode::CommitUnknown});
}

TEST_F(DriverOfThree, ProposalsToAFollowerAreRefusedNotUnknown) {
  receive(2, 1, Heartbeat{1, Index{}, Index{}});
  propose();
  EXPECT_EQ(codes_, std::vector{ErrorCode::NotLeader});
}

// ---- requests ---------------------------------------------------------------------------------

TEST_F(DriverOfThree, ChangesAndTransfersAreAnswered) {
  std::vector<std::string> answers;
  const auto note = [&answers](const char* what) {
    return [&answers, what](Result<void> result) {
      answers.push_back(std::string(what) + (result ? " done" : " failed"));
    };
  };
  input_.changes.push_back({ConfigChange{}, note("change")});
  input_.transfers.push_back({NodeId(2), note("transfer")});
  input_.founds.push_back({voters(3), note("found")});
  step();
  EXPECT_EQ(answers,
            (std::vector<std::string>{"change failed", "found failed", "transfer failed"}));
  answers.clear();
  lead();
  disk_done();
  acknowledge(2, 2);
  ConfigChange change;
  change.put = {member(4)};
  input_.changes.push_back({change, note("change")});
  step();
  disk_done();
  EXPECT_TRUE(answers.empty());
  acknowledge(2, 3);
  EXPECT_EQ(answers, std::vector<std::string>{"change done"});
}

TEST_F(DriverOfThree, AbandonAnswersEveryRequest) {
  lead();
  disk_done();
  acknowledge(2, 2);
  std::vector<ErrorCode> codes;
  const auto note = [&codes](Result<void> result) { codes.push_back(result.error().code); };
  ConfigChange change;
  change.put = {member(4)};
  input_.changes.push_back({change, note});
  step();
  input_.transfers.push_back({NodeId(2), note});
  for (auto& [done, result] : driver_.abandon(input_).requests) done(std::move(result));
  EXPECT_EQ(codes, (std::vector{ErrorCode::CommitUnknown, ErrorCode::Stopped}));
}

TEST(DriverInputOfThree, MergeTakesEverything) {
  DriverInput a, b;
  b.messages.resize(2);
  b.links.emplace_back(NodeId(2), LinkState::Up);
  b.fetched.resize(1);
  b.snapshots.resize(1);
  b.changes.resize(1);
  b.transfers.resize(1);
  b.founds.resize(1);
  b.digest = DriverInput::Digest{Index(7), 9};
  a.messages.resize(1);
  a.merge(b);
  EXPECT_EQ(a.messages.size(), 3u);
  EXPECT_EQ(a.links.size() + a.fetched.size() + a.snapshots.size(), 3u);
  EXPECT_EQ(a.changes.size() + a.transfers.size() + a.founds.size(), 3u);
  EXPECT_EQ(a.digest->check, Index(7));
  EXPECT_TRUE(b.messages.empty() && b.changes.empty() && !b.digest);
}

}  // namespace
}  // namespace fyr::raft
