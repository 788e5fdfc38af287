// How many records an answer has, how large it is, and in which order they come: section 3 of the
// DNS specification.
#include <gmock/gmock.h>

#include <set>

#include "tests/unit/dns/answering.h"

namespace fyr::dns {
namespace {

using test::Answering;
using test::instance;

class Limits : public Answering {
 protected:
  void make(int instances, const std::string& node_prefix = "n") {
    services_["big"].records.clear();
    for (int i = 0; i < instances; ++i) {
      const auto address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
      add("big",
          instance(node_prefix + std::to_string(i), address, static_cast<std::uint16_t>(7000 + i)));
    }
  }
  test::Decoded big(std::uint16_t type, int edns = -1, Transport transport = Transport::Udp) {
    return ask({.name = "big.service.consul", .type = type, .edns = edns}, transport);
  }
};

TEST_F(Limits, PlainUdpSamplesThreeEdnsAndTcpGiveAll) {
  make(12);
  for (const std::uint16_t type : {kTypeA, kTypeSrv}) {
    EXPECT_EQ(big(type).answer.size(), 3u);
    EXPECT_FALSE(big(type).tc);
    EXPECT_EQ(big(type, 512).answer.size(), 3u);
    EXPECT_EQ(big(type, 1232).answer.size(), 12u);
    EXPECT_EQ(big(type, -1, Transport::Tcp).answer.size(), 12u);
  }
}

TEST_F(Limits, TheSampleIsMarkedWhenAskedFor) {
  make(5);
  settings_.enable_truncate = true;
  EXPECT_TRUE(big(kTypeA).tc);
  EXPECT_TRUE(big(kTypeSrv).tc);
  EXPECT_FALSE(big(kTypeA, -1, Transport::Tcp).tc);
  EXPECT_FALSE(big(kTypeA, 1232).tc);
  settings_.a_record_limit = 2;
  EXPECT_EQ(big(kTypeA).answer.size(), 2u);
  EXPECT_FALSE(big(kTypeA).tc) << "a_record_limit is what was asked for, not a loss";
  make(3);
  settings_.a_record_limit = 0;
  EXPECT_FALSE(big(kTypeA).tc) << "nothing was left out";
}

TEST_F(Limits, ARecordLimitHoldsOnEveryTransportAndForAddressesOnly) {
  make(10);
  settings_.a_record_limit = 2;
  EXPECT_EQ(big(kTypeA, -1, Transport::Tcp).answer.size(), 2u);
  EXPECT_EQ(big(kTypeA, 1232).answer.size(), 2u);
  EXPECT_EQ(big(kTypeAny, 1232).answer.size(), 2u);
  EXPECT_EQ(big(kTypeSrv, 1232).answer.size(), 10u);
}

TEST_F(Limits, UdpAnswerLimitIsOneToEight) {
  make(20);
  for (const auto& [limit, expected] : {std::pair{1, 1u}, {0, 1u}, {-5, 1u}, {8, 8u}, {99, 8u}}) {
    settings_.udp_answer_limit = limit;
    EXPECT_EQ(big(kTypeA).answer.size(), expected);
  }
}

TEST_F(Limits, NoAnswerIsLargerThanTheClientTakesAndCutsAreMarked) {
  make(300);
  for (const int edns : {513, 600, 1232, 4096, 65535}) {
    for (const std::uint16_t type : {kTypeA, kTypeSrv}) {
      const auto answer = big(type, edns);
      EXPECT_TRUE(answer.tc) << edns;
      EXPECT_TRUE(answer.edns) << "OPT is kept";
      EXPECT_GT(answer.answer.size(), 3u);
      EXPECT_LE(answer.size, static_cast<std::size_t>(std::min(edns, 1232))) << edns;
      EXPECT_GT(answer.size + 60, static_cast<std::size_t>(std::min(edns, 1232))) << "room left";
    }
  }
  EXPECT_EQ(big(kTypeA, 0).answer.size(), 3u) << "less than 512 means 512";
  const auto whole = big(kTypeA, 1232, Transport::Tcp);
  EXPECT_FALSE(whole.tc);
  EXPECT_EQ(whole.answer.size(), 300u);
}

TEST_F(Limits, LongNamesAreCutAtRecordBorders) {
  make(8, std::string(63, 'a') + "." + std::string(63, 'b') + ".n");
  settings_.udp_answer_limit = 8;
  const auto answer = big(kTypeSrv);
  EXPECT_TRUE(answer.tc);
  EXPECT_LE(answer.size, 512u);
  EXPECT_GE(answer.answer.size(), 2u);
  for (const auto& record : answer.answer) EXPECT_TRUE(record.data.ends_with(".dc1.consul."));
}

TEST_F(Limits, GlueIsLeftOutFirstAndSilently) {
  make(20);
  for (auto& record : services_["big"].records) record.node_meta = {{"k", std::string(100, 'v')}};
  const auto answer = big(kTypeSrv, 1232);
  EXPECT_EQ(answer.answer.size(), 20u);
  EXPECT_FALSE(answer.tc);
  EXPECT_LE(answer.size, 1232u);
  std::set<std::string> targets;
  for (const auto& record : answer.answer)
    targets.insert(record.data.substr(record.data.rfind(' ') + 1));
  for (const auto& record : answer.additional) EXPECT_TRUE(targets.contains(record.name));
}

TEST_F(Limits, TcpAnswersStayBelow64KiB) {
  make(5000);
  for (const std::uint16_t type : {kTypeA, kTypeSrv}) {
    const auto answer = big(type, -1, Transport::Tcp);
    EXPECT_LE(answer.size, 65535u);
    EXPECT_GT(answer.answer.size(), 1000u);
    EXPECT_TRUE(answer.tc);
  }
}

// Compression pointers reach 16 KiB; names beyond are written out.
TEST_F(Limits, GlueFarInsideALargeAnswerKeepsItsNames) {
  make(600);
  const auto answer = big(kTypeSrv, -1, Transport::Tcp);
  ASSERT_EQ(answer.answer.size(), 600u);
  ASSERT_EQ(answer.additional.size(), 600u);
  EXPECT_GT(answer.size, 0x4000u);
  for (std::size_t i = 0; i < 600; ++i)
    EXPECT_TRUE(answer.answer[i].data.ends_with(" " + answer.additional[i].name));
}

TEST_F(Limits, SrvTargetsAreNeverCompressed) {
  make(1);
  const auto message = raw({.name = "big.service.consul", .type = kTypeSrv});
  EXPECT_NE(message.find(test::encode_name("n0.node.dc1.consul")), std::string::npos);
  settings_.disable_compression = true;
  const auto answer = big(kTypeSrv);
  EXPECT_EQ(answer.pointers, 0);
  EXPECT_EQ(answer.additional.at(0).name, "n0.node.dc1.consul.");
}

// Chi-square over which instance comes first: 9 degrees of freedom, 99.9 % below 27.9.
TEST_F(Limits, EveryInstanceIsFirstEquallyOften) {
  make(10);
  std::map<std::string, int> first;
  constexpr int kQueries = 10000;
  for (int i = 0; i < kQueries; ++i) ++first[big(kTypeA).answer.at(0).data];
  ASSERT_EQ(first.size(), 10u);
  double chi_square = 0;
  for (const auto& [address, count] : first)
    chi_square += (count - kQueries / 10.0) * (count - kQueries / 10.0) / (kQueries / 10.0);
  EXPECT_LT(chi_square, 27.9);
}

}  // namespace
}  // namespace fyr::dns
