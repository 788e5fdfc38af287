#include "agent/checks/definition.h"

#include <algorithm>
#include <vector>

namespace fyr::agent {

namespace {

constexpr Duration kMinInterval = std::chrono::seconds(1);
constexpr Duration kMinDeregisterAfter = std::chrono::minutes(1);
constexpr Duration kProgramTimeout = std::chrono::seconds(30);
constexpr Duration kNetworkTimeout = std::chrono::seconds(10);

std::vector<CheckKind> kinds_given(const pb::CheckDefinition& definition) {
  std::vector<CheckKind> kinds;
  const auto add = [&](bool given, CheckKind kind) {
    if (given) kinds.push_back(kind);
  };
  const bool docker = !definition.docker_container_id().empty();
  add(docker, CheckKind::Docker);
  add(!docker && definition.script_args_size() > 0, CheckKind::Script);
  add(!definition.http().empty(), CheckKind::Http);
  add(!definition.tcp().empty(), CheckKind::Tcp);
  add(!definition.udp().empty(), CheckKind::Udp);
  add(!definition.grpc().empty(), CheckKind::Grpc);
  add(!definition.h2ping().empty(), CheckKind::H2Ping);
  add(!definition.os_service().empty(), CheckKind::OsService);
  add(!definition.alias_node().empty() || !definition.alias_service().empty(), CheckKind::Alias);
  return kinds;
}

Error refuse(std::string text) {
  return fail(ErrorCode::InvalidArgument, std::move(text));
}

// Better refused than critical for ever.
Result<void> check_supported(const std::vector<CheckKind>& kinds) {
  for (const CheckKind kind : kinds) {
    const char* field = nullptr;
    if (kind == CheckKind::Udp) field = "UDP";
    if (kind == CheckKind::H2Ping) field = "H2PING";
    if (kind == CheckKind::OsService) field = "OSService";
    if (kind == CheckKind::Docker) field = "DockerContainerID";
    if (!field) continue;
    return refuse(std::string(field) +
                  ": this kind of check is not supported; use HTTP, TCP, GRPC," +
                  " Args, TTL or AliasService");
  }
  return {};
}

Result<void> check_times(const pb::CheckDefinition& definition,
                         const std::vector<CheckKind>& kinds) {
  const bool alias = !kinds.empty() && kinds.front() == CheckKind::Alias;
  const bool periodic = !kinds.empty() && !alias;
  if (definition.interval_ns() > 0 && definition.ttl_ns() > 0) {
    return refuse("Interval and TTL cannot both be specified");
  }
  if (periodic && definition.interval_ns() <= 0) {
    return refuse("Interval must be > 0 for Script, HTTP, H2PING, or TCP checks");
  }
  if (alias && definition.interval_ns() > 0) {
    return refuse("Interval cannot be set for Alias checks");
  }
  if (alias && definition.ttl_ns() > 0) return refuse("TTL must be not be set for Alias checks");
  if (periodic && definition.ttl_ns() > 0) {
    return refuse("TTL cannot be set for " + std::string(to_string(kinds.front())) + " checks");
  }
  if (kinds.empty() && definition.ttl_ns() <= 0) return refuse("TTL must be > 0 for TTL checks");
  return {};
}

Result<void> check_numbers(const pb::CheckDefinition& definition) {
  if (definition.output_max_size() < 0) return refuse("MaxOutputMaxSize must be positive");
  if (definition.timeout_ns() < 0) return refuse("Timeout must not be negative");
  if (definition.deregister_critical_after_ns() < 0) {
    return refuse("DeregisterCriticalServiceAfter must not be negative");
  }
  if (definition.success_before_passing() < 0 || definition.failures_before_warning() < 0 ||
      definition.failures_before_critical() < 0) {
    return refuse(
        "SuccessBeforePassing, FailuresBeforeWarning and FailuresBeforeCritical must "
        "not be negative");
  }
  if (definition.failures_before_warning() > definition.failures_before_critical() &&
      definition.failures_before_warning() > 1) {
    return refuse("FailuresBeforeWarning can't be higher than FailuresBeforeCritical");
  }
  return {};
}

}  // namespace

std::string_view to_string(CheckKind kind) {
  switch (kind) {
    case CheckKind::Script:
      return "script";
    case CheckKind::Http:
      return "http";
    case CheckKind::Tcp:
      return "tcp";
    case CheckKind::Udp:
      return "udp";
    case CheckKind::Ttl:
      return "ttl";
    case CheckKind::Grpc:
      return "grpc";
    case CheckKind::H2Ping:
      return "h2ping";
    case CheckKind::Alias:
      return "alias";
    case CheckKind::OsService:
      return "os_service";
    case CheckKind::Docker:
      return "docker";
  }
  return "";
}

bool runs_programs(CheckKind kind) {
  return kind == CheckKind::Script || kind == CheckKind::Docker;
}

Result<CheckPlan> plan_check(const pb::CheckDefinition& definition) {
  const std::vector<CheckKind> kinds = kinds_given(definition);
  if (kinds.size() > 1) {
    return refuse("more than one kind of check: " + std::string(to_string(kinds[0])) + " and " +
                  std::string(to_string(kinds[1])));
  }
  if (auto ok = check_supported(kinds); !ok) return ok.error();
  if (auto ok = check_times(definition, kinds); !ok) return ok.error();
  if (auto ok = check_numbers(definition); !ok) return ok.error();

  CheckPlan plan;
  plan.kind = kinds.empty() ? CheckKind::Ttl : kinds.front();
  CheckRules& rules = plan.rules;
  if (definition.interval_ns() > 0) {
    rules.interval = std::max(Duration(definition.interval_ns()), kMinInterval);
  }
  if (plan.kind == CheckKind::Ttl) rules.ttl = Duration(definition.ttl_ns());
  rules.success_before_passing = definition.success_before_passing();
  rules.failures_before_warning = definition.failures_before_warning();
  rules.failures_before_critical = definition.failures_before_critical();
  if (definition.deregister_critical_after_ns() > 0) {
    rules.deregister_after =
        std::max(Duration(definition.deregister_critical_after_ns()), kMinDeregisterAfter);
  }
  plan.timeout = Duration(definition.timeout_ns());
  plan.slow_timeout = plan.timeout > rules.interval && rules.interval > Duration::zero();
  if (plan.timeout == Duration::zero()) {
    plan.timeout = runs_programs(plan.kind) ? kProgramTimeout : kNetworkTimeout;
  }
  return plan;
}

bool is_reserved_check_id(std::string_view id) {
  return id == kSerfCheckId || id == kNodeMaintenanceId ||
         id.substr(0, kServiceMaintenancePrefix.size()) == kServiceMaintenancePrefix;
}

}  // namespace fyr::agent
