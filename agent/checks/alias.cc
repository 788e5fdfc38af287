#include "agent/checks/alias.h"

namespace fyr::agent {

CheckPublished follow_alias(const AliasTarget& target, bool service_exists,
                            const std::vector<const pb::HealthCheck*>& checks) {
  if (!target.service_id.empty() && !service_exists) {
    return {CheckStatus::Critical,
            "Service " + target.service_id + " could not be found on node " + target.node};
  }
  CheckPublished worst{CheckStatus::Passing, "No checks found."};
  for (const pb::HealthCheck* check : checks) {
    if (check->type() == "alias") continue;
    if (!check->service_id().empty() && check->service_id() != target.service_id) continue;
    const CheckStatus status = parse_check_status(check->status()).value_or(CheckStatus::Critical);
    if (status == CheckStatus::Passing) {
      if (worst.status == CheckStatus::Passing) worst.output = "All checks passing.";
    } else if (static_cast<int>(status) > static_cast<int>(worst.status)) {
      worst = {status, "Aliased check \"" + check->name() + "\" failing: " + check->output()};
    }
  }
  return worst;
}

}  // namespace fyr::agent
