#include "app/definitions.h"

#include <iterator>

#include "proto/registry_json.h"

namespace fyr::app {

DecodedDefinitions decode_definitions(const Settings& settings, std::vector<std::string>& errors) {
  DecodedDefinitions out;
  for (const auto& definition : settings.services) {
    auto service = decode_service_spec(definition.value, definition.where, UnknownFields::Refuse);
    if (service) {
      out.agent.services.push_back(std::move(*service));
    } else {
      errors.push_back(definition.where + ": " + service.error().message);
    }
  }
  for (const auto& definition : settings.checks) {
    auto check = decode_check_spec(definition.value, definition.where, UnknownFields::Refuse);
    if (check) {
      out.agent.checks.push_back(std::move(*check));
    } else {
      errors.push_back(definition.where + ": " + check.error().message);
    }
  }
  out.proxy.node_name = settings.node_name;
  if (const auto site = settings.node_meta.find("site"); site != settings.node_meta.end()) {
    out.proxy.site = site->second;
  }
  const std::size_t before = errors.size();
  for (const auto& definition : settings.proxies) {
    auto part = proxy::decode_proxy_config(definition.value, definition.where, errors);
    std::move(part.listeners.begin(), part.listeners.end(),
              std::back_inserter(out.proxy.listeners));
  }
  if (settings.proxies.size() > 1 && errors.size() == before)
    proxy::validate(out.proxy, "proxy", errors);
  return out;
}

LoadedAll load_all(LoadedSettings loaded) {
  LoadedAll all;
  all.settings = std::move(loaded.settings);
  all.errors = std::move(loaded.errors);
  all.definitions = decode_definitions(all.settings, all.errors);
  return all;
}

}  // namespace fyr::app
