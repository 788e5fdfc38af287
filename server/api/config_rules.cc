#include "server/api/config_rules.h"

#include <cmath>
#include <set>
#include <string>

#include "base/filter.h"
#include "proto/registry_json.h"

namespace fyr::server {
namespace {

namespace json = boost::json;

Error refused(std::string message) {
  return fail(ErrorCode::InvalidArgument, std::move(message));
}

std::string_view text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

const json::object* object_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value ? value->if_object() : nullptr;
}

bool is_subset_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), good);
}

Result<void> check_subsets(const json::object& entry, std::set<std::string>& names) {
  const auto* subsets = object_of(entry, "Subsets");
  if (!subsets) return {};
  for (const auto& item : *subsets) {
    const std::string name(item.key());
    if (!is_subset_name(name)) return refused("Subset \"" + name + "\" is invalid");
    names.insert(name);
    const auto filter = text_of(item.value().as_object(), "Filter");
    if (filter.empty()) continue;
    if (auto parsed = Filter::parse(filter, service_health_filter_schema()); !parsed)
      return refused("Filter for subset \"" + name +
                     "\" is not a valid expression: " + parsed.error().message);
  }
  return {};
}

Result<void> check_redirect(const json::object& entry) {
  if (!entry.contains("Redirect")) return {};
  const auto& redirect = entry.at("Redirect").as_object();
  if (redirect.empty()) return refused("Redirect is empty");
  if (object_of(entry, "Failover")) return refused("Redirect and Failover cannot both be set");
  const bool has_service = !text_of(redirect, "Service").empty();
  if (has_service) return {};
  for (const auto* name : {"ServiceSubset", "Namespace"})
    if (!text_of(redirect, name).empty())
      return refused("Redirect." + std::string(name) + " defined without Redirect.Service");
  return {};
}

Result<void> check_failover(const json::object& entry, const std::set<std::string>& subsets) {
  const auto* failover = object_of(entry, "Failover");
  if (!failover) return {};
  for (const auto& item : *failover) {
    const std::string name(item.key());
    const auto& target = item.value().as_object();
    if (name != "*" && !subsets.contains(name))
      return refused("Bad Failover[\"" + name + "\"]: not a valid subset");
    if (target.empty())
      return refused("Bad Failover[\"" + name +
                     "\"] one of Service, ServiceSubset, Namespace, or Datacenters is required");
    const std::string subset(text_of(target, "ServiceSubset"));
    if (!subset.empty() && text_of(target, "Service").empty() && !subsets.contains(subset))
      return refused("Bad Failover[\"" + name + "\"].ServiceSubset \"" + subset +
                     "\" is not a valid subset");
  }
  return {};
}

Result<void> check_match(const json::object& http, const std::string& where) {
  int given = 0;
  for (const auto* name : {"PathExact", "PathPrefix", "PathRegex"})
    given += text_of(http, name).empty() ? 0 : 1;
  if (given > 1)
    return refused(where +
                   " should only contain at most one of PathExact, PathPrefix, or PathRegex");
  for (const auto* name : {"PathExact", "PathPrefix"}) {
    const auto path = text_of(http, name);
    if (!path.empty() && path.front() != '/')
      return refused(where + " " + name + " doesn't start with '/': \"" + std::string(path) + "\"");
  }
  for (const auto* name : {"Header", "QueryParam"}) {
    const auto* list = http.if_contains(name);
    if (!list || !list->is_array()) continue;
    for (const auto& item : list->get_array())
      if (text_of(item.as_object(), "Name").empty())
        return refused(where + " " + name + " missing required Name field");
  }
  return {};
}

}  // namespace

Result<void> check_splitter(const json::object& entry) {
  const auto* splits = entry.if_contains("Splits");
  if (!splits || !splits->is_array() || splits->get_array().empty())
    return refused("no splits configured");
  std::int64_t sum = 0;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& item : splits->get_array()) {
    const auto& split = item.as_object();
    const double weight = split.at("Weight").to_number<double>();
    if (!(weight >= 0 && weight <= 100)) return refused("Split weight must be between 0 and 100");
    // Weights count in hundredths.
    sum += std::llround(weight * 100);
    std::string service(text_of(split, "Service"));
    if (service.empty()) service = text_of(entry, "Name");
    if (!seen.emplace(service, text_of(split, "ServiceSubset")).second)
      return refused("split destination occurs more than once: service=\"" + service +
                     "\", subset=\"" + std::string(text_of(split, "ServiceSubset")) + "\"");
  }
  if (sum != 10000)
    return refused("the sum of all split weights must be 100, not " +
                   std::to_string(static_cast<double>(sum) / 100));
  return {};
}

Result<void> check_resolver(const json::object& entry) {
  std::set<std::string> subsets;
  if (auto good = check_subsets(entry, subsets); !good) return good;
  const std::string standard(text_of(entry, "DefaultSubset"));
  if (!standard.empty() && !subsets.contains(standard))
    return refused("DefaultSubset \"" + standard + "\" is not a valid subset");
  if (text_of(entry, "ConnectTimeout").starts_with("-"))
    return refused("Bad ConnectTimeout '" + std::string(text_of(entry, "ConnectTimeout")) +
                   "', must be >= 0");
  if (auto good = check_redirect(entry); !good) return good;
  return check_failover(entry, subsets);
}

Result<void> check_router(const json::object& entry) {
  const auto* routes = entry.if_contains("Routes");
  if (!routes || !routes->is_array()) return {};
  std::size_t number = 0;
  for (const auto& item : routes->get_array()) {
    const std::string where = "Route[" + std::to_string(number++) + "]";
    const auto& route = item.as_object();
    if (const auto* match = object_of(route, "Match"))
      if (const auto* http = object_of(*match, "HTTP"))
        if (auto good = check_match(*http, where); !good) return good;
  }
  return {};
}

}  // namespace fyr::server
