#include "raft/peer_guard.h"

#include <gtest/gtest.h>

namespace fyr::raft {
namespace {

const PeerIdentity kSelf{"cluster", 3, NodeId(1), 10};
constexpr Instant kStart{std::chrono::hours(1)};

Hello hello() {
  Hello out;
  out.self = {"cluster", 3, NodeId(2), 5};
  out.to = NodeId(1);
  return out;
}

TEST(PeerGuard, WelcomesAPeerOfTheSameCluster) {
  PeerGuard guard;
  EXPECT_EQ(guard.check_opening(kSelf, hello(), kStart), "");
  EXPECT_EQ(guard.check_answer(kSelf, NodeId(2), hello()), "");
}

TEST(PeerGuard, NamesWhatDoesNotFit) {
  PeerGuard guard;
  const auto refuses = [&](auto change) {
    Hello changed = hello();
    change(changed);
    EXPECT_EQ(guard.check_answer(kSelf, changed.self.node, changed),
              guard.check_opening(kSelf, changed, kStart));
    return guard.check_opening(kSelf, changed, kStart);
  };
  EXPECT_EQ(refuses([](Hello& h) { h.protocol_min = kProtocolMax + 1; }), "protocol");
  EXPECT_EQ(refuses([](Hello& h) { h.protocol_max = kProtocolMin - 1; }), "protocol");
  EXPECT_EQ(refuses([](Hello& h) { h.to = NodeId(9); }), "wrong_node");
  EXPECT_EQ(refuses([](Hello& h) { h.self.node = kSelf.node; }), "own_id");
  EXPECT_EQ(refuses([](Hello& h) { h.self.cluster = "other"; }), "wrong_cluster");
  EXPECT_EQ(refuses([](Hello& h) { h.self.cluster = ""; }), "no_cluster");
  EXPECT_EQ(refuses([](Hello& h) { h.self.recovery_epoch = 2; }), "recovery_epoch");
  EXPECT_EQ(guard.check_answer(kSelf, NodeId(3), hello()), "wrong_node");
}

TEST(PeerGuard, ANodeWithoutClusterAdoptsOne) {
  PeerGuard guard;
  PeerIdentity fresh = kSelf;
  fresh.cluster = "";
  EXPECT_EQ(guard.check_opening(fresh, hello(), kStart), "adopting");
  Hello other = hello();
  other.self.cluster = "";
  EXPECT_EQ(guard.check_opening(fresh, other, kStart), "no_cluster");
}

// A restored image of a disk has forgotten what it promised.
TEST(PeerGuard, ALowerIncarnationThanSeenIsRefused) {
  PeerGuard guard;
  Hello peer = hello();
  EXPECT_EQ(guard.check_opening(kSelf, peer, kStart), "");
  peer.self.incarnation = 4;
  EXPECT_EQ(guard.check_opening(kSelf, peer, kStart), "rolled_back_disk");
  EXPECT_EQ(guard.check_answer(kSelf, peer.self.node, peer), "rolled_back_disk");
  peer.self.incarnation = 6;
  EXPECT_EQ(guard.check_opening(kSelf, peer, kStart), "");
  peer.self.incarnation = 5;
  EXPECT_EQ(guard.check_opening(kSelf, peer, kStart), "rolled_back_disk");
}

TEST(PeerGuard, AStrangersIncarnationCountsForNothing) {
  PeerGuard guard;
  Hello stranger = hello();
  stranger.self.cluster = "other";
  stranger.self.incarnation = 1'000;
  EXPECT_EQ(guard.check_opening(kSelf, stranger, kStart), "wrong_cluster");
  EXPECT_EQ(guard.check_opening(kSelf, hello(), kStart), "");
}

TEST(PeerGuard, ThreeBadFramesInAMinutePauseAPeer) {
  PeerGuard guard;
  const NodeId peer(2);
  EXPECT_FALSE(guard.bad_frame(peer, kStart));
  EXPECT_FALSE(guard.bad_frame(peer, kStart + std::chrono::seconds(30)));
  EXPECT_FALSE(guard.bad_frame(peer, kStart + std::chrono::seconds(61)))
      << "the first one was more than a minute ago";
  EXPECT_EQ(guard.check_opening(kSelf, hello(), kStart + std::chrono::seconds(61)), "");
  const Instant third = kStart + std::chrono::seconds(70);
  EXPECT_TRUE(guard.bad_frame(peer, third));
  EXPECT_EQ(guard.check_opening(kSelf, hello(), third), "paused");
  EXPECT_EQ(guard.check_opening(kSelf, hello(), third + std::chrono::seconds(29)), "paused");
  EXPECT_EQ(guard.check_opening(kSelf, hello(), third + std::chrono::seconds(30)), "");
  Hello other = hello();
  other.self.node = NodeId(3);
  EXPECT_EQ(guard.check_opening(kSelf, other, third), "") << "others are not meant";
}

TEST(PeerGuard, RemembersABoundedNumberOfPeers) {
  PeerGuard guard;
  for (std::uint64_t id = 2; id < 2'000; ++id) {
    Hello one = hello();
    one.self.node = NodeId(id);
    EXPECT_EQ(guard.check_opening(kSelf, one, kStart), "");
  }
}

}  // namespace
}  // namespace fyr::raft
