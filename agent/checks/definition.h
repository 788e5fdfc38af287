// What a check definition means: its kind, the rules the core follows, what is refused and in
// which words. Texts are Consul's where a client may look at them (checks specification section 2).
//
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "agent/checks/core.h"
#include "base/error.h"
#include "registry.pb.h"

namespace fyr::agent {

enum class CheckKind { Script, Http, Tcp, Udp, Ttl, Grpc, H2Ping, Alias, OsService, Docker };

// As shown in "Type".
std::string_view to_string(CheckKind kind);

// Runs a program of somebody else's choice: needs the operator's leave.
bool runs_programs(CheckKind kind);

struct CheckPlan {
  CheckKind kind = CheckKind::Ttl;
  CheckRules rules;
  Duration timeout{};
  bool slow_timeout = false;  // timeout > interval: worth a warning
};

// InvalidArgument with the text after "Invalid check: ". Intervals under 1 s are raised to 1 s,
// deregister-after under 1 min to 1 min.
Result<CheckPlan> plan_check(const pb::CheckDefinition& definition);

// Ids the agent and the servers keep for themselves.
inline constexpr std::string_view kSerfCheckId = "serfHealth";
inline constexpr std::string_view kNodeMaintenanceId = "_node_maintenance";
inline constexpr std::string_view kServiceMaintenancePrefix = "_service_maintenance:";
bool is_reserved_check_id(std::string_view id);

}  // namespace fyr::agent
