#include "server/api/parameters.h"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "base/bytes.h"
#include "server/api/routes.h"

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

std::string asked_node(const ApiContext& context, const io::HttpCall& call) {
  const auto given = call.request().header("X-Fyr-Agent-Node");
  return given.empty() ? context.server.options().node_name : std::string(given);
}

std::string near_of(const ApiContext& context, const io::HttpCall& call) {
  const auto near = call.query().get("near");
  return near == "_agent" ? asked_node(context, call) : std::string(near);
}

void depend_on_distance(ReadPlan& plan, const std::string& near) {
  if (near.empty()) return;
  plan.key += CacheKey("near").add(to_lower(near)).take();
  plan.topics.push_back({TopicKind::Coordinates, ""});
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
    const auto value =
        colon == std::string_view::npos ? std::string_view() : pair.substr(colon + 1);
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
