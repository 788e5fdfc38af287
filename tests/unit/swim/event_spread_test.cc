#include "agent/swim/event_spread.h"

#include <gtest/gtest.h>

#include "agent/swim/core.h"

namespace fyr::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(EventSpread, TakesAnEventOnceAndKnowsItsTime) {
  EventSpread spread;
  EXPECT_TRUE(spread.receive({7, 1, "a"}));
  EXPECT_FALSE(spread.receive({7, 1, "a"}));
  EXPECT_TRUE(spread.receive({7, 2, "b"})) << "another of the same time";
  EXPECT_EQ(spread.fire("c", 3).time, 8u);
}

TEST(EventSpread, WhatIsFarBehindIsOld) {
  EventSpread spread;
  spread.witness(1000);
  EXPECT_FALSE(spread.receive({1000 - EventSpread::kWindow - 1, 1, "a"}));
  EXPECT_TRUE(spread.receive({1000 - EventSpread::kWindow, 1, "a"}));
}

TEST(EventSpread, ItsQueueIsBounded) {
  EventSpread spread;
  for (std::uint64_t i = 0; i < 1000; ++i) spread.fire("x", i);
  EXPECT_EQ(spread.size(), EventSpread::kMaxQueued);
}

// Three cores; packets arrive at once or are lost.
class EventCluster : public ::testing::Test {
 protected:
  static constexpr int kMembers = 3;

  EventCluster() {
    for (int i = 0; i < kMembers; ++i) {
      CoreOptions options;
      options.name = "m" + std::to_string(i);
      options.address = address(i);
      cores_.emplace_back(options, Random(static_cast<std::uint64_t>(i + 1)), now_);
    }
    seen_.resize(kMembers);
    for (int i = 1; i < kMembers; ++i) meet(i);
  }

  static Address address(int i) {
    return {*IpAddress::parse("10.0.0." + std::to_string(i + 1)), 8301};
  }

  void meet(int i) {
    Output out = cores_[static_cast<std::size_t>(i)].step(
        now_, JoinCommand{1, {{address(0).ip.to_string(), 8301}}});
    for (const StreamCall& call : out.calls) {
      Output answer = cores_[0].step(now_, StreamRequest{call.bytes});
      ASSERT_TRUE(answer.reply);
      take(0, answer);
      take(i, cores_[static_cast<std::size_t>(i)].step(now_, StreamAnswer{call.id, *answer.reply}));
    }
  }

  void take(int at, const Output& out) {
    for (const swim::Event& event : out.events)
      seen_[static_cast<std::size_t>(at)].push_back(event.payload);
    for (const OutPacket& packet : out.packets) {
      const int to = static_cast<int>(packet.to.ip.bytes[3]) - 1;
      if (++packets_ % lost_of_ == 0) continue;
      take(to, cores_[static_cast<std::size_t>(to)].step(now_,
                                                         PacketArrived{address(at), packet.bytes}));
    }
  }

  void run(Duration duration) {
    for (const Instant end = now_ + duration; now_ < end; now_ += milliseconds(50))
      for (int i = 0; i < kMembers; ++i)
        take(i, cores_[static_cast<std::size_t>(i)].step(now_, TimeElapsed{}));
  }

  Instant now_{seconds(1000)};
  std::vector<Core> cores_;
  std::vector<std::vector<std::string>> seen_;
  int packets_ = 0;
  int lost_of_ = 1'000'000;
};

TEST_F(EventCluster, AnEventComesToEveryMemberExactlyOnce) {
  run(seconds(2));
  take(1, cores_[1].step(now_, FireCommand{"hello"}));
  run(seconds(5));
  for (const auto& seen : seen_) EXPECT_EQ(seen, std::vector<std::string>{"hello"});
  for (const Core& core : cores_) EXPECT_EQ(core.queued_events(), 0u);
}

TEST_F(EventCluster, AThirdOfThePacketsMayBeLost) {
  run(seconds(2));
  lost_of_ = 3;
  for (int i = 0; i < 20; ++i)
    take(i % kMembers,
         cores_[static_cast<std::size_t>(i % kMembers)].step(now_, FireCommand{std::to_string(i)}));
  run(seconds(10));
  for (const auto& seen : seen_) {
    EXPECT_EQ(seen.size(), 20u);
    EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 20u);
  }
}

TEST_F(EventCluster, WhoJoinsLaterLearnsTheTimeButNotTheEvents) {
  for (int i = 0; i < 600; ++i)
    take(1, cores_[1].step(now_ += milliseconds(50), FireCommand{std::to_string(i)}));
  run(seconds(5));
  CoreOptions options;
  options.name = "late";
  options.address = address(2);
  options.name = "m2";
  cores_[2] = Core(options, Random(9), now_);
  seen_[2].clear();
  meet(2);
  EXPECT_TRUE(seen_[2].empty());
  take(2, cores_[2].step(now_, FireCommand{"new"}));
  run(seconds(5));
  EXPECT_EQ(seen_[0].back(), "new") << "its time would be long past without the others' clock";
}

TEST_F(EventCluster, AnEventLargerThanAPacketIsRefused) {
  EXPECT_TRUE(cores_[0].step(now_, FireCommand{std::string(kMaxEventBytes + 1, 'x')}).error);
  const Output out = cores_[0].step(now_, FireCommand{std::string(kMaxEventBytes, 'x')});
  EXPECT_FALSE(out.error);
}

}  // namespace
}  // namespace fyr::agent
