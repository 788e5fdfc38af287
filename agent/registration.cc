#include "agent/registration.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/net_address.h"
#include "base/time.h"

namespace fyr::agent {

namespace {

constexpr std::size_t kMaxMetaPairs = 64;
constexpr std::size_t kMaxMetaKey = 128;
constexpr std::size_t kMaxMetaValue = 512;
constexpr int kMaxWeight = 65535;
constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kMaxRowBytes = 1 << 20;  // a log entry holds 4 MiB

constexpr const char* kServiceReason =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default "
    "message.";
constexpr const char* kNodeReason =
    "Maintenance mode is enabled for this node, but no reason was provided. This is a default "
    "message.";

Error refuse(std::string text) {
  return fail(ErrorCode::InvalidArgument, std::move(text));
}

bool is_meta_key(const std::string& key) {
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

Result<void> check_meta(const pb::ServiceInstance& service) {
  const std::string start = "Invalid Service Meta: ";
  if (static_cast<std::size_t>(service.meta_size()) > kMaxMetaPairs) {
    return refuse(start + "Node metadata cannot contain more than 64 key/value pairs");
  }
  for (const pb::Pair& pair : service.meta()) {
    const std::string where =
        start + "Couldn't load metadata pair ('" + pair.key() + "', '" + pair.value() + "'): ";
    if (pair.key().empty()) return refuse(where + "Key cannot be blank");
    if (!is_meta_key(pair.key())) return refuse(where + "Key contains invalid characters");
    if (pair.key().size() > kMaxMetaKey) {
      return refuse(where + "Key is too long (limit: 128 characters)");
    }
    if (pair.value().size() > kMaxMetaValue) {
      return refuse(where + "Value is too long (limit: 512 characters)");
    }
  }
  return {};
}

Result<void> check_service(const pb::ServiceInstance& service) {
  if (service.service().empty()) return refuse("Missing service name");
  if (service.service().size() > kMaxName || service.id().size() > kMaxName) {
    return refuse("Service name or ID is longer than 4096 bytes");
  }
  if (service.ByteSizeLong() > kMaxRowBytes) {
    return refuse("Service definition is larger than 1 MiB");
  }
  const auto address = IpAddress::parse(service.address());
  if (service.address() == "[::]" || (address && address->is_unspecified())) {
    return refuse("Invalid service address");
  }
  if (service.port() < 0 || service.port() > 65535) {
    return refuse("Invalid service port " + std::to_string(service.port()));
  }
  if (service.has_weights()) {
    const pb::Weights& weights = service.weights();
    if (weights.passing() < 1) return refuse("Invalid Weights: Passing must be greater than 0");
    if (weights.warning() < 0) {
      return refuse("Invalid Weights: Warning must be greater or equal than 0");
    }
    if (weights.passing() > kMaxWeight || weights.warning() > kMaxWeight) {
      return refuse("Invalid Weights: Passing and Warning must be at most 65535");
    }
  }
  return check_meta(service);
}

// A literal address is also shown under the tags of its family.
void add_tagged_addresses(pb::ServiceInstance& service) {
  const auto address = IpAddress::parse(service.address());
  if (!address) return;
  const std::string family = address->v6 ? "ipv6" : "ipv4";
  for (const std::string& tag : {"lan_" + family, "wan_" + family}) {
    auto& all = *service.mutable_tagged_addresses();
    const bool given =
        std::any_of(all.begin(), all.end(), [&](const auto& named) { return named.name() == tag; });
    if (given) continue;
    pb::NamedAddress& named = *all.Add();
    named.set_name(tag);
    named.mutable_address()->set_address(service.address());
    named.mutable_address()->set_port(service.port());
  }
  std::sort(service.mutable_tagged_addresses()->begin(), service.mutable_tagged_addresses()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
}

Result<void> allow_programs(const CheckPlan& plan, Source source, const RegistrationRules& rules) {
  if (!runs_programs(plan.kind)) return {};
  if (source == Source::Api && !rules.scripts_from_api) {
    return fail(ErrorCode::Internal,
                "Scripts are disabled on this agent from remote calls; to enable, configure "
                "'enable_script_checks' to true");
  }
  if (source == Source::File && !rules.scripts_from_files) {
    return fail(ErrorCode::Internal,
                "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' "
                "or 'enable_local_script_checks' to true");
  }
  return {};
}

void link_to_service(pb::HealthCheck& row, const pb::ServiceInstance& service) {
  row.set_service_id(service.id());
  row.set_service_name(service.service());
  *row.mutable_service_tags() = service.tags();
  row.set_has_service_tags(true);
}

// Common end of both ways: ids and status are known by now.
Result<PlannedCheck> finish_check(CheckSpec spec, Source source, const RegistrationRules& rules) {
  PlannedCheck out;
  auto plan = plan_check(spec.check.definition());
  if (!plan) return refuse("Invalid check: " + plan.error().message);
  if (auto ok = allow_programs(*plan, source, rules); !ok) return ok.error();
  if (is_reserved_check_id(spec.check.check_id())) {
    return refuse("Invalid check: CheckID \"" + spec.check.check_id() + "\" is reserved");
  }
  if (spec.check.check_id().size() > kMaxName) {
    return refuse("Invalid check: CheckID is longer than 4096 bytes");
  }
  out.plan = *plan;
  out.check.source = source;
  out.check.token = std::move(spec.token);
  out.check.definition = std::move(*spec.check.mutable_definition());
  out.check.row = std::move(spec.check);
  out.check.row.clear_definition();
  out.check.row.set_node(rules.node_name);
  out.check.row.set_type(std::string(to_string(plan->kind)));
  if (out.check.row.status().empty()) out.check.row.set_status("critical");
  return out;
}

}  // namespace

Result<PlannedService> plan_service(ServiceSpec spec, Source source,
                                    const RegistrationRules& rules) {
  if (auto ok = check_service(spec.service); !ok) return ok.error();
  PlannedService out;
  pb::ServiceInstance& row = out.service.row;
  row = std::move(spec.service);
  if (row.id().empty()) row.set_id(row.service());
  row.set_node(rules.node_name);
  if (!row.has_weights()) {
    row.mutable_weights()->set_passing(1);
    row.mutable_weights()->set_warning(1);
  }
  row.set_has_tags(true);
  row.set_has_meta(row.meta_size() > 0);
  add_tagged_addresses(row);
  out.service.token = spec.token;
  out.service.source = source;

  int number = 0;
  for (CheckSpec& check : spec.checks) {
    ++number;
    pb::HealthCheck& given = check.check;
    if (!given.status().empty() && !parse_check_status(given.status())) {
      return refuse("Status for checks must 'passing', 'warning', 'critical'");
    }
    if (given.check_id().empty()) {
      std::string id = "service:" + row.id();
      if (spec.checks.size() > 1) id += ":" + std::to_string(number);
      given.set_check_id(id);
    }
    if (given.name().empty()) given.set_name("Service '" + row.service() + "' check");
    if (check.token.empty()) check.token = spec.token;
    link_to_service(given, row);
    auto planned = finish_check(std::move(check), source, rules);
    if (!planned) return planned.error();
    out.checks.push_back(std::move(*planned));
  }
  return out;
}

Result<PlannedCheck> plan_check_spec(CheckSpec spec, const LocalService* service, Source source,
                                     const RegistrationRules& rules) {
  pb::HealthCheck& given = spec.check;
  if (given.name().empty()) return refuse("Missing check name");
  if (!given.status().empty() && !parse_check_status(given.status())) {
    return refuse("Bad check status");
  }
  if (given.check_id().empty()) given.set_check_id(given.name());
  const Duration interval(given.definition().interval_ns());
  const Duration timeout(given.definition().timeout_ns());
  given.set_interval(format_duration(interval));
  given.set_timeout(format_duration(timeout));
  const std::string wanted = given.service_id();
  if (service) {
    link_to_service(given, service->row);
    if (spec.token.empty()) spec.token = service->token;
  }
  auto planned = finish_check(std::move(spec), source, rules);
  if (planned && !wanted.empty() && !service) {
    return fail(ErrorCode::Internal, "ServiceID \"" + wanted + "\" does not exist");
  }
  return planned;
}

LocalCheck maintenance_check(const std::string& node_name, const LocalService* service,
                             const std::string& reason, const std::string& token) {
  LocalCheck check;
  check.token = token;
  pb::HealthCheck& row = check.row;
  row.set_node(node_name);
  row.set_status("critical");
  row.set_type("maintenance");
  if (service) {
    row.set_check_id(std::string(kServiceMaintenancePrefix) + service->row.id());
    row.set_name("Service Maintenance Mode");
    row.set_notes(reason.empty() ? kServiceReason : reason);
    link_to_service(row, service->row);
  } else {
    row.set_check_id(std::string(kNodeMaintenanceId));
    row.set_name("Node Maintenance Mode");
    row.set_notes(reason.empty() ? kNodeReason : reason);
  }
  return check;
}

std::string content_hash(const pb::ServiceInstance& service, const std::string& datacenter) {
  std::string json;
  JsonWriter writer(json);
  encode_agent_service(writer, service, datacenter);
  return to_hex(sha256(json)).substr(0, 16);
}

}  // namespace fyr::agent
