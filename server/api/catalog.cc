// Reads of /v1/catalog/*.
#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/query/connect.h"
#include "server/query/near.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;

ReadPlan plan_for(CacheKey key, std::vector<Topic> topics) {
  ReadPlan plan;
  plan.key = key.take();
  plan.topics = std::move(topics);
  plan.shows_consistency = true;
  plan.quiet = true;
  return plan;
}

void datacenters(ApiContext& context, const io::HttpCallPtr& call) {
  std::string out;
  JsonWriter(out).begin_array().string(context.options.datacenter).end_array();
  call->json(std::move(out));
}

void nodes(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  auto selection = parse_selection(*call, node_filter_schema());
  if (!selection) return;
  auto plan =
      plan_for(std::move(CacheKey("catalog/nodes").add(selection->key)), {{TopicKind::Nodes, ""}});
  const auto near = near_of(context, *call);
  depend_on_distance(plan, near);
  plan.fetch = [near, selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    return [rows = store.nodes().rows, distances = Distances(store, near), selection,
            datacenter]() mutable {
      distances.sort(rows, [](const NodeRow& row) { return row->name(); });
      RowList list(selection);
      for (const auto& node : rows) {
        if (!selection.matches_node(*node)) continue;
        list.add([&](JsonWriter& out) { encode_node(out, *node, datacenter); });
      }
      return Rendered::json(list.take());
    };
  };
  context.reads.serve(call, std::move(plan));
}

Rendered render_names(const std::map<std::string, std::set<std::string>>& services) {
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  for (const auto& [name, tags] : services) {
    out.key(name).begin_array();
    for (const auto& tag : tags) out.string(tag);
    out.end_array();
  }
  out.end_object();
  return Rendered::json(std::move(body));
}

// Names and tags of the services that have an instance with the wanted node metadata and filter.
Render fetch_selected_names(const StateStore& store, const RowSelection& selection,
                            const std::string& datacenter) {
  std::vector<ServiceNode> rows;
  for (const auto& listed : store.services().rows) {
    auto found = store.service_nodes(listed.name).rows;
    std::move(found.begin(), found.end(), std::back_inserter(rows));
  }
  return [rows = std::move(rows), selection, datacenter] {
    std::map<std::string, std::set<std::string>> named;
    for (const auto& row : rows) {
      if (!selection.matches_node(*row.node)) continue;
      if (selection.filter) {
        std::string text;
        JsonWriter out(text);
        encode_service_node(out, *row.node, *row.service, datacenter);
        if (!selection.matches_filter(text)) continue;
      }
      named[row.service->service()].insert(row.service->tags().begin(), row.service->tags().end());
    }
    return render_names(named);
  };
}

void services(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  auto selection = parse_selection(*call, service_node_filter_schema());
  if (!selection) return;
  const bool selects = !selection->node_meta.empty() || selection->filter.has_value();
  auto plan =
      plan_for(std::move(CacheKey("catalog/services").add(selection->key)),
               {selects ? Topic{TopicKind::Instances, ""} : Topic{TopicKind::ServiceNames, ""}});
  plan.fetch = [selection = std::move(*selection), selects,
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    if (selects) return fetch_selected_names(store, selection, datacenter);
    return [rows = store.services().rows] {
      std::map<std::string, std::set<std::string>> named;
      for (const auto& row : rows) named[row.name].insert(row.tags.begin(), row.tags.end());
      return render_names(named);
    };
  };
  context.reads.serve(call, std::move(plan));
}

Rendered render_service_nodes(const std::vector<ServiceNode>& rows, const RowSelection& selection,
                              const std::string& datacenter) {
  RowList list(selection);
  for (const auto& row : rows) {
    if (!selection.matches_tags(*row.service) || !selection.matches_node(*row.node)) continue;
    list.add(
        [&](JsonWriter& out) { encode_service_node(out, *row.node, *row.service, datacenter); });
  }
  return Rendered::json(list.take());
}

void service(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing service name")) return;
  auto selection = parse_selection(*call, service_node_filter_schema());
  if (!selection) return;
  const auto name = to_lower(call->tail());
  auto plan = plan_for(std::move(CacheKey("catalog/service").add(name).add(selection->key)),
                       {{TopicKind::ServiceInstances, name}});
  const auto near = near_of(context, *call);
  depend_on_distance(plan, near);
  plan.fetch = [name, near, selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    return [rows = store.service_nodes(name).rows, distances = Distances(store, near), selection,
            datacenter]() mutable {
      distances.sort(rows, [](const ServiceNode& row) { return row.node->name(); });
      return render_service_nodes(rows, selection, datacenter);
    };
  };
  context.reads.serve(call, std::move(plan));
}

// Instances that speak Connect for a service: its native instances and the proxies in front of it.
void connect(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing service name")) return;
  auto selection = parse_selection(*call, service_node_filter_schema());
  if (!selection) return;
  const auto name = to_lower(call->tail());
  auto plan = plan_for(std::move(CacheKey("catalog/connect").add(name).add(selection->key)),
                       {{TopicKind::Instances, ""}});
  const auto near = near_of(context, *call);
  depend_on_distance(plan, near);
  plan.fetch = [name, near, selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    std::vector<ServiceNode> rows;
    for (const auto& listed : store.services().rows) {
      for (auto& row : store.service_nodes(listed.name).rows) {
        if (speaks_connect_for(*row.service, name)) rows.push_back(std::move(row));
      }
    }
    return [rows = std::move(rows), distances = Distances(store, near), selection,
            datacenter]() mutable {
      distances.sort(rows, [](const ServiceNode& row) { return row.node->name(); });
      return render_service_nodes(rows, selection, datacenter);
    };
  };
  context.reads.serve(call, std::move(plan));
}

void node(ApiContext& context, const io::HttpCallPtr& call, bool as_list) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing node name")) return;
  auto selection = parse_selection(*call, service_filter_schema());
  if (!selection) return;
  const auto name = to_lower(call->tail());
  auto plan =
      plan_for(std::move(CacheKey("catalog/node").add(as_list).add(name).add(selection->key)),
               {{TopicKind::NodeServices, name}});
  plan.fetch = [name, as_list, selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    return [found = store.node_services(name), as_list, selection, datacenter] {
      std::string body;
      JsonWriter out(body);
      if (!found.node && !as_list) return Rendered::json("null");
      out.begin_object().key("Node");
      if (found.node) {
        encode_node(out, *found.node, datacenter);
      } else {
        out.null();
      }
      out.key("Services");
      if (as_list && found.services.empty()) {
        out.null().end_object();
        return Rendered::json(std::move(body));
      }
      as_list ? out.begin_array() : out.begin_object();
      for (const auto& row : found.services) {
        std::string text;
        JsonWriter writer(text);
        encode_service(writer, *row);
        if (!selection.matches_filter(text)) continue;
        if (!as_list) out.key(row->id());
        out.raw(text);
      }
      as_list ? out.end_array() : out.end_object();
      out.end_object();
      return Rendered::json(std::move(body));
    };
  };
  context.reads.serve(call, std::move(plan));
}

// Gateways do not exist here: the list of any gateway's services is that of an unknown one.
void gateway_services(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing gateway name")) return;
  auto plan = plan_for(CacheKey("catalog/gateway-services"), {{TopicKind::ServiceNames, ""}});
  plan.fetch = [](const StateStore&) -> Render { return [] { return Rendered::json("null"); }; };
  context.reads.serve(call, std::move(plan));
}

}  // namespace

void add_catalog_routes(io::HttpRouter& router, ApiContext& context) {
  const auto get = [&](std::string_view path, auto handler) {
    router.add("GET", path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  get("/v1/catalog/datacenters", datacenters);
  get("/v1/catalog/nodes", nodes);
  get("/v1/catalog/services", services);
  get("/v1/catalog/service/", service);
  get("/v1/catalog/connect/", connect);
  get("/v1/catalog/node/",
      [](ApiContext& inner, const io::HttpCallPtr& call) { node(inner, call, false); });
  get("/v1/catalog/node-services/",
      [](ApiContext& inner, const io::HttpCallPtr& call) { node(inner, call, true); });
  get("/v1/catalog/gateway-services/", gateway_services);
}

}  // namespace fyr::server
