// What an alias check shows: the worst of the checks it stands for.
//
// Pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/checks/core.h"
#include "registry.pb.h"

namespace fyr::agent {

struct AliasTarget {
  std::string node;        // as given or our own
  std::string service_id;  // empty: the node's own checks only
};

// `checks`: all checks of the target's node. Other alias checks of the node do not count, so that
// two of them cannot hold each other up.
CheckPublished follow_alias(const AliasTarget& target, bool service_exists,
                            const std::vector<const pb::HealthCheck*>& checks);

}  // namespace fyr::agent
