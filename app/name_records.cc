#include "app/name_records.h"

#include <string>
#include <utility>
#include <vector>

namespace fyr::app {
namespace {

template <class Pairs>
std::vector<std::pair<std::string, std::string>> to_pairs(const Pairs& pairs) {
  std::vector<std::pair<std::string, std::string>> out;
  out.reserve(static_cast<std::size_t>(pairs.size()));
  for (const auto& pair : pairs) out.emplace_back(pair.key(), pair.value());
  return out;
}

}  // namespace

dns::ServiceRecord to_service_record(const pb::Node& node, const pb::ServiceInstance& service,
                                     dns::Health health) {
  dns::ServiceRecord record;
  record.node = node.name();
  record.node_address = node.address();
  record.service_address = service.address();
  record.port = static_cast<std::uint16_t>(service.port());
  record.health = health;
  if (service.has_weights()) {
    record.weight_passing = service.weights().passing();
    record.weight_warning = service.weights().warning();
  }
  record.tags.assign(service.tags().begin(), service.tags().end());
  record.node_meta = to_pairs(node.meta());
  const auto& address = service.address().empty() ? node.address() : service.address();
  if (const auto ip = IpAddress::parse(address)) {
    record.ip = *ip;
    record.has_ip = true;
  }
  return record;
}

dns::NodeRecord to_node_record(const pb::Node& node) {
  return {node.name(), node.address(), to_pairs(node.meta())};
}

}  // namespace fyr::app
