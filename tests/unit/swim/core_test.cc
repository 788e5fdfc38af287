#include "agent/swim/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace fyr::agent {
namespace {

using namespace swim;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::uint32_t kCluster = cluster_hash("dc1");

Address address_of(int host) {
  return {*IpAddress::parse("10.0.0." + std::to_string(host)), 8301};
}
Alive alive(const std::string& name, int host, std::uint64_t incarnation = 1, Tags tags = {}) {
  return {name, incarnation, address_of(host), std::move(tags)};
}

// One core, its clock, and everything it ever said.
class SwimCore : public ::testing::Test {
 protected:
  SwimCore() : core_(options(), Random(1), now_) {}

  static CoreOptions options() {
    CoreOptions o;
    o.name = "me";
    o.address = address_of(1);
    return o;
  }

  Output give(const Input& input) {
    Output out = core_.step(now_, input);
    core_.check_invariants();
    return out;
  }
  Output hear(const Message& message, int from = 2) {
    const std::string packet = encode_packet(kCluster, message);
    return give(PacketArrived{address_of(from), packet});
  }
  // Runs every timer until `duration` has passed; collects all outputs.
  Output run(Duration duration) {
    Output all;
    const Instant end = now_ + duration;
    while (core_.next_deadline() && *core_.next_deadline() <= end) {
      now_ = std::max(now_, *core_.next_deadline());
      append(all, give(TimeElapsed{}));
    }
    now_ = end;
    return all;
  }
  static void append(Output& all, Output out) {
    std::move(out.packets.begin(), out.packets.end(), std::back_inserter(all.packets));
    std::move(out.calls.begin(), out.calls.end(), std::back_inserter(all.calls));
    std::move(out.changes.begin(), out.changes.end(), std::back_inserter(all.changes));
    std::move(out.joins.begin(), out.joins.end(), std::back_inserter(all.joins));
    std::move(out.facts.begin(), out.facts.end(), std::back_inserter(all.facts));
    all.left = all.left || out.left;
  }
  template <class T>
  static std::vector<T> sent(const Output& out) {
    std::vector<T> found;
    for (const OutPacket& packet : out.packets) {
      auto messages = decode_packet(packet.bytes, kCluster, kMaxPacket);
      EXPECT_TRUE(messages.has_value());
      for (const Message& message : *messages) {
        if (const auto* m = std::get_if<T>(&message)) found.push_back(*m);
      }
    }
    return found;
  }
  MemberState state(const std::string& name) { return core_.find(name)->state; }
  bool knows(const std::string& name) { return core_.find(name) != nullptr; }

  Instant now_{seconds(1000)};
  Core core_;
};

TEST_F(SwimCore, StartsAloneAndAlive) {
  const auto members = core_.members();
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0].name, "me");
  EXPECT_EQ(members[0].address, "10.0.0.1");
  EXPECT_EQ(members[0].state, MemberState::Alive);
  EXPECT_TRUE(run(seconds(120)).packets.empty());
}

TEST_F(SwimCore, LearnsAMemberAndPassesTheNewsOn) {
  const auto out = hear(alive("a", 2));
  ASSERT_EQ(out.changes.size(), 1u);
  EXPECT_EQ(out.changes[0].member.name, "a");
  const auto later = run(milliseconds(400));
  EXPECT_FALSE(sent<Alive>(later).empty());
}

TEST_F(SwimCore, RepeatsNewsOnlyALimitedNumberOfTimes) {
  hear(alive("a", 2));
  run(seconds(30));
  EXPECT_EQ(core_.queued_broadcasts(), 0u);
}

TEST_F(SwimCore, PingsWithinOneIntervalAndIsContentWithTheAck) {
  hear(alive("a", 2));
  const auto out = run(milliseconds(500));
  const auto pings = sent<Ping>(out);
  ASSERT_FALSE(pings.empty());
  EXPECT_EQ(pings[0].target, "a");
  EXPECT_EQ(pings[0].source, "me");
  hear(Ack{pings[0].seq, 0});
  EXPECT_EQ(core_.health_score(), 0);
}

TEST_F(SwimCore, TriesASecondPingThenHelpersAndTcpBeforeSuspecting) {
  hear(alive("a", 2));
  hear(alive("b", 3));
  Output all;
  while (sent<PingReq>(all).empty()) append(all, run(milliseconds(10)));
  EXPECT_GE(sent<Ping>(all).size(), 2u);
  EXPECT_FALSE(all.calls.empty());
  EXPECT_EQ(state("a"), MemberState::Alive);
  EXPECT_EQ(state("b"), MemberState::Alive);
}

TEST_F(SwimCore, OfTwoTheDeadOneIsFailedWithinFourSeconds) {
  hear(alive("a", 2));
  const auto out = run(seconds(4));
  EXPECT_EQ(state("a"), MemberState::Failed);
  std::vector<MemberState> seen;
  for (const auto& change : out.changes) seen.push_back(change.member.state);
  EXPECT_THAT(seen, ::testing::ElementsAre(MemberState::Suspect, MemberState::Failed));
}

TEST_F(SwimCore, AnAckInTheLastMomentSavesTheSuspect) {
  hear(alive("a", 2));
  hear(Suspect{"a", 1, "b"});
  ASSERT_EQ(state("a"), MemberState::Suspect);
  run(milliseconds(1200));
  const auto out = run(milliseconds(300));  // 2 s - 0.7 s is in here
  ASSERT_FALSE(sent<Ping>(out).empty());
  for (const Ping& ping : sent<Ping>(out)) hear(Ack{ping.seq, 0});
  EXPECT_EQ(state("a"), MemberState::Alive);
}

TEST_F(SwimCore, AnswersAPingForItselfOnly) {
  hear(alive("a", 2));
  EXPECT_EQ(sent<Ack>(hear(Ping{5, "me", "a", address_of(2)})).size(), 1u);
  EXPECT_TRUE(sent<Ack>(hear(Ping{6, "someone-else", "a", address_of(2)})).empty());
}

TEST_F(SwimCore, HelpsWithAnAckOrANack) {
  hear(alive("a", 2));
  hear(alive("b", 3));
  const PingReq request{77, "b", address_of(3), "a", address_of(2), true};
  const auto pings = sent<Ping>(hear(request));
  ASSERT_EQ(pings.size(), 1u);
  EXPECT_EQ(pings[0].target, "b");
  const auto acks = sent<Ack>(hear(Ack{pings[0].seq, 0}, 3));
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].seq, 77u);

  hear(request);
  const auto nacks = sent<Nack>(run(milliseconds(170)));
  ASSERT_EQ(nacks.size(), 1u);
  EXPECT_EQ(nacks[0].seq, 77u);
}

TEST_F(SwimCore, MissingNacksLowerItsOwnStanding) {
  hear(alive("a", 2));
  hear(alive("b", 3));
  run(seconds(2));
  EXPECT_GT(core_.health_score(), 0);
}

TEST_F(SwimCore, RefutesSuspicionWithHigherIncarnation) {
  hear(alive("a", 2));
  const auto out = hear(Suspect{"me", 1, "a"});
  EXPECT_EQ(core_.incarnation(), 2u);
  EXPECT_EQ(core_.health_score(), 1);
  const auto said = sent<Alive>(out);
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said[0].node, "me");
  EXPECT_EQ(said[0].incarnation, 2u);
}

TEST_F(SwimCore, RefutesADeathFromAnEarlierLife) {
  hear(Dead{"me", 40, "a"});
  EXPECT_EQ(core_.incarnation(), 41u);
  hear(Suspect{"me", 40, "a"});
  EXPECT_EQ(core_.incarnation(), 41u);
}

TEST_F(SwimCore, RefutesAClaimOfItsOwnIncarnationWithOtherTags) {
  hear(alive("me", 1, 1, {{"role", "other"}}));
  EXPECT_EQ(core_.incarnation(), 2u);
  hear(alive("me", 1, 1, {}));
  EXPECT_EQ(core_.incarnation(), 2u);
}

TEST_F(SwimCore, TheHighestIncarnationDoesNotWrapAround) {
  hear(Suspect{"me", ~0ull, "a"});
  EXPECT_EQ(core_.incarnation(), 1u);
}

TEST_F(SwimCore, OfEqualIncarnationsTheWorseClaimHolds) {
  hear(alive("a", 2, 5));
  hear(Suspect{"a", 4, "b"});
  EXPECT_EQ(state("a"), MemberState::Alive);
  hear(Suspect{"a", 5, "b"});
  EXPECT_EQ(state("a"), MemberState::Suspect);
  hear(alive("a", 2, 5));
  EXPECT_EQ(state("a"), MemberState::Suspect);
  hear(Dead{"a", 5, "b"});
  EXPECT_EQ(state("a"), MemberState::Failed);
  hear(Suspect{"a", 5, "b"});
  EXPECT_EQ(state("a"), MemberState::Failed);
  hear(Leave{"a", 5, "a"});
  EXPECT_EQ(state("a"), MemberState::Left);
  hear(Dead{"a", 5, "b"});
  EXPECT_EQ(state("a"), MemberState::Left);
  hear(alive("a", 2, 6));
  EXPECT_EQ(state("a"), MemberState::Alive);
}

TEST_F(SwimCore, ConfirmationsShortenASuspicion) {
  for (int i = 2; i < 8; ++i) hear(alive("n" + std::to_string(i), i));
  hear(Suspect{"n2", 1, "n3"});
  hear(Suspect{"n2", 1, "n4"});
  hear(Suspect{"n2", 1, "n5"});
  run(milliseconds(2100));
  EXPECT_EQ(state("n2"), MemberState::Failed);
}

TEST_F(SwimCore, TellsAPingingMemberWhatIsHeldAgainstIt) {
  hear(alive("a", 2));
  hear(Dead{"a", 1, "b"});
  run(seconds(60));  // the gossip about it is over
  const auto out = hear(Ping{5, "me", "a", address_of(2)});
  ASSERT_EQ(sent<Dead>(out).size(), 1u);
  EXPECT_EQ(sent<Dead>(out)[0].node, "a");
}

TEST_F(SwimCore, ExchangesListsWithAStrangerThatPings) {
  const auto out = hear(Ping{5, "me", "stranger", address_of(9)});
  EXPECT_EQ(sent<Ack>(out).size(), 1u);
  ASSERT_EQ(out.calls.size(), 1u);
  EXPECT_EQ(out.calls[0].to.host, "10.0.0.9");
  EXPECT_TRUE(hear(Ping{6, "me", "stranger", address_of(9)}).calls.empty());
}

TEST_F(SwimCore, JoinsAndReportsHowManyAnswered) {
  const auto out = give(JoinCommand{3, {{"10.0.0.2", 8301}, {"10.0.0.3", 8301}}});
  ASSERT_EQ(out.calls.size(), 2u);
  Sync answer{false, "a", {{alive("a", 2), MemberState::Alive, 0, false}}};
  const std::string bytes = encode_packet(kCluster, answer);
  EXPECT_TRUE(give(StreamAnswer{out.calls[0].id, bytes}).joins.empty());
  const auto done = give(StreamFailed{out.calls[1].id, fail(ErrorCode::Unavailable, "refused")});
  ASSERT_EQ(done.joins.size(), 1u);
  EXPECT_EQ(done.joins[0].ticket, 3u);
  EXPECT_EQ(done.joins[0].answered, 1);
  EXPECT_FALSE(done.joins[0].error.has_value());
  EXPECT_TRUE(knows("a"));
}

TEST_F(SwimCore, AJoinNobodyAnsweredFailsWithTheReason) {
  const auto out = give(JoinCommand{4, {{"10.0.0.2", 8301}}});
  const auto done = give(StreamFailed{out.calls[0].id, fail(ErrorCode::Unavailable, "refused")});
  ASSERT_EQ(done.joins.size(), 1u);
  ASSERT_TRUE(done.joins[0].error.has_value());
  EXPECT_EQ(done.joins[0].error->message, "refused");
}

TEST_F(SwimCore, KeepsJoiningWithGrowingPausesUntilOneAnswers) {
  auto out = give(KeepJoiningCommand{{{"seed", 8301}}});
  std::vector<Duration> waits;
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(out.calls.size(), 1u);
    EXPECT_EQ(out.calls[0].to.host, "seed");
    give(StreamFailed{out.calls[0].id, fail(ErrorCode::Unavailable, "refused")});
    const Instant start = now_;
    out = {};
    while (out.calls.empty()) out = run(milliseconds(100));
    waits.push_back(now_ - start);
  }
  EXPECT_LT(waits.front(), seconds(2));
  EXPECT_GT(waits.back(), seconds(20));
  EXPECT_LT(waits.back(), seconds(40));
  const std::string bytes = encode_packet(kCluster, Sync{false, "a", {}});
  give(StreamAnswer{out.calls[0].id, bytes});
  EXPECT_TRUE(run(seconds(100)).calls.empty());
}

TEST_F(SwimCore, RefusesAJoinUnderAnotherMembersNameOrId) {
  hear(alive("a", 2, 1, {{"id", "uuid-a"}}));
  const auto ask = [&](const Alive& self) {
    const std::string bytes =
        encode_packet(kCluster, Sync{true, self.node, {{self, MemberState::Alive, 0, false}}});
    const auto out = give(StreamRequest{bytes});
    EXPECT_TRUE(out.reply.has_value());
    auto reply = decode_packet(*out.reply, kCluster, kMaxStreamMessage);
    return std::holds_alternative<Refused>(reply->at(0));
  };
  EXPECT_TRUE(ask(alive("a", 9, 1, {{"id", "uuid-b"}})));
  EXPECT_TRUE(ask(alive("b", 9, 1, {{"id", "uuid-a"}})));
  EXPECT_TRUE(ask(alive("me", 9, 1, {{"id", "uuid-c"}})));
  EXPECT_EQ(core_.members().size(), 2u);
  EXPECT_FALSE(ask(alive("a", 9, 2, {{"id", "uuid-a"}})));  // it moved
  EXPECT_EQ(core_.find("a")->address, "10.0.0.9");
  EXPECT_FALSE(ask(alive("b", 8, 1, {{"id", "uuid-b"}})));
}

TEST_F(SwimCore, ARefusedJoinSaysWhy) {
  const auto out = give(JoinCommand{5, {{"10.0.0.2", 8301}}});
  const std::string bytes = encode_packet(kCluster, Refused{"node name is used"});
  const auto done = give(StreamAnswer{out.calls[0].id, bytes});
  ASSERT_EQ(done.joins.size(), 1u);
  EXPECT_EQ(done.joins[0].error->code, ErrorCode::Conflict);
  EXPECT_THAT(done.joins[0].error->message, ::testing::HasSubstr("node name is used"));
}

TEST_F(SwimCore, TheNameOfALeftMemberIsFree) {
  hear(alive("a", 2, 1, {{"id", "uuid-a"}}));
  hear(Leave{"a", 1, "a"});
  hear(alive("a", 9, 2, {{"id", "uuid-b"}}));
  EXPECT_EQ(core_.find("a")->address, "10.0.0.9");
}

TEST_F(SwimCore, NewsOfADeathByExchangeIsOnlyASuspicion) {
  hear(alive("a", 2));
  Sync sync{false, "b", {{alive("a", 2), MemberState::Failed, 5, false}}};
  const std::string bytes = encode_packet(kCluster, sync);
  give(StreamRequest{bytes});
  EXPECT_EQ(state("a"), MemberState::Suspect);
}

TEST_F(SwimCore, LearnsTheGoneWithTheirAgeAndForgetsThemInTime) {
  const auto hours = [](int n) { return static_cast<std::uint64_t>(n) * 3600; };
  Sync sync{false,
            "b",
            {{alive("gone", 2), MemberState::Failed, hours(71), false},
             {alive("old", 3), MemberState::Left, hours(25), false}}};
  const std::string bytes = encode_packet(kCluster, sync);
  give(StreamRequest{bytes});
  EXPECT_EQ(state("gone"), MemberState::Failed);
  EXPECT_FALSE(knows("old"));
  const auto out = run(std::chrono::hours(1) + seconds(16));
  EXPECT_FALSE(knows("gone"));
  ASSERT_FALSE(out.changes.empty());
  EXPECT_TRUE(out.changes.back().forgotten);
  EXPECT_EQ(out.changes.back().member.state, MemberState::Left);
}

TEST_F(SwimCore, LeavesWhenItsGoodbyeHasSpread) {
  hear(alive("a", 2));
  run(seconds(30) - seconds(29));
  auto out = give(LeaveCommand{});
  append(out, run(seconds(3)));
  EXPECT_TRUE(out.left);
  const auto said = sent<Leave>(out);
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said[0].node, "me");
  EXPECT_EQ(said[0].from, "me");
  hear(Suspect{"me", 1, "a"});
  EXPECT_EQ(core_.incarnation(), 1u);  // no refutation of what is true
}

TEST_F(SwimCore, AloneItLeavesAtOnce) {
  EXPECT_TRUE(give(LeaveCommand{}).left);
}

TEST_F(SwimCore, ForceLeaveTurnsFailedIntoLeft) {
  hear(alive("a", 2));
  EXPECT_EQ(give(ForceLeaveCommand{"a", false}).error->code, ErrorCode::Conflict);
  EXPECT_EQ(give(ForceLeaveCommand{"nobody", false}).error->code, ErrorCode::NotFound);
  hear(Dead{"a", 1, "b"});
  EXPECT_FALSE(give(ForceLeaveCommand{"a", false}).error.has_value());
  EXPECT_EQ(state("a"), MemberState::Left);
}

TEST_F(SwimCore, PruneDeletesAndTheMemberDoesNotReturnByAnOldList) {
  hear(alive("a", 2));
  hear(Dead{"a", 1, "b"});
  const auto out = give(ForceLeaveCommand{"a", true});
  EXPECT_FALSE(knows("a"));
  ASSERT_EQ(out.changes.size(), 1u);
  EXPECT_TRUE(out.changes[0].forgotten);
  Sync sync{false, "b", {{alive("a", 2), MemberState::Failed, 5, false}}};
  const std::string bytes = encode_packet(kCluster, sync);
  give(StreamRequest{bytes});
  EXPECT_FALSE(knows("a"));
  hear(alive("a", 2, 2));  // it really is back
  EXPECT_TRUE(knows("a"));
}

TEST_F(SwimCore, AnOperatorsGoodbyeForALiveMemberIsRefutedByIt) {
  hear(Leave{"me", 1, "a"});
  EXPECT_EQ(core_.incarnation(), 2u);
  EXPECT_EQ(state("me"), MemberState::Alive);
}

TEST_F(SwimCore, NewTagsAreAnnouncedUnderANewIncarnation) {
  hear(alive("a", 2));
  const auto out = give(SetTagsCommand{{{"role", "consul"}}});
  EXPECT_EQ(core_.incarnation(), 2u);
  ASSERT_EQ(out.changes.size(), 1u);
  Tags big{{"x", std::string(kMaxTagBytes, 'x')}};
  EXPECT_TRUE(give(SetTagsCommand{big}).error.has_value());
}

TEST_F(SwimCore, ItsOwnPauseIsNobodyElsesDeath) {
  hear(alive("a", 2));
  hear(Suspect{"a", 1, "b"});
  now_ += seconds(60);
  give(TimeElapsed{});
  run(milliseconds(1200));  // a last chance alone would be over by now
  EXPECT_EQ(state("a"), MemberState::Suspect);
}

TEST_F(SwimCore, AProbeFromBeforeAPauseIsNotJudged) {
  hear(alive("a", 2));
  run(milliseconds(550));  // a ping is on its way
  now_ += seconds(10);
  give(TimeElapsed{});
  EXPECT_EQ(state("a"), MemberState::Alive);
}

TEST_F(SwimCore, EveryPingToASuspectSaysSo) {
  for (int i = 2; i < 6; ++i) hear(alive("n" + std::to_string(i), i));
  hear(Suspect{"n2", 1, "n3"});
  run(seconds(2));  // the gossip about it is over
  const auto out = run(seconds(4));
  int pings = 0;
  for (const OutPacket& packet : out.packets) {
    const auto messages = *decode_packet(packet.bytes, kCluster, kMaxPacket);
    bool to_suspect = false, says_so = false;
    for (const Message& message : messages) {
      const auto* ping = std::get_if<Ping>(&message);
      to_suspect = to_suspect || (ping && ping->target == "n2");
      const auto* claim = std::get_if<Suspect>(&message);
      says_so = says_so || (claim && claim->node == "n2");
    }
    pings += to_suspect ? 1 : 0;
    EXPECT_TRUE(!to_suspect || says_so);
  }
  EXPECT_GT(pings, 0);
}

TEST_F(SwimCore, AnAckOverTcpOnlyIsSaidOnce) {
  hear(alive("a", 2));
  int warnings = 0;
  for (int i = 0; i < 100; ++i) {
    auto out = run(milliseconds(100));
    for (const auto& call : out.calls) {
      auto messages = decode_packet(call.bytes, kCluster, kMaxStreamMessage);
      const auto* ping = std::get_if<Ping>(&messages->at(0));
      if (!ping) continue;
      const std::string bytes = encode_packet(kCluster, Ack{ping->seq, 0});
      append(out, give(StreamAnswer{call.id, bytes}));
    }
    warnings += static_cast<int>(std::count_if(out.facts.begin(), out.facts.end(), [](auto& f) {
      return f.kind == FactKind::UdpBlocked;
    }));
  }
  EXPECT_EQ(state("a"), MemberState::Alive);
  EXPECT_EQ(warnings, 1);
}

TEST_F(SwimCore, ForeignPacketsAreDroppedAndNeverAnswered) {
  const std::string other = encode_packet(cluster_hash("dc2"), Ping{1, "me", "a", address_of(2)});
  const auto out = give(PacketArrived{address_of(2), other});
  EXPECT_TRUE(out.packets.empty());
  ASSERT_EQ(out.facts.size(), 1u);
  EXPECT_EQ(out.facts[0].kind, FactKind::DroppedPacket);
  EXPECT_FALSE(give(StreamRequest{other}).reply.has_value());
}

}  // namespace
}  // namespace fyr::agent
