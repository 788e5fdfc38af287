#include "server/api/parameters.h"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "base/bytes.h"

namespace fyr::server {

bool refuse_datacenter(const io::HttpCall& call, std::string_view datacenter,
                       const ApiOptions& options) {
  if (datacenter.empty() || equals_ignoring_case(datacenter, options.datacenter)) return false;
  call.text(500, "No path to datacenter");
  return true;
}

bool refuse_datacenter(const io::HttpCall& call, const ApiOptions& options) {
  return refuse_datacenter(call, call.query().get("dc"), options);
}

bool refuse_namespace(const io::HttpCall& call) {
  const auto refuse = [&call](std::string_view name, std::string_view what) {
    call.text(400, "Invalid query parameter: \"" + std::string(name) + "\" - " + std::string(what) +
                       " are a Consul Enterprise feature");
    return true;
  };
  if (!call.query().get("ns").empty()) return refuse("ns", "Namespaces");
  if (!call.query().get("partition").empty()) return refuse("partition", "Partitions");
  return false;
}

bool require_tail(const io::HttpCall& call, std::string_view missing) {
  if (!call.tail().empty()) return true;
  call.text(400, std::string(missing));
  return false;
}

bool RowSelection::matches_tags(const pb::ServiceInstance& service) const {
  return std::all_of(tags.begin(), tags.end(), [&](const std::string& wanted) {
    return std::any_of(service.tags().begin(), service.tags().end(),
                       [&](const std::string& tag) { return equals_ignoring_case(tag, wanted); });
  });
}

bool RowSelection::matches_node(const pb::Node& node) const {
  return std::all_of(node_meta.begin(), node_meta.end(), [&](const auto& wanted) {
    return std::any_of(node.meta().begin(), node.meta().end(), [&](const pb::Pair& pair) {
      return pair.key() == wanted.first && pair.value() == wanted.second;
    });
  });
}

bool RowSelection::matches_filter(std::string_view json) const {
  if (!filter) return true;
  boost::system::error_code failed;
  const auto row = boost::json::parse({json.data(), json.size()}, failed);
  return !failed && filter->matches(row);
}

std::string proxy_destination(const pb::ServiceInstance& service) {
  if (service.kind() != "connect-proxy" || service.proxy_json().empty()) return {};
  boost::system::error_code failed;
  const auto proxy = boost::json::parse(service.proxy_json(), failed);
  if (failed || !proxy.is_object()) return {};
  const auto* name = proxy.get_object().if_contains("DestinationServiceName");
  return name != nullptr && name->is_string() ? std::string(name->get_string()) : std::string();
}

bool speaks_connect_for(const pb::ServiceInstance& instance, std::string_view service) {
  if (instance.connect_native()) return equals_ignoring_case(instance.service(), service);
  return equals_ignoring_case(proxy_destination(instance), service) && !service.empty();
}

std::optional<RowSelection> parse_selection(const io::HttpCall& call, const FilterSchema& schema) {
  RowSelection out;
  CacheKey key("select");
  for (const auto tag : call.query().all("tag")) {
    if (tag.empty()) continue;
    out.tags.push_back(to_lower(tag));
  }
  std::sort(out.tags.begin(), out.tags.end());
  for (const auto& tag : out.tags) key.add("t").add(tag);
  for (const auto pair : call.query().all("node-meta")) {
    const auto colon = pair.find(':');
    const auto value = colon == pair.npos ? std::string_view() : pair.substr(colon + 1);
    out.node_meta.emplace_back(pair.substr(0, colon), value);
  }
  std::sort(out.node_meta.begin(), out.node_meta.end());
  for (const auto& [name, value] : out.node_meta) key.add("m").add(name).add(value);
  if (const auto expression = call.query().get("filter"); !expression.empty()) {
    auto filter = Filter::parse(expression, schema);
    if (!filter) {
      call.text(500, filter.error().message);
      return std::nullopt;
    }
    out.filter = std::move(*filter);
    key.add("f").add(expression);
  }
  out.key = key.take();
  return out;
}

}  // namespace fyr::server
