#include "server/dns/question.h"

#include <gtest/gtest.h>

#include "tests/unit/dns/decoded.h"

namespace fyr::dns {
namespace {

struct Seen {
  Lookup lookup;
  int private_zone = -1;
};

Seen look(const std::string& name, std::uint16_t type = kTypeA,
          const std::string& datacenter = "dc1") {
  Query query;
  EXPECT_EQ(parse_query(test::encode({.name = name, .type = type}), query).kind, Verdict::Proceed);
  Seen seen;
  classify(query, {*to_wire("consul"), *to_wire("alt.example"), datacenter}, seen.lookup);
  if (!seen.lookup.in_domain && seen.lookup.kind != LookupKind::Foreign)
    seen.private_zone = private_reverse_zone(query);
  return seen;
}

void expect_service(const std::string& name, const std::string& service, const std::string& tag,
                    const std::string& datacenter = "dc1") {
  const auto lookup = look(name, kTypeA, datacenter).lookup;
  EXPECT_EQ(lookup.kind, LookupKind::Service) << name;
  EXPECT_EQ(lookup.name, service) << name;
  EXPECT_EQ(lookup.tag, tag) << name;
}

void expect_kind(const std::string& name, LookupKind kind, std::uint16_t type = kTypeA) {
  EXPECT_EQ(look(name, type).lookup.kind, kind) << name;
}

TEST(DnsQuestion, ServicesWithAndWithoutTagAndDatacenter) {
  expect_service("web.service.consul", "web", "");
  expect_service("web.service.dc1.consul", "web", "");
  expect_service("WEB.Service.DC1.Consul", "web", "");
  expect_service("v1.web.service.consul", "web", "v1");
  expect_service("tag.with.dots.web.service.dc1.consul", "web", "tag.with.dots");
  expect_service("web.service.alt.example", "web", "");
}

TEST(DnsQuestion, UnderscoredNamesFollowRfc2782) {
  expect_service("_web._v1.service.consul", "web", "v1");
  expect_service("_web._tcp.service.consul", "web", "");
  expect_service("_web._TCP.service.dc1.consul", "web", "");
  expect_service("_web._udp.service.consul", "web", "udp");
  expect_service("_web._v1.consul", "web", "v1");
  expect_service("_web._v1.dc1.consul", "web", "v1");
  expect_service("_web.service.consul", "_web", "");
  expect_service("a._web._v1.service.consul", "_v1", "a._web");
}

TEST(DnsQuestion, NodesMayHaveDots) {
  EXPECT_EQ(look("n1.node.consul").lookup.name, "n1");
  EXPECT_EQ(look("a.b.node.dc1.consul").lookup.name, "a.b");
  expect_kind("a.b.node.dc1.consul", LookupKind::Node);
}

TEST(DnsQuestion, ADatacenterCalledLikeAWordChangesNothing) {
  expect_service("web.service.node.consul", "web", "", "node");
  expect_service("web.service.service.consul", "web", "", "service");
  expect_service("web.service.consul", "web", "", "service");
  EXPECT_EQ(look("n.node.consul", kTypeA, "node").lookup.kind, LookupKind::Node);
}

TEST(DnsQuestion, PreparedQueriesHaveNamesOfAnyNumberOfLabels) {
  for (const auto* name : {"q.query.consul", "Q.query.dc1.consul"}) {
    EXPECT_EQ(look(name).lookup.kind, LookupKind::Query) << name;
    EXPECT_EQ(look(name).lookup.name, "q") << name;
  }
  EXPECT_EQ(look("a.b.query.consul").lookup.name, "a.b");
  expect_kind("query.consul", LookupKind::Unknown);
}

TEST(DnsQuestion, WhatFitsNoFormIsUnknown) {
  for (const auto* name :
       {"consul", "service.consul", "node.consul", "addr.consul", "foo.consul", "a.b.c.consul",
        "dc1.consul", "web.service.dc9.consul", "n.node.dc1.extra.consul",
        "web.service.dc1.dc1.consul", "x.virtual.consul", "x.connect.consul", "x.ingress.consul",
        "_web.consul", "_a._b._c.consul", "zzzzzzzz.addr.consul", "0a0803.addr.consul",
        "x.0a080301.addr.consul"})
    expect_kind(name, LookupKind::Unknown);
}

TEST(DnsQuestion, NamesOfOthersAreForeign) {
  for (const auto* name : {"", "example.com", "myconsul", "consul.example", "alt", "arpa",
                           "xin-addr.arpa", "web.service.consul.x"})
    expect_kind(name, LookupKind::Foreign);
}

TEST(DnsQuestion, SoaAndNsAreTheApexEverywhere) {
  for (const auto type : {kTypeSoa, kTypeNs}) {
    expect_kind("consul", LookupKind::Apex, type);
    expect_kind("foo.consul", LookupKind::Apex, type);
    expect_kind("example.com", LookupKind::Foreign, type);
  }
}

TEST(DnsQuestion, AddressesInNames) {
  EXPECT_EQ(look("0A0803c8.addr.consul").lookup.address.to_string(), "10.8.3.200");
  EXPECT_EQ(look("fd000000000000000000000000030002.addr.dc1.consul").lookup.address.to_string(),
            "fd00::3:2");
}

TEST(DnsQuestion, WholeReverseNamesAreAddresses) {
  const auto v4 = look("1.4.8.10.in-addr.arpa", kTypePtr);
  EXPECT_EQ(v4.lookup.kind, LookupKind::Reverse);
  EXPECT_EQ(v4.lookup.address.to_string(), "10.8.4.1");
  const auto v6 =
      look("6.0.0.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.F.IP6.ARPA", kTypePtr);
  EXPECT_EQ(v6.lookup.kind, LookupKind::Reverse);
  EXPECT_EQ(v6.lookup.address.to_string(), "fd00::4:6");
}

TEST(DnsQuestion, PartsOfTheReverseTreeAreNoAddresses) {
  for (const auto* name :
       {"in-addr.arpa", "8.10.in-addr.arpa", "1.1.4.8.10.in-addr.arpa", "256.4.8.10.in-addr.arpa",
        "01.4.8.10.in-addr.arpa", "0/25.4.8.10.in-addr.arpa", "x.f.ip6.arpa", "ip6.arpa"})
    expect_kind(name, LookupKind::ReverseZone, kTypePtr);
}

TEST(DnsQuestion, PrivateReverseZonesAreOurs) {
  const auto zone = [](const std::string& name) { return look(name, kTypePtr).private_zone; };
  EXPECT_EQ(zone("1.4.8.10.in-addr.arpa"), 3);
  EXPECT_EQ(zone("1.0.0.127.in-addr.arpa"), 3);
  EXPECT_EQ(zone("1.4.16.172.in-addr.arpa"), 2);
  EXPECT_EQ(zone("1.4.168.192.in-addr.arpa"), 2);
  EXPECT_EQ(zone("1.4.254.169.in-addr.arpa"), 2);
  EXPECT_EQ(zone("1.4.64.100.in-addr.arpa"), 2);
  EXPECT_EQ(zone("8.10.in-addr.arpa"), 1);
  for (const auto* name :
       {"1.4.32.172.in-addr.arpa", "1.4.15.172.in-addr.arpa", "1.4.167.192.in-addr.arpa",
        "1.4.128.100.in-addr.arpa", "8.8.8.8.in-addr.arpa", "172.in-addr.arpa", "in-addr.arpa"})
    EXPECT_EQ(zone(name), -1) << name;
  const std::string tail = ".0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
  EXPECT_EQ(zone("1" + tail + ".0.d.f.ip6.arpa"), 30);
  EXPECT_EQ(zone("1" + tail + ".8.e.f.ip6.arpa"), 29);
  EXPECT_EQ(zone("1" + tail + ".0.e.f.ip6.arpa"), -1);
  EXPECT_EQ(zone("1" + tail + ".1.0.2.ip6.arpa"), -1);
}

}  // namespace
}  // namespace fyr::dns
