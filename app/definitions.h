// What the configuration files define beyond plain settings: services, checks, proxy listeners.
// `fyr validate` and the start use the same function, so that they find the same errors.
#pragma once

#include <string>
#include <vector>

#include "agent/agent.h"
#include "app/settings.h"
#include "proxy/config.h"

namespace fyr::app {

struct DecodedDefinitions {
  agent::Definitions agent;
  proxy::ProxyConfig proxy;
};

// Appends one text for each error, naming file and key path.
DecodedDefinitions decode_definitions(const Settings& settings, std::vector<std::string>& errors);

// Settings and definitions, with all errors of both.
struct LoadedAll {
  Settings settings;
  DecodedDefinitions definitions;
  std::vector<std::string> errors;
};
LoadedAll load_all(LoadedSettings loaded);

}  // namespace fyr::app
