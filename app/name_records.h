// Rows of the registry as DNS sees them; the same on servers and agents.
#pragma once

#include "registry.pb.h"
#include "server/dns/name_source.h"

namespace fyr::app {

// `checks`: any range of (pointers to) checks that decide about the instance.
template <class Checks>
dns::Health worst_health(const Checks& checks) {
  const auto deref = [](const auto& check) -> const pb::HealthCheck& {
    if constexpr (requires { check.status(); }) {
      return check;
    } else {
      return *check;
    }
  };
  auto health = dns::Health::Passing;
  for (const auto& item : checks) {
    const pb::HealthCheck& check = deref(item);
    if (check.status() == "passing") continue;
    if (check.status() != "warning")
      return dns::Health::Critical;  // a state nobody knows is the worst
    health = dns::Health::Warning;
  }
  return health;
}

dns::ServiceRecord to_service_record(const pb::Node& node, const pb::ServiceInstance& service,
                                     dns::Health health);
dns::NodeRecord to_node_record(const pb::Node& node);

}  // namespace fyr::app
