#include "server/dns/message.h"

#include <gtest/gtest.h>

#include "tests/unit/dns/decoded.h"

namespace fyr::dns {
namespace {

using test::Ask;
using test::decode;
using test::encode;
using test::encode_name;

Verdict parse(const std::string& packet, Query& query) {
  return parse_query(packet, query);
}

TEST(DnsMessage, ReadsAQuestionWithItsLettersAndItsFlags) {
  Query query;
  const auto verdict = parse(encode({.name = "Web.Service.Consul",
                                     .type = 33,
                                     .edns = 1400,
                                     .dnssec_ok = true,
                                     .cd = true,
                                     .id = 77}),
                             query);
  ASSERT_EQ(verdict.kind, Verdict::Proceed);
  EXPECT_EQ(query.id, 77);
  EXPECT_EQ(query.type, kTypeSrv);
  EXPECT_EQ(query.labels, 3);
  EXPECT_EQ(query.label(0), "web");
  EXPECT_EQ(query.label(2), "consul");
  EXPECT_EQ(query.wire(), encode_name("Web.Service.Consul"));
  EXPECT_EQ(query.lower_suffix(1), encode_name("service.consul"));
  EXPECT_EQ(query.lower_suffix(3), std::string(1, '\0'));
  EXPECT_TRUE(query.recursion_desired);
  EXPECT_TRUE(query.checking_disabled);
  EXPECT_TRUE(query.edns);
  EXPECT_TRUE(query.dnssec_ok);
  EXPECT_EQ(query.edns_size, 1400);
}

TEST(DnsMessage, NothingOfTheLastQuestionRemains) {
  Query query;
  parse(encode({.name = "a.b.c", .edns = 512, .dnssec_ok = true}), query);
  ASSERT_EQ(parse(encode({.name = "x"}), query).kind, Verdict::Proceed);
  EXPECT_FALSE(query.edns);
  EXPECT_FALSE(query.dnssec_ok);
  EXPECT_EQ(query.labels, 1);
  EXPECT_EQ(parse("short", query).kind, Verdict::Ignore);
  EXPECT_FALSE(query.has_question);
}

TEST(DnsMessage, ResponsesAndHalfHeadersAreMetWithSilence) {
  Query query;
  auto response = encode({.name = "consul"});
  response[2] = static_cast<char>(response[2] | '\x80');
  EXPECT_EQ(parse(response, query).kind, Verdict::Ignore);
  EXPECT_EQ(parse("", query).kind, Verdict::Ignore);
  EXPECT_EQ(parse(encode({.name = "consul"}).substr(0, 11), query).kind, Verdict::Ignore);
}

TEST(DnsMessage, EveryCutOfAQueryIsRefusedOrIgnored) {
  const auto whole = encode({.name = "web.service.consul", .edns = 1232});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Query query;
    const auto verdict = parse(whole.substr(0, size), query);
    EXPECT_NE(verdict.kind, Verdict::Proceed) << size;
    if (size == 12) {
      EXPECT_EQ(verdict.rcode, Rcode::Refused);
    } else if (size > 12) {
      EXPECT_EQ(verdict.rcode, Rcode::FormErr) << size;
    }
  }
}

TEST(DnsMessage, PointersInTheQuestionAreMalformed) {
  const auto header = encode({.name = "x"}).substr(0, 12);
  const std::string tail("\0\1\0\1", 4);
  for (const auto* name : {"\xc0\x0c", "\xc0\x04", "\x01z\xc0\x0c", "\xc0\xff"}) {
    Query query;
    const auto verdict = parse(header + name + tail, query);
    EXPECT_EQ(verdict.kind, Verdict::Reject);
    EXPECT_EQ(verdict.rcode, Rcode::FormErr);
    EXPECT_FALSE(query.has_question);
  }
}

TEST(DnsMessage, LabelsHave63BytesAndNames255AtMost) {
  const std::string full(63, 'a');
  Query query;
  // 3 x 64 + 62 + root = 255.
  const auto longest = full + "." + full + "." + full + "." + std::string(61, 'b');
  EXPECT_EQ(parse(encode({.name = longest}), query).kind, Verdict::Proceed);
  EXPECT_EQ(query.name_size, 255u);
  EXPECT_EQ(parse(encode({.name = longest + "b"}), query).rcode, Rcode::FormErr);
  EXPECT_EQ(parse(encode({.name = std::string(64, 'a') + ".consul"}), query).rcode, Rcode::FormErr);
  std::string many;
  for (int i = 0; i < 127; ++i) many += "a.";
  EXPECT_EQ(parse(encode({.name = many}), query).kind, Verdict::Proceed);
  EXPECT_EQ(query.labels, 127);
  EXPECT_EQ(parse(encode({.name = many + "a."}), query).rcode, Rcode::FormErr);
}

TEST(DnsMessage, OtherOpcodesAreNotImplemented) {
  for (const int opcode : {1, 2, 4, 5, 15}) {
    Query query;
    const auto verdict = parse(encode({.name = "consul", .opcode = opcode}), query);
    EXPECT_EQ(verdict.rcode, Rcode::NotImp) << opcode;
    EXPECT_EQ(query.opcode, opcode);
  }
}

TEST(DnsMessage, ExactlyOneQuestionIsAccepted) {
  for (const int count : {0, 2, 255}) {
    auto packet = encode({.name = "consul"});
    packet[5] = static_cast<char>(count);
    Query query;
    EXPECT_EQ(parse(packet, query).rcode, Rcode::FormErr) << count;
  }
}

TEST(DnsMessage, OptMustBeOneAtTheRootOfVersion0) {
  Query query;
  const auto one = encode({.name = "consul", .edns = 1232});
  const auto opt = one.substr(one.size() - 11);
  auto two = one + opt;
  two[11] = 2;
  EXPECT_EQ(parse(two, query).rcode, Rcode::FormErr);
  auto named = one.substr(0, one.size() - 11) + encode_name("x") + opt.substr(1);
  EXPECT_EQ(parse(named, query).rcode, Rcode::FormErr);
  auto elsewhere = one;  // counted as an answer
  elsewhere[7] = 1;
  elsewhere[11] = 0;
  EXPECT_EQ(parse(elsewhere, query).rcode, Rcode::FormErr);
  EXPECT_EQ(parse(encode({.name = "consul", .edns = 1232, .edns_version = 1}), query).rcode,
            Rcode::BadVers);
}

TEST(DnsMessage, RecordsBesideOptAreSkipped) {
  auto packet = encode({.name = "consul", .edns = 900});
  const auto opt = packet.substr(packet.size() - 11);
  packet.resize(packet.size() - 11);
  packet += std::string("\xc0\x0c\0\x10\0\1\0\0\0\0\0\3\2ab", 15) + opt;
  packet[11] = 2;
  Query query;
  ASSERT_EQ(parse(packet, query).kind, Verdict::Proceed);
  EXPECT_EQ(query.edns_size, 900);
}

TEST(DnsMessage, TextBecomesLabelsOnlyIfItIsAName) {
  EXPECT_EQ(to_wire("a.bc."), encode_name("a.bc"));
  for (const auto& bad : {std::string(), std::string("."), std::string("a..b"), std::string(".a"),
                          std::string(64, 'x')}) {
    EXPECT_FALSE(to_wire(bad)) << bad;
  }
  const std::string full(63, 'a');
  EXPECT_TRUE(to_wire(full + "." + full + "." + full + "." + std::string(61, 'b')));
  EXPECT_FALSE(to_wire(full + "." + full + "." + full + "." + std::string(62, 'b')));
  std::string kept = "kept";
  EXPECT_FALSE(append_labels(kept, "a..b"));
  EXPECT_EQ(kept, "kept");
}

class Writer : public testing::Test {
 protected:
  void ask(const Ask& ask) { ASSERT_EQ(parse(encode(ask), query_).kind, Verdict::Proceed); }
  test::Decoded decoded() {
    const auto message = decode(reply_);
    EXPECT_TRUE(message.has_value());
    return message.value_or(test::Decoded{});
  }
  Query query_;
  std::string reply_;
};

TEST_F(Writer, RecordsOfEveryTypeReadBackAsWritten) {
  ask({.name = "Web.Service.Consul", .type = 33, .edns = 1232, .dnssec_ok = true, .cd = true});
  MessageWriter out(reply_, query_, 1232, true);
  const auto target = encode_name("n.node.dc1.consul");
  EXPECT_TRUE(out.add_srv(out.question(), 5, 7, 8080, target));
  EXPECT_TRUE(out.add_name(out.question(), kTypeCname, 6, encode_name("other.example")));
  out.section(Section::Authority);
  EXPECT_TRUE(out.add_soa(out.question_suffix(2), 9, encode_name("consul"), {1, 2, 3, 4, 5}));
  out.section(Section::Additional);
  EXPECT_TRUE(out.add_address({target, 0}, 1, *IpAddress::parse("10.0.0.1")));
  EXPECT_TRUE(out.add_address(out.question(), 1, *IpAddress::parse("fd00::1")));
  EXPECT_TRUE(out.add_txt(out.question(), 1, std::string(300, 'x')));
  EXPECT_TRUE(out.add_txt(out.question(), 1, ""));
  out.finish(Rcode::NoError, true, true, ExtendedError::NotAuthoritative);

  const auto message = decoded();
  EXPECT_EQ(message.question, "Web.Service.Consul. 33");
  EXPECT_TRUE(message.aa && message.tc && message.rd && message.cd && message.dnssec_ok);
  EXPECT_FALSE(message.ra);
  EXPECT_EQ(message.extended_error, 20);
  EXPECT_EQ(message.edns_size, 1232);
  ASSERT_EQ(message.answer.size(), 2u);
  EXPECT_EQ(message.answer[0].name, "Web.Service.Consul.");
  EXPECT_EQ(message.answer[0].data, "1 7 8080 n.node.dc1.consul.");
  EXPECT_EQ(message.answer[0].ttl, 5u);
  EXPECT_EQ(message.answer[1].data, "other.example.");
  ASSERT_EQ(message.authority.size(), 1u);
  EXPECT_EQ(message.authority[0].name, "Consul.");
  EXPECT_EQ(message.authority[0].data, "ns.consul. hostmaster.consul. 1 2 3 4 5");
  ASSERT_EQ(message.additional.size(), 4u);
  EXPECT_EQ(message.additional[0].name, "n.node.dc1.consul.");
  EXPECT_EQ(message.additional[1].data, "fd00::1");
  EXPECT_EQ(message.additional[2].data, std::string(300, 'x'));
  EXPECT_EQ(message.additional[3].data, "");
}

TEST_F(Writer, WithoutCompressionNoPointerIsWritten) {
  ask({.name = "web.service.consul"});
  MessageWriter out(reply_, query_, 512, false);
  EXPECT_TRUE(out.add_address(out.question(), 0, *IpAddress::parse("10.0.0.1")));
  EXPECT_TRUE(out.add_soa(out.question_suffix(2), 0, encode_name("consul"), {}));
  EXPECT_TRUE(out.add_soa({encode_name("a.example"), 0}, 0, encode_name("b.example"), {}));
  out.finish(Rcode::NoError, true, false);
  const auto message = decoded();
  EXPECT_EQ(message.pointers, 0);
  EXPECT_EQ(message.answer[1].data, "ns.consul. hostmaster.consul. 0 0 0 0 0");
  EXPECT_EQ(message.answer[2].data, "ns.b.example. hostmaster.b.example. 0 0 0 0 0");
}

TEST_F(Writer, ARecordThatDoesNotFitLeavesNoTrace) {
  ask({.name = "web.service.consul", .edns = 512});
  MessageWriter out(reply_, query_, 64 + 11, true);  // 36 for header and question
  const auto address = *IpAddress::parse("10.0.0.1");
  EXPECT_TRUE(out.add_address(out.question(), 0, address));
  EXPECT_FALSE(out.add_address(out.question(), 0, address));
  out.finish(Rcode::NoError, true, true);
  const auto message = decoded();
  EXPECT_EQ(message.answer.size(), 1u);
  EXPECT_TRUE(message.edns);
  EXPECT_LE(message.size, 75u);
}

TEST_F(Writer, TheLastRecordCanBeTakenOut) {
  ask({.name = "web.service.consul"});
  MessageWriter out(reply_, query_, 512, true);
  out.add_address(out.question(), 0, *IpAddress::parse("10.0.0.1"));
  out.add_address(out.question(), 0, *IpAddress::parse("10.0.0.2"));
  out.drop_last();
  out.finish(Rcode::NoError, true, false);
  ASSERT_EQ(decoded().answer.size(), 1u);
  EXPECT_EQ(decoded().answer[0].data, "10.0.0.1");
}

TEST_F(Writer, BadVersionNeedsTheUpperBitsOfTheCode) {
  parse(encode({.name = "consul", .edns = 1232, .edns_version = 1}), query_);
  MessageWriter out(reply_, query_, 512, true);
  out.finish(Rcode::BadVers, false, false);
  EXPECT_EQ(decoded().rcode, 16);
}

}  // namespace
}  // namespace fyr::dns
