// What a registered item must keep to, whoever sends it: the HTTP API and agents' pushes ask here
// before they propose. The state machine itself applies what is in the log.
//
// InvalidArgument; the message begins with the field. Pure functions.
#pragma once

#include "base/error.h"
#include "registry.pb.h"

namespace fyr::server {

// A status nobody knows would be in no list by state.
Result<void> check_rules(const pb::HealthCheck& check);
// Another port would be cut in DNS answers.
Result<void> check_rules(const pb::ServiceInstance& service);

}  // namespace fyr::server
