#include "server/state/rules.h"

#include <string>

namespace fyr::server {

Result<void> check_rules(const pb::HealthCheck& check) {
  const auto& status = check.status();  // empty: critical
  if (status.empty() || status == "passing" || status == "warning" || status == "critical")
    return {};
  return fail(ErrorCode::InvalidArgument,
              "Status: must be passing, warning or critical, not \"" + status + "\"");
}

Result<void> check_rules(const pb::ServiceInstance& service) {
  if (service.port() >= 0 && service.port() <= 65535) return {};
  return fail(ErrorCode::InvalidArgument,
              "Port: must be between 0 and 65535, not " + std::to_string(service.port()));
}

}  // namespace fyr::server
