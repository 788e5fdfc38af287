#include "agent/swim/broadcast.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

std::string take(BroadcastQueue& queue, std::size_t room, int limit = 6) {
  std::string out;
  queue.take(out, room, limit);
  return out;
}

TEST(BroadcastQueue, SendsTheLeastSentFirstThenTheLongest) {
  BroadcastQueue queue;
  queue.push("a", "aaaaaaaaaa");
  queue.push("b", "bbbbbbbbbbbb");
  EXPECT_EQ(take(queue, 12), "bbbbbbbbbbbb");
  EXPECT_EQ(take(queue, 12), "aaaaaaaaaa");
  EXPECT_EQ(take(queue, 40), "bbbbbbbbbbbbaaaaaaaaaa");
}

TEST(BroadcastQueue, NewerNewsReplacesOlderAndStartsOver) {
  BroadcastQueue queue;
  queue.push("a", "old news");
  take(queue, 100, 2);
  queue.push("a", "new news");
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(take(queue, 100, 2), "new news");
  EXPECT_EQ(take(queue, 100, 2), "new news");
  EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueue, ARefutationGoesBeforeEverythingElse) {
  BroadcastQueue queue;
  queue.push("a", "a rather long message");
  queue.push("self", "refuting", true);
  EXPECT_EQ(take(queue, 10), "refuting");
}

TEST(BroadcastQueue, SkipsWhatDoesNotFitAndNeverSendsOneTwiceInAPacket) {
  BroadcastQueue queue;
  queue.push("a", std::string(50, 'a'));
  queue.push("b", std::string(10, 'b'));
  EXPECT_EQ(take(queue, 49), std::string(10, 'b'));
  EXPECT_EQ(take(queue, 1000), std::string(50, 'a') + std::string(10, 'b'));
}

TEST(BroadcastQueue, ForgetsANodeOnDrop) {
  BroadcastQueue queue;
  queue.push("a", "something");
  EXPECT_TRUE(queue.contains("a"));
  queue.drop("a");
  queue.drop("a");
  EXPECT_TRUE(queue.empty());
}

TEST(RetransmitLimit, FollowsTheLogarithmOfTheCluster) {
  EXPECT_EQ(retransmit_limit(6, 1), 6);
  EXPECT_EQ(retransmit_limit(6, 9), 6);
  EXPECT_EQ(retransmit_limit(6, 10), 12);
  EXPECT_EQ(retransmit_limit(6, 100), 18);
}

}  // namespace
}  // namespace fyr::agent
