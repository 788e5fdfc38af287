// Every packet of the fuzzing corpus, and many changed copies of them, must get a well-formed
// answer within its limit or silence.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/dns/answering.h"

namespace fyr::dns {
namespace {

using test::Answering;
using test::at_address;
using test::decode;
using test::instance;

std::vector<std::string> corpus() {
  std::vector<std::string> packets;
  for (const auto& entry : std::filesystem::directory_iterator(FYR_DNS_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    packets.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return packets;
}

class Corpus : public Answering {
 protected:
  Corpus() {
    for (int i = 0; i < 40; ++i)
      add("web", instance("n" + std::to_string(i), "10.0.0." + std::to_string(i + 1), 80));
    add("own", at_address(instance("n1", "10.0.0.1", 80), "fd00::1"));
    add("far", at_address(instance("n1", "10.0.0.1", 80), "backend.example.org"));
    nodes_["n1"] = {{"n1", "10.0.0.1", {{"k", std::string(200, 'v')}}}};
    addresses_["10.0.0.1"] = nodes_["n1"];
  }

  void expect_sound(const std::string& packet) {
    for (const auto transport : {Transport::Udp, Transport::Tcp}) {
      const auto reply = raw_packet(packet, transport);
      if (reply.empty()) continue;
      const auto message = decode(reply);
      ASSERT_TRUE(message.has_value());
      const std::size_t limit = message->edns ? kEdnsUdpBytes : kPlainUdpBytes;
      EXPECT_LE(reply.size(), transport == Transport::Udp ? limit : kTcpBytes);
      EXPECT_EQ(reply.substr(0, 2), packet.substr(0, 2));
    }
  }
};

TEST_F(Corpus, EveryPacketIsAnsweredSoundlyOrNotAtAll) {
  const auto packets = corpus();
  ASSERT_GE(packets.size(), 20u);
  for (const auto& packet : packets) expect_sound(packet);
}

TEST_F(Corpus, DamagedPacketsToo) {
  Random random(7);
  for (const auto& packet : corpus()) {
    for (int round = 0; round < 300 && !packet.empty(); ++round) {
      auto damaged = packet;
      for (auto n = random.below(4) + 1; n > 0; --n)
        damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
      if (random.chance(0.2)) damaged.resize(random.below(damaged.size() + 1));
      expect_sound(damaged);
    }
  }
}

}  // namespace
}  // namespace fyr::dns
