#include "raft/inbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace fyr::raft {
namespace {

constexpr Index kNobody(~std::uint64_t{0});

DriverInput::Propose proposal(std::size_t bytes = 1) {
  return {std::make_shared<const std::string>(bytes, 'x'), [](auto) {}};
}

std::vector<Message> one_message() {
  return {Message{NodeId(1), NodeId(2), 1, 0, Term(1), Heartbeat{}}};
}

class InboxTest : public ::testing::Test {
 protected:
  // The raft thread has the turn at first and gives it back.
  void SetUp() override { idle(); }
  void idle(std::optional<Instant> until = std::nullopt, Index wanted = kNobody) {
    inbox_.finish(until, wanted, false);
  }
  Inbox inbox_;
};

TEST_F(InboxTest, WhoLeavesSomethingWhileNobodyWorksGetsTheTurn) {
  auto first = proposal();
  EXPECT_TRUE(inbox_.propose(first).turn);
  EXPECT_EQ(inbox_.input().proposals.size(), 1u);
  auto second = proposal();
  EXPECT_FALSE(inbox_.propose(second).turn) << "somebody works";
  EXPECT_FALSE(inbox_.messages(one_message()).turn);
  EXPECT_FALSE(inbox_.written(WriteId(1)).turn);
  EXPECT_EQ(inbox_.input().proposals.size(), 1u) << "what comes meanwhile waits";
  inbox_.input() = {};
  idle();
  EXPECT_FALSE(inbox_.messages(one_message()).turn) << "it is the raft thread's turn";
  EXPECT_TRUE(inbox_.take());
  EXPECT_EQ(inbox_.input().proposals.size(), 1u);
  EXPECT_EQ(inbox_.input().messages.size(), 2u);
  EXPECT_EQ(inbox_.input().written, WriteId(1));
}

TEST_F(InboxTest, AProposalIsNotForItsThreadWhenATimerIsDue) {
  idle(now() - std::chrono::seconds(1));
  auto one = proposal();
  EXPECT_FALSE(inbox_.propose(one).turn);
  EXPECT_TRUE(inbox_.take());
  inbox_.input() = {};
  idle(now() + std::chrono::hours(1));
  auto two = proposal();
  const auto left = inbox_.propose(two);
  EXPECT_TRUE(left.turn);
  EXPECT_LE(left.at, now());
}

TEST_F(InboxTest, AMessageMayBeHandledWhenATimerIsDue) {
  idle(now() - std::chrono::seconds(1));
  EXPECT_TRUE(inbox_.messages(one_message()).turn);
}

TEST_F(InboxTest, RequestsAreForTheRaftThread) {
  DriverInput::Read read{ReadMode::Default, [](auto) {}};
  EXPECT_FALSE(inbox_.read(read));
  inbox_.link(NodeId(3), LinkState::Up);
  EXPECT_TRUE(inbox_.take());
  EXPECT_EQ(inbox_.input().reads.size(), 1u);
  EXPECT_EQ(inbox_.input().links.size(), 1u);
}

TEST_F(InboxTest, TheRaftThreadWakesWhenATimerIsDue) {
  idle(now() + std::chrono::milliseconds(5));
  const Instant begin = now();
  EXPECT_TRUE(inbox_.take());
  EXPECT_GE(now() - begin, std::chrono::milliseconds(4));
}

TEST_F(InboxTest, ATurnThatMakesATimerEarlierWakesTheSleeper) {
  idle(now() + std::chrono::hours(1));
  std::atomic<bool> woke{false};
  std::thread raft([&] {
    EXPECT_TRUE(inbox_.take());
    woke = true;
  });
  while (!woke) {
    if (inbox_.messages(one_message()).turn) idle(now());
    std::this_thread::yield();
  }
  raft.join();
}

TEST_F(InboxTest, WhatATurnLeavesIsForTheRaftThread) {
  auto one = proposal();
  ASSERT_TRUE(inbox_.propose(one).turn);
  idle();  // the proposal is still there
  EXPECT_TRUE(inbox_.take());
  EXPECT_EQ(inbox_.input().proposals.size(), 1u);
  inbox_.input() = {};
  inbox_.finish(std::nullopt, kNobody, true);
  EXPECT_TRUE(inbox_.take()) << "asked for";
}

TEST_F(InboxTest, ProgressOfTheStateMattersOnlyToThoseWhoWaitForIt) {
  idle(std::nullopt, Index(10));
  inbox_.applied(Index(9), Index(0), false);
  EXPECT_FALSE(inbox_.look_at_applied());
  inbox_.applied(Index(10), Index(0), false);
  EXPECT_TRUE(inbox_.look_at_applied());
  ASSERT_TRUE(inbox_.input().applied);
  EXPECT_EQ(inbox_.input().applied->applied, Index(10));
  EXPECT_FALSE(inbox_.look_at_applied()) << "taken";
  inbox_.applied(Index(11), Index(0), false);
  inbox_.finish(std::nullopt, Index(11), false);
  EXPECT_TRUE(inbox_.take()) << "somebody began to wait for it meanwhile";
}

TEST_F(InboxTest, UrgentProgressNeedsNobodyWhoWaits) {
  inbox_.applied(Index(1), Index(1), true);
  EXPECT_TRUE(inbox_.look_at_applied());
}

TEST_F(InboxTest, RefusesWhatIsTooMuch) {
  inbox_.link(NodeId(1), LinkState::Up);  // it is the raft thread's turn
  auto large = proposal(Inbox::kMaxProposalBytes - 1'000);
  EXPECT_FALSE(inbox_.propose(large).error);
  auto more = proposal(1'000);
  const auto refused = inbox_.propose(more);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, ErrorCode::ResourceExhausted);
  EXPECT_TRUE(more.data) << "a refused one is left to its owner";
  for (std::size_t i = 0; i < Inbox::kMaxReads; ++i) {
    DriverInput::Read read{ReadMode::Default, [](auto) {}};
    ASSERT_FALSE(inbox_.read(read));
  }
  DriverInput::Read read{ReadMode::Default, [](auto) {}};
  EXPECT_EQ(inbox_.read(read)->code, ErrorCode::ResourceExhausted);
  for (std::size_t i = 0; i < Inbox::kMaxRequests; ++i) {
    DriverInput::Transfer transfer{NodeId(1), [](auto) {}};
    ASSERT_FALSE(inbox_.transfer(transfer));
  }
  DriverInput::Transfer transfer{NodeId(1), [](auto) {}};
  EXPECT_EQ(inbox_.transfer(transfer)->code, ErrorCode::ResourceExhausted);
}

TEST_F(InboxTest, DropsMessagesOfWhichThereAreTooMany) {
  inbox_.link(NodeId(1), LinkState::Up);
  for (std::size_t i = 0; i < Inbox::kMaxMessages + 100; ++i) inbox_.messages(one_message());
  Entry entry{Term(1), Index(1), EntryType::App, std::make_shared<std::string>(1 << 20, 'x')};
  EXPECT_TRUE(inbox_.take());
  EXPECT_EQ(inbox_.input().messages.size(), Inbox::kMaxMessages);
  inbox_.input() = {};
  for (int i = 0; i < 200; ++i) {
    inbox_.messages({Message{NodeId(1), NodeId(2), 1, 0, Term(1),
                             Append{Index(0), Term(0), {entry}, {}, 1, {}}}});
  }
  idle();
  EXPECT_TRUE(inbox_.take());
  EXPECT_LT(inbox_.input().messages.size(), 129u);
}

TEST_F(InboxTest, AfterStopNobodyGetsTheTurn) {
  inbox_.stop();
  auto one = proposal();
  const auto left = inbox_.propose(one);
  EXPECT_FALSE(left.turn);
  ASSERT_TRUE(left.error);
  EXPECT_EQ(left.error->code, ErrorCode::Stopped);
  EXPECT_FALSE(inbox_.messages(one_message()).turn);
  inbox_.applied(Index(1), Index(1), true);
  EXPECT_FALSE(inbox_.look_at_applied());
  EXPECT_FALSE(inbox_.take());
}

// The turn is a lock: whoever has it is alone.
TEST_F(InboxTest, NeverGivesTheTurnToTwo) {
  idle();
  int alone = 0;  // by who has the turn; a race is seen by the thread sanitizer, too
  std::uint64_t done = 0;
  constexpr std::uint64_t kEach = 20'000;
  const auto turn = [&] {
    EXPECT_EQ(++alone, 1);
    done += inbox_.input().proposals.size();
    inbox_.input() = {};
    --alone;
    idle();
  };
  std::thread raft([&] {
    while (inbox_.take()) turn();
    done += inbox_.input().proposals.size();
  });
  std::vector<std::thread> others;
  for (int t = 0; t < 4; ++t) {
    others.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        auto one = proposal();
        if (inbox_.propose(one).turn) turn();
      }
    });
  }
  for (auto& thread : others) thread.join();
  inbox_.stop();
  raft.join();
  EXPECT_EQ(done, 4 * kEach);
}

}  // namespace
}  // namespace fyr::raft
