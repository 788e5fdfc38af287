// From what somebody wrote to what the agent holds: defaults, ids and refusals of service and check
// definitions (checks specification section 2). Error texts are Consul's where clients look at
// them; InvalidArgument answers 400, Internal 500, as there.
//
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "agent/checks/definition.h"
#include "agent/local/local_state.h"
#include "base/error.h"
#include "proto/registry_json.h"

namespace fyr::agent {

struct RegistrationRules {
  std::string node_name;
  bool scripts_from_api = false;
  bool scripts_from_files = false;
};

struct PlannedCheck {
  LocalCheck check;
  CheckPlan plan;
};

struct PlannedService {
  LocalService service;
  std::vector<PlannedCheck> checks;
};

Result<PlannedService> plan_service(ServiceSpec spec, Source source,
                                    const RegistrationRules& rules);
// A check of its own; `service` is the one it names, null if none is named.
Result<PlannedCheck> plan_check_spec(CheckSpec spec, const LocalService* service, Source source,
                                     const RegistrationRules& rules);

// The checks that stand for maintenance mode.
LocalCheck maintenance_check(const std::string& node_name, const LocalService* service,
                             const std::string& reason, const std::string& token);

// What the agent listens for when it waits by content: changes with any shown field.
std::string content_hash(const pb::ServiceInstance& service, const std::string& datacenter);

}  // namespace fyr::agent
