#include "agent/swim/wire.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/random.h"

namespace fyr::agent::swim {
namespace {

const std::uint32_t kCluster = cluster_hash("dc1");

Address address(std::string_view ip, std::uint16_t port) {
  return {*IpAddress::parse(ip), port};
}

Alive some_alive() {
  return {"node-1", 7, address("10.0.0.1", 8301), {{"role", "consul"}, {"id", "abc"}}};
}

std::vector<Message> one_of_each() {
  const Address a = address("10.0.0.1", 8301);
  const Address six = address("fd00::1", 65535);
  Sync sync{true, "node-1", {{some_alive(), MemberState::Failed, 70000, true}}};
  return {Ping{1, "target", "source", a},
          PingReq{~0ull, "target", six, "source", a, true},
          Ack{300, 5},
          Nack{9},
          Suspect{"node", 3, "from"},
          some_alive(),
          Dead{"node", 4, "from"},
          Leave{"node", 5, "node", true},
          sync,
          Refused{"because"}};
}

TEST(SwimWire, EveryMessageSurvivesTheRoundTrip) {
  for (const Message& message : one_of_each()) {
    const std::string packet = encode_packet(kCluster, message);
    auto back = decode_packet(packet, kCluster, kMaxPacket);
    ASSERT_TRUE(back.has_value()) << back.error().message;
    ASSERT_EQ(back->size(), 1u);
    EXPECT_EQ(back->front().index(), message.index());
    EXPECT_EQ(encode_packet(kCluster, back->front()), packet);
  }
}

TEST(SwimWire, CarriesSeveralMessagesInOnePacket) {
  std::string packet = begin_packet(kCluster);
  for (const Message& message : one_of_each()) append_message(packet, message);
  finish_packet(packet);
  auto back = decode_packet(packet, kCluster, kMaxPacket);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->size(), one_of_each().size());
}

TEST(SwimWire, RefusesAnotherClusterAnotherVersionAndDamage) {
  const std::string packet = encode_packet(kCluster, Nack{1});
  EXPECT_EQ(decode_packet(packet, cluster_hash("dc2"), kMaxPacket).error().code,
            ErrorCode::InvalidArgument);
  std::string version = packet;
  version[2] = 9;
  EXPECT_EQ(decode_packet(version, kCluster, kMaxPacket).error().code, ErrorCode::Unsupported);
  for (std::size_t i = 8; i < packet.size(); ++i) {
    std::string damaged = packet;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_EQ(decode_packet(damaged, kCluster, kMaxPacket).error().code, ErrorCode::Corrupt) << i;
  }
  EXPECT_TRUE(decode_packet("", kCluster, kMaxPacket).has_error());
  EXPECT_TRUE(decode_packet(packet, kCluster, packet.size() - 1).has_error());
}

TEST(SwimWire, SkipsMessageTypesOfALaterVersionAndLongerBodies) {
  std::string packet = begin_packet(kCluster);
  packet += std::string("\x63\x03xyz", 5);  // type 99
  std::string nack = encode_message(Nack{7});
  nack[1] = static_cast<char>(nack[1] + 2);  // two bytes more than we know of
  packet += nack + "??";
  finish_packet(packet);
  auto back = decode_packet(packet, kCluster, kMaxPacket);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  ASSERT_EQ(back->size(), 1u);
  EXPECT_EQ(std::get<Nack>(back->front()).seq, 7u);
}

TEST(SwimWire, AClaimedCountAllocatesNothing) {
  // A SYNC that claims 2^40 entries in a few bytes.
  std::string body = std::string("\0", 1) + "\x01" + "a" + "\x80\x80\x80\x80\x80\x20";
  std::string packet = begin_packet(kCluster);
  packet += '\x09';
  packet += static_cast<char>(body.size());
  packet += body;
  finish_packet(packet);
  EXPECT_EQ(decode_packet(packet, kCluster, kMaxStreamMessage).error().code, ErrorCode::Corrupt);
}

TEST(SwimWire, RefusesNamesAndTagsThatBreakTheRules) {
  Alive bad = some_alive();
  bad.node = "with space";
  EXPECT_TRUE(decode_packet(encode_packet(kCluster, bad), kCluster, kMaxPacket).has_error());
  bad = some_alive();
  bad.tags["big"] = std::string(kMaxTagBytes, 'x');
  EXPECT_TRUE(decode_packet(encode_packet(kCluster, bad), kCluster, kMaxPacket).has_error());
  EXPECT_TRUE(check_name("").has_error());
  EXPECT_TRUE(check_name(std::string(129, 'a')).has_error());
  EXPECT_TRUE(check_name("a_b.c-D9").has_value());
}

TEST(SwimWire, RandomAndMutatedPacketsNeverCrash) {
  Random random(20240607);
  std::vector<std::string> seeds;
  for (const Message& message : one_of_each()) seeds.push_back(encode_packet(kCluster, message));
  int accepted = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string packet = seeds[random.below(seeds.size())];
    packet.resize(packet.size() - 4);
    const int changes = 1 + static_cast<int>(random.below(4));
    for (int i = 0; i < changes && packet.size() > 8; ++i) {
      const std::size_t at = 8 + random.below(packet.size() - 8);
      switch (random.below(4)) {
        case 0:
          packet[at] = static_cast<char>(random.next());
          break;
        case 1:
          packet.resize(at);
          break;
        case 2:
          packet.insert(at, std::string(random.below(9), static_cast<char>(random.next())));
          break;
        default:
          packet[at] = static_cast<char>(packet[at] ^ (1 << random.below(8)));
      }
    }
    finish_packet(packet);  // or the checksum would hide everything behind it
    auto back = decode_packet(packet, kCluster, kMaxPacket);
    if (!back) continue;
    ++accepted;
    for (const Message& message : *back) encode_message(message);
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace fyr::agent::swim
