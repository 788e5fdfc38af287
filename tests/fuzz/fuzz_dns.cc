// Any packet, on either transport, gets a sound answer within its limit or silence.
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/dns/answer.h"

namespace {

using namespace fyr;
using namespace fyr::dns;

void require(bool holds) {
  if (!holds) std::abort();
}

struct World {
  ServiceRecords service;
  std::vector<NodeRecord> nodes{{"n1", "10.0.0.1", {{"k", std::string(300, 'v')}, {"e=", ""}}},
                                {"n.2", "host.example", {}}};
  std::vector<Answerer> answerers;
  Random random{1};
  Scratch scratch;

  World() {
    for (int i = 0; i < 60; ++i) {
      ServiceRecord record;
      record.node = i % 7 == 0 ? "bad..name" : "n" + std::to_string(i);
      record.node_address = "10.0.0." + std::to_string(i / 2);
      record.service_address = i % 5 == 0    ? "fd00::" + std::to_string(i)
                               : i % 11 == 0 ? "web.service.consul"
                                             : "";
      const auto& address =
          record.service_address.empty() ? record.node_address : record.service_address;
      if (const auto ip = IpAddress::parse(address)) {
        record.ip = *ip;
        record.has_ip = true;
      }
      record.health = static_cast<Health>(i % 3);
      record.tags = {"v" + std::to_string(i % 2)};
      record.node_meta = {{"key", std::string(static_cast<std::size_t>(i), 'v')}};
      service.records.push_back(record);
    }
    Settings settings;
    answerers.push_back(*Answerer::create(settings));
    settings.disable_compression = settings.enable_truncate = settings.only_passing = true;
    settings.a_record_limit = 5;
    settings.alt_domain = "alt.example";
    answerers.push_back(*Answerer::create(settings));
  }
};

void answer(World& world, const Answerer& answerer, std::string_view packet, Transport transport,
            std::string& reply) {
  static Query query;
  static Lookup lookup;
  const auto verdict = parse_query(packet, query);
  if (verdict.kind == Verdict::Ignore) return;
  if (verdict.kind == Verdict::Reject) return Answerer::answer_error(query, verdict.rcode, reply);
  const Context context{transport, 1, &world.random, &world.scratch};
  switch (answerer.plan(query, context, lookup, reply)) {
    case Need::Nothing:
      return;
    case Need::Service:
    case Need::Query:
      return answerer.answer_service(query, lookup, world.service, context, reply);
    case Need::Node:
      return answerer.answer_node(query, lookup, world.nodes, context, reply);
    case Need::Address:
      return answerer.answer_reverse(query, lookup, world.nodes, context, reply);
    case Need::Servers:
      return answerer.answer_apex(query, lookup, world.nodes, context, reply);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const std::string_view packet(reinterpret_cast<const char*>(data), size);
  for (const auto& answerer : world.answerers) {
    for (const auto transport : {Transport::Udp, Transport::Tcp}) {
      std::string reply;
      answer(world, answerer, packet, transport, reply);
      if (reply.empty()) continue;
      require(reply.size() >= kHeaderBytes);
      require(reply.size() <= (transport == Transport::Udp ? kEdnsUdpBytes : kTcpBytes));
      require(packet.substr(0, 2) == std::string_view(reply).substr(0, 2));
      require((reply[2] & '\x80') != 0);
    }
  }
  return 0;
}
