// Which records a question gets: sections 1, 2 and 4 to 6 of the DNS specification, with Consul's
// recorded answers where the two differ and differences.md does not say otherwise.
#include "server/dns/answer.h"

#include <gmock/gmock.h>

#include "tests/unit/dns/answering.h"

namespace fyr::dns {
namespace {

using test::Answering;
using test::at_address;
using test::instance;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Answers : public Answering {
 protected:
  Answers() {
    add("web", instance("n1", "10.0.0.1", 81, Health::Passing, {"v1", "blue.green"}));
    add("web", instance("n2", "10.0.0.2", 82, Health::Warning, {"V2"}));
    add("web", instance("n3", "10.0.0.3", 83, Health::Critical, {"v1"}));
    nodes_["n1"] = {{"n1", "10.0.0.1", {{"rack", "7"}, {"rfc1035-note", "raw"}}}};
    nodes_["n6"] = {{"n6", "fd00::6", {}}};
    nodes_["named"] = {{"named", "host.example", {}}};
  }
};

TEST_F(Answers, ServiceAddressesLeaveCriticalInstancesOut) {
  const auto answer = ask({.name = "web.service.consul"});
  EXPECT_EQ(answer.rcode, 0);
  EXPECT_TRUE(answer.aa);
  EXPECT_FALSE(answer.ra);
  EXPECT_THAT(answer.data(answer.answer), ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(answer.additional, IsEmpty());
  settings_.only_passing = true;
  const auto passing = ask({.name = "web.service.consul"});
  EXPECT_THAT(passing.data(passing.answer), ElementsAre("10.0.0.1"));
}

TEST_F(Answers, TagsMatchWithoutCaseAndMayHaveDots) {
  const auto data = [&](const std::string& name) {
    const auto answer = ask({.name = name});
    return answer.data(answer.answer);
  };
  EXPECT_THAT(data("v1.web.service.consul"), ElementsAre("10.0.0.1"));
  EXPECT_THAT(data("v2.web.service.consul"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(data("BLUE.green.web.service.consul"), ElementsAre("10.0.0.1"));
  EXPECT_THAT(data("_web._v2.service.consul"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(data("_web._tcp.service.consul"), ElementsAre("10.0.0.1", "10.0.0.2"));
  expect_denied({.name = "none.web.service.consul"}, Rcode::NxDomain);
  expect_denied({.name = "_web._udp.service.consul"}, Rcode::NxDomain);
}

TEST_F(Answers, SrvHasPortWeightAndAGlueAddressForEachTarget) {
  services_["web"].records[1].weight_warning = 3;
  services_["web"].records[0].weight_passing = 10;
  const auto answer = ask({.name = "web.service.consul", .type = kTypeSrv});
  EXPECT_THAT(answer.data(answer.answer),
              ElementsAre("1 10 81 n1.node.dc1.consul.", "1 3 82 n2.node.dc1.consul."));
  EXPECT_THAT(answer.data(answer.additional), ElementsAre("10.0.0.1", "10.0.0.2"));
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_TRUE(answer.answer[i].data.ends_with(answer.additional[i].name));
}

TEST_F(Answers, WeightsThatNoPacketHoldsAreCut) {
  services_["web"].records[0].weight_passing = 70000;
  services_["web"].records[1].weight_warning = -1;
  const auto answer = ask({.name = "web.service.consul", .type = kTypeSrv});
  EXPECT_THAT(answer.data(answer.answer),
              ElementsAre("1 0 82 n2.node.dc1.consul.", "1 65535 81 n1.node.dc1.consul."));
}

TEST_F(Answers, NodeMetadataAccompaniesTargetsUnlessSwitchedOff) {
  services_["web"].records[0].node_meta = {{"rack", "7"}};
  const auto answer = ask({.name = "v1.web.service.consul", .type = kTypeSrv});
  EXPECT_THAT(answer.data(answer.additional), ElementsAre("10.0.0.1", "rack=7"));
  settings_.node_meta_txt = false;
  const auto bare = ask({.name = "v1.web.service.consul", .type = kTypeSrv});
  EXPECT_THAT(bare.data(bare.additional), ElementsAre("10.0.0.1"));
}

TEST_F(Answers, InstancesWithTheirOwnAddressGetATargetOfTheirOwn) {
  add("own", at_address(instance("n1", "10.0.0.1", 80), "10.8.3.200"));
  add("own", at_address(instance("n1", "10.0.0.1", 81), "fd00::3:2"));
  const auto answer = ask({.name = "own.service.consul", .type = kTypeSrv});
  EXPECT_THAT(answer.data(answer.answer),
              ElementsAre("1 1 80 0a0803c8.addr.dc1.consul.",
                          "1 1 81 fd000000000000000000000000030002.addr.dc1.consul."));
  EXPECT_THAT(answer.data(answer.additional), ElementsAre("10.8.3.200", "fd00::3:2"));
  const auto v4 = ask({.name = "own.service.consul"});
  EXPECT_THAT(v4.data(v4.answer), ElementsAre("10.8.3.200"));
  const auto v6 = ask({.name = "own.service.consul", .type = kTypeAaaa});
  EXPECT_THAT(v6.data(v6.answer), ElementsAre("fd00::3:2"));
  const auto any = ask({.name = "own.service.consul", .type = kTypeAny});
  EXPECT_THAT(any.data(any.answer), ElementsAre("10.8.3.200", "fd00::3:2"));
}

TEST_F(Answers, TwoInstancesOnOneNodeShareOneAddressRecord) {
  add("pair", instance("n1", "10.0.0.1", 80));
  add("pair", instance("n1", "10.0.0.1", 81));
  const auto a = ask({.name = "pair.service.consul"});
  EXPECT_THAT(a.data(a.answer), ElementsAre("10.0.0.1"));
  const auto srv = ask({.name = "pair.service.consul", .type = kTypeSrv});
  EXPECT_EQ(srv.answer.size(), 2u);
  EXPECT_THAT(srv.data(srv.additional), ElementsAre("10.0.0.1"));
}

TEST_F(Answers, HostNamesBecomeOneCname) {
  add("far", at_address(instance("n1", "10.0.0.1", 80), "backend.example.org"));
  add("far", at_address(instance("n2", "10.0.0.2", 80), "other.example.org"));
  for (const RecordType type : {kTypeA, kTypeAaaa, kTypeCname, kTypeAny}) {
    const auto answer = ask({.name = "far.service.consul", .type = type});
    ASSERT_EQ(answer.answer.size(), 1u) << type;
    EXPECT_EQ(answer.answer[0].type, kTypeCname);
  }
  const auto srv = ask({.name = "far.service.consul", .type = kTypeSrv});
  EXPECT_THAT(srv.data(srv.answer),
              ElementsAre("1 1 80 backend.example.org.", "1 1 80 other.example.org."));
  EXPECT_THAT(srv.additional, IsEmpty());
}

TEST_F(Answers, NoCnameBesideAddresses) {
  add("mixed", at_address(instance("n1", "10.0.0.1", 80), "backend.example.org"));
  add("mixed", instance("n2", "10.0.0.2", 80));
  for (int i = 0; i < 20; ++i) {
    const auto answer = ask({.name = "mixed.service.consul"});
    ASSERT_THAT(answer.data(answer.answer), ElementsAre("10.0.0.2"));
    expect_denied({.name = "mixed.service.consul", .type = kTypeAaaa}, Rcode::NoError);
    expect_denied({.name = "mixed.service.consul", .type = kTypeCname}, Rcode::NoError);
  }
}

TEST_F(Answers, AServiceAddressThatIsTheQuestionMeansTheNode) {
  add("self", at_address(instance("n1", "10.0.0.1", 80), "Self.Service.Consul"));
  const auto a = ask({.name = "self.service.consul"});
  EXPECT_THAT(a.data(a.answer), ElementsAre("10.0.0.1"));
  const auto srv = ask({.name = "self.service.consul", .type = kTypeSrv});
  EXPECT_THAT(srv.data(srv.answer), ElementsAre("1 1 80 n1.node.dc1.consul."));
}

TEST_F(Answers, NodesWhoseNamesAreNoDnsNamesAreReachedByAddress) {
  add("odd", instance("bad..name", "10.0.0.1", 80));
  add("odd", instance(std::string(64, 'x'), "host.example", 80));
  const auto answer = ask({.name = "odd.service.consul", .type = kTypeSrv});
  EXPECT_THAT(answer.data(answer.answer), ElementsAre("1 1 80 0a000001.addr.dc1.consul."));
}

TEST_F(Answers, KnownNamesWithoutTheTypeAreNodataUnknownOnesNxdomain) {
  expect_denied({.name = "web.service.consul", .type = kTypeAaaa}, Rcode::NoError);
  expect_denied({.name = "web.service.consul", .type = 15}, Rcode::NoError);
  expect_denied({.name = "web.service.consul", .type = kTypeTxt}, Rcode::NoError);
  add("sick", instance("n3", "10.0.0.3", 83, Health::Critical));
  for (const RecordType type : {kTypeA, kTypeAaaa, kTypeSrv, RecordType{15}}) {
    expect_denied({.name = "sick.service.consul", .type = type}, Rcode::NxDomain);
    expect_denied({.name = "none.service.consul", .type = type}, Rcode::NxDomain);
  }
  for (const auto* name :
       {"none.node.consul", "web.service.dc9.consul", "n1.node.dc9.consul", "foo.consul",
        "q.query.consul", "n1.node.dc1.extra.consul", "service.consul", "consul"})
    expect_denied({.name = name}, Rcode::NxDomain);
}

TEST_F(Answers, NodesHaveAddressesAndMetadata) {
  const auto a = ask({.name = "n1.node.consul"});
  EXPECT_THAT(a.data(a.answer), ElementsAre("10.0.0.1"));
  EXPECT_THAT(a.data(a.additional), ElementsAre("rack=7", "raw"));
  const auto txt = ask({.name = "n1.node.dc1.consul", .type = kTypeTxt});
  EXPECT_THAT(txt.data(txt.answer), ElementsAre("rack=7", "raw"));
  const auto any = ask({.name = "n1.node.consul", .type = kTypeAny});
  EXPECT_THAT(any.data(any.answer), ElementsAre("10.0.0.1", "rack=7", "raw"));
  const auto v6 = ask({.name = "n6.node.consul", .type = kTypeAaaa});
  EXPECT_THAT(v6.data(v6.answer), ElementsAre("fd00::6"));
  const auto alias = ask({.name = "named.node.consul"});
  EXPECT_THAT(alias.data(alias.answer), ElementsAre("host.example."));
}

TEST_F(Answers, NodesWithoutTheTypeAreEmptyAnswersAsConsulGivesThem) {
  for (const RecordType type : {kTypeSrv, RecordType{15}, RecordType{65}}) {
    const auto answer = ask({.name = "n1.node.consul", .type = type});
    EXPECT_EQ(answer.rcode, 0);
    EXPECT_TRUE(answer.aa);
    EXPECT_TRUE(answer.answer.empty() && answer.authority.empty() && answer.additional.empty());
  }
}

TEST_F(Answers, MetadataFollowsRfc1464) {
  std::string text;
  meta_text("a", "b", text);
  EXPECT_EQ(text, "a=b");
  meta_text(" a=b` ", "x=y", text);
  EXPECT_EQ(text, "` a`=b``` =x=y");
  meta_text("RFC1035-x", "raw", text);
  EXPECT_EQ(text, "raw");
  meta_text("", "", text);
  EXPECT_EQ(text, "=");
}

TEST_F(Answers, OwnersEchoTheLettersOfTheQuestion) {
  const auto answer = ask({.name = "wEb.SerVice.cOnsul"});
  EXPECT_EQ(answer.question, "wEb.SerVice.cOnsul. 1");
  ASSERT_FALSE(answer.answer.empty());
  EXPECT_EQ(answer.answer[0].name, "wEb.SerVice.cOnsul.");
  const auto denied = ask({.name = "x.SerVice.cOnsul"});
  EXPECT_EQ(denied.authority.at(0).name, "cOnsul.");
  EXPECT_TRUE(denied.authority.at(0).data.starts_with("ns.consul. hostmaster.consul. "));
}

TEST_F(Answers, TtlsComeFromTheLongestMatch) {
  settings_.node_ttl = std::chrono::seconds(10);
  settings_.service_ttl = {{"*", std::chrono::seconds(5)},
                           {"Web", std::chrono::seconds(30)},
                           {"web-db*", std::chrono::seconds(12)},
                           {"web*", std::chrono::seconds(7)}};
  settings_.soa = {1000, 200, 3000, 9};
  for (const auto* name : {"web-dbx", "web2", "other"}) add(name, instance("n1", "10.0.0.1", 80));
  const auto ttl = [&](const std::string& name, std::uint16_t type = kTypeA) {
    const auto answer = ask({.name = name, .type = type});
    EXPECT_FALSE(answer.answer.empty()) << name;
    for (const auto& record : answer.additional)
      EXPECT_EQ(record.ttl, answer.answer.at(0).ttl) << name;
    return answer.answer.at(0).ttl;
  };
  EXPECT_EQ(ttl("web.service.consul", kTypeSrv), 30u);
  EXPECT_EQ(ttl("web-dbx.service.consul"), 12u);
  EXPECT_EQ(ttl("web2.service.consul"), 7u);
  EXPECT_EQ(ttl("other.service.consul", kTypeSrv), 5u);
  EXPECT_EQ(ttl("n1.node.consul"), 10u);
  EXPECT_EQ(ttl("0a000001.addr.consul"), 10u);
  const auto denied = ask({.name = "none.service.consul"});
  EXPECT_EQ(denied.authority.at(0).ttl, 9u);
  EXPECT_EQ(denied.authority.at(0).data,
            "ns.consul. hostmaster.consul. 1700000000 1000 200 3000 9");
}

TEST_F(Answers, AddressNamesAnswerTheirTypeOnly) {
  const auto a = ask({.name = "0a0803c8.addr.dc1.consul"});
  EXPECT_THAT(a.data(a.answer), ElementsAre("10.8.3.200"));
  const auto any = ask({.name = "0a0803c8.addr.consul", .type = kTypeAny});
  EXPECT_THAT(any.data(any.answer), ElementsAre("10.8.3.200"));
  expect_denied({.name = "0a0803c8.addr.consul", .type = kTypeAaaa}, Rcode::NoError);
  expect_denied({.name = "zzzzzzzz.addr.consul"}, Rcode::NxDomain);
}

TEST_F(Answers, TheApexNamesUpToThreeServersWithGlue) {
  const auto soa = ask({.name = "consul", .type = kTypeSoa});
  EXPECT_EQ(soa.answer.at(0).data, "ns.consul. hostmaster.consul. 1700000000 3600 600 86400 0");
  EXPECT_EQ(soa.authority.at(0).data, "conf1.node.dc1.consul.");
  EXPECT_EQ(soa.additional.at(0).data, "127.0.0.1");
  servers_ = {{"s1", "10.0.1.1", {}},
              {"s2", "10.0.1.2", {}},
              {"not..a.name", "10.0.1.3", {}},
              {"s4", "10.0.1.4", {}},
              {"s5", "10.0.1.5", {}}};
  const auto ns = ask({.name = "consul", .type = kTypeNs});
  ASSERT_EQ(ns.answer.size(), 3u);
  ASSERT_EQ(ns.additional.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(ns.answer[i].data, ns.additional[i].name);
}

TEST_F(Answers, TheAlternativeDomainIsAnsweredToo) {
  settings_.domain = "Test.Lan.";
  settings_.alt_domain = "alt.example";
  const auto a = ask({.name = "web.service.alt.example"});
  EXPECT_EQ(a.answer.size(), 2u);
  const auto soa = ask({.name = "alt.example", .type = kTypeSoa});
  EXPECT_EQ(soa.answer.at(0).name, "test.lan.");
  EXPECT_EQ(ask({.name = "web.service.consul"}).rcode, 5);
}

TEST_F(Answers, ReverseNamesLeadToNodesElseServices) {
  addresses_["10.0.0.1"] = {{"n9", "10.0.0.1", {}}, {"n1", "10.0.0.1", {}}, {"n5", "10.0.0.1", {}}};
  addresses_["10.0.0.9"] = {{"web", "10.0.0.9", {}, true}};
  const auto node = ask({.name = "1.0.0.10.in-addr.arpa", .type = kTypePtr});
  EXPECT_THAT(node.data(node.answer), ElementsAre("n1.node.dc1.consul."));
  EXPECT_TRUE(node.aa);
  const auto service = ask({.name = "9.0.0.10.in-addr.arpa", .type = kTypePtr});
  EXPECT_THAT(service.data(service.answer), ElementsAre("web.service.dc1.consul."));
}

TEST_F(Answers, UnknownPrivateReverseNamesAreDeniedOthersRefused) {
  const auto unknown = ask({.name = "8.0.0.10.in-addr.arpa", .type = kTypePtr});
  EXPECT_EQ(unknown.rcode, 3);
  EXPECT_TRUE(unknown.aa);
  EXPECT_EQ(unknown.authority.at(0).name, "10.in-addr.arpa.");
  const auto part = ask({.name = "8.10.in-addr.arpa", .type = kTypePtr});
  EXPECT_EQ(part.rcode, 0);
  EXPECT_EQ(part.authority.at(0).name, "10.in-addr.arpa.");
  const auto others = ask({.name = "8.8.8.8.in-addr.arpa", .type = kTypePtr, .edns = 1232});
  EXPECT_EQ(others.rcode, 5);
  EXPECT_FALSE(others.aa);
  EXPECT_EQ(others.extended_error, 20);
}

TEST_F(Answers, ForeignNamesClassesAndTransfersAreRefused) {
  const auto refused = [&](const test::Ask& question) {
    const auto answer = ask(question);
    EXPECT_EQ(answer.rcode, 5) << question.name;
    EXPECT_FALSE(answer.aa);
    EXPECT_TRUE(answer.answer.empty() && answer.authority.empty());
  };
  refused({.name = "example.com"});
  refused({.name = "", .type = kTypeNs});
  refused({.name = "web.service.consul", .class_ = 3});
  refused({.name = "web.service.consul", .class_ = 255});
  refused({.name = "consul", .type = kTypeAxfr});
  refused({.name = "consul", .type = kTypeIxfr});
  EXPECT_EQ(ask({.name = "web.service.consul", .opcode = 4}).rcode, 4);
  EXPECT_EQ(ask({.name = "web.service.consul", .edns = 1232, .edns_version = 1}).rcode, 16);
}

TEST_F(Answers, BadDomainsAreRefusedByName) {
  settings_.domain = "a..b";
  const auto bad = Answerer::create(settings_);
  ASSERT_FALSE(bad.has_value());
  EXPECT_THAT(bad.error().message, testing::HasSubstr("domain"));
  settings_.domain = "consul";
  settings_.alt_domain = std::string(64, 'x');
  EXPECT_THAT(Answerer::create(settings_).error().message, testing::HasSubstr("alt_domain"));
}

}  // namespace
}  // namespace fyr::dns
