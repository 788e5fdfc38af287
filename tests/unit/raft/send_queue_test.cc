#include "raft/send_queue.h"

#include <gtest/gtest.h>

namespace fyr::raft {
namespace {

Message message(MessageBody body, std::uint64_t term = 1) {
  Message out;
  out.to = NodeId(2);
  out.term = Term(term);
  out.body = std::move(body);
  return out;
}

Message append(std::uint64_t index, std::size_t bytes) {
  Entry entry{Term(1), Index(index), EntryType::App, std::make_shared<std::string>(bytes, 'x')};
  return message(Append{Index(index - 1), Term(1), {entry}, {}, 1, {}});
}

AppendReply success(std::uint64_t match, std::uint64_t round) {
  AppendReply out;
  out.success = true;
  out.match = Index(match);
  out.round = round;
  return out;
}

TEST(SendQueue, KeepsTheOrder) {
  SendQueue queue({10, 10'000});
  for (std::uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE(queue.push(message(ReadIndex{i})));
  const auto all = queue.take();
  ASSERT_EQ(all.size(), 5u);
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(std::get<ReadIndex>(all[i].body).sequence, i + 1);
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(SendQueue, DropsWhatDoesNotFitByNumber) {
  SendQueue queue({2, 10'000});
  EXPECT_TRUE(queue.push(message(VoteReply{})));
  EXPECT_TRUE(queue.push(message(VoteReply{})));
  EXPECT_FALSE(queue.push(message(VoteReply{})));
  EXPECT_EQ(queue.clear(), 2u);
  EXPECT_TRUE(queue.push(message(VoteReply{})));
}

TEST(SendQueue, DropsWhatDoesNotFitByBytes) {
  SendQueue queue({100, 10'000});
  EXPECT_TRUE(queue.push(append(1, 9'000)));
  EXPECT_FALSE(queue.push(append(2, 9'000)));
  EXPECT_EQ(queue.take().size(), 1u);
  EXPECT_TRUE(queue.push(append(2, 9'000)));
}

TEST(SendQueue, OnlyTheNewestSignOfLifeLeaves) {
  SendQueue queue({2, 10'000});
  for (std::uint64_t round = 1; round <= 50; ++round) {
    ASSERT_TRUE(queue.push(message(Heartbeat{round, Index(round), {}})));
    ASSERT_TRUE(queue.push(message(HeartbeatReply{round})));
  }
  const auto all = queue.take();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(std::get<Heartbeat>(all[0].body).round, 50u);
  EXPECT_EQ(std::get<HeartbeatReply>(all[1].body).round, 50u);
}

TEST(SendQueue, AnAcknowledgementReplacesOnlyWhatItCovers) {
  SendQueue queue({100, 100'000});
  queue.push(message(success(5, 1)));
  queue.push(message(success(6, 1)));
  EXPECT_EQ(queue.size(), 1u);
  queue.push(message(success(5, 1)));
  EXPECT_EQ(queue.size(), 2u) << "a lower one is another fact";
  queue.push(message(success(9, 2), 2));
  EXPECT_EQ(queue.size(), 3u) << "of another term";
  AppendReply rejection;
  rejection.prev = Index(9);
  queue.push(message(rejection, 2));
  queue.push(message(rejection, 2));
  EXPECT_EQ(queue.size(), 5u) << "rejections answer one append each";
  queue.push(message(success(10, 2), 2));
  EXPECT_EQ(queue.size(), 5u);
}

TEST(SendQueue, AReportedDigestIsNotLost) {
  SendQueue queue({100, 100'000});
  HeartbeatReply with;
  with.round = 1;
  with.check = Index(7);
  queue.push(message(with));
  queue.push(message(HeartbeatReply{2}));
  EXPECT_EQ(queue.size(), 2u);
}

TEST(SendQueue, AFrameIsAboutAMegabyteAndNeverEmpty) {
  SendQueue queue({1'000, 64u << 20});
  for (std::uint64_t i = 1; i <= 8; ++i) ASSERT_TRUE(queue.push(append(i, 300'000)));
  ASSERT_TRUE(queue.push(append(9, 4u << 20)));
  EXPECT_EQ(queue.take().size(), 3u);
  EXPECT_EQ(queue.take().size(), 3u);
  EXPECT_EQ(queue.take().size(), 2u);
  EXPECT_EQ(queue.take().size(), 1u);
  EXPECT_TRUE(queue.take().empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

}  // namespace
}  // namespace fyr::raft
