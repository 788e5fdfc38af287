// Answers made the way the server makes them, without sockets.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/dns/answer.h"
#include "tests/unit/dns/decoded.h"

namespace fyr::dns::test {

inline ServiceRecord instance(const std::string& node, const std::string& node_address,
                              std::uint16_t port, Health health = Health::Passing,
                              std::vector<std::string> tags = {}) {
  ServiceRecord record;
  record.node = node;
  record.node_address = node_address;
  record.port = port;
  record.health = health;
  record.tags = std::move(tags);
  if (const auto ip = IpAddress::parse(node_address)) {
    record.ip = *ip;
    record.has_ip = true;
  }
  return record;
}

inline ServiceRecord at_address(ServiceRecord record, const std::string& service_address) {
  record.service_address = service_address;
  const auto ip = IpAddress::parse(service_address);
  record.has_ip = ip.has_value();
  if (ip) record.ip = *ip;
  return record;
}

// A small world of names and the answers to questions about it.
class Answering : public testing::Test {
 protected:
  Settings settings_;
  std::map<std::string, ServiceRecords> services_;
  std::map<std::string, std::vector<NodeRecord>> nodes_;      // by name
  std::map<std::string, std::vector<NodeRecord>> addresses_;  // by address
  std::vector<NodeRecord> servers_{{"conf1", "127.0.0.1", {}}};
  Random random_{42};
  Scratch scratch_;

  void add(const std::string& service, const ServiceRecord& record) {
    services_[service].records.push_back(record);
  }

  std::string raw(const Ask& ask, Transport transport = Transport::Udp) {
    return raw_packet(encode(ask), transport);
  }

  std::string raw_packet(const std::string& packet, Transport transport = Transport::Udp) {
    const auto answerer = Answerer::create(settings_);
    EXPECT_TRUE(answerer.has_value());
    Query query;
    Lookup lookup;
    std::string reply;
    const auto verdict = parse_query(packet, query);
    if (verdict.kind == Verdict::Ignore) return "";
    if (verdict.kind == Verdict::Reject) {
      Answerer::answer_error(query, verdict.rcode, reply);
      return reply;
    }
    const Context context{transport, 1700000000, &random_, &scratch_};
    switch (answerer->plan(query, context, lookup, reply)) {
      case Need::Nothing:
        break;
      case Need::Service:
      case Need::Query:
        answerer->answer_service(query, lookup, services_[lookup.name], context, reply);
        break;
      case Need::Node:
        answerer->answer_node(query, lookup, nodes_[lookup.name], context, reply);
        break;
      case Need::Address:
        answerer->answer_reverse(query, lookup, addresses_[lookup.address.to_string()], context,
                                 reply);
        break;
      case Need::Servers:
        answerer->answer_apex(query, lookup, servers_, context, reply);
        break;
    }
    return reply;
  }

  Decoded ask(const Ask& question, Transport transport = Transport::Udp) {
    const auto decoded = decode(raw(question, transport));
    EXPECT_TRUE(decoded.has_value()) << question.name;
    return decoded.value_or(Decoded{});
  }

  // NXDOMAIN or NODATA with exactly one SOA of the domain.
  void expect_denied(const Ask& question, Rcode rcode) {
    const auto answer = ask(question);
    EXPECT_EQ(answer.rcode, static_cast<int>(rcode)) << question.name;
    EXPECT_TRUE(answer.aa) << question.name;
    EXPECT_TRUE(answer.answer.empty()) << question.name;
    ASSERT_EQ(answer.authority.size(), 1u) << question.name;
    EXPECT_EQ(answer.authority[0].type, kTypeSoa);
  }
};

}  // namespace fyr::dns::test
