// /v1/internal/ui/*: the lists a web page shows, each in one answer.
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/query/connect.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;

ReadPlan plan_for(CacheKey key, std::vector<Topic> topics) {
  ReadPlan plan;
  plan.key = key.take();
  plan.topics = std::move(topics);
  plan.quiet = true;
  return plan;
}

// ---- nodes -------------------------------------------------------------------------------------

struct NodeInfo {
  NodeServices services;  // and the node
  std::vector<CheckRow> checks;
};

NodeInfo collect_node(const StateStore& store, std::string_view name) {
  return {store.node_services(name), store.node_checks(name).rows};
}

void write_node(JsonWriter& out, const NodeInfo& info) {
  const pb::Node& node = *info.services.node;
  out.begin_object();
  out.key("ID").string(node.id());
  out.key("Node").string(node.name());
  out.key("Address").string(node.address());
  encode_pairs(out.key("TaggedAddresses"), node.tagged_addresses(), node.has_tagged_addresses());
  encode_pairs(out.key("Meta"), node.meta(), node.has_meta());
  out.key("Services").begin_array();
  for (const auto& service : info.services.services) encode_service(out, *service);
  out.end_array();
  out.key("Checks").begin_array();
  for (const auto& check : info.checks) encode_check(out, *check);
  out.end_array();
  out.end_object();
}

void nodes(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  auto selection = parse_selection(*call, node_info_filter_schema());
  if (!selection) return;
  auto plan = plan_for(
      std::move(CacheKey("ui/nodes").add(selection->key)),
      {{TopicKind::Nodes, ""}, {TopicKind::Instances, ""}, {TopicKind::CheckState, "any"}});
  plan.fetch = [selection = std::move(*selection)](const StateStore& store) -> Render {
    std::vector<NodeInfo> rows;
    for (const auto& node : store.nodes().rows) rows.push_back(collect_node(store, node->name()));
    return [rows = std::move(rows), selection] {
      RowList list(selection);
      for (const auto& row : rows) {
        if (!selection.matches_node(*row.services.node)) continue;
        list.add([&](JsonWriter& out) { write_node(out, row); });
      }
      return Rendered::json(list.take());
    };
  };
  context.reads.serve(call, std::move(plan));
}

void node(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing node name")) return;
  const auto name = to_lower(call->tail());
  auto plan = plan_for(std::move(CacheKey("ui/node").add(name)), {{TopicKind::Node, name}});
  plan.fetch = [name](const StateStore& store) -> Render {
    return [info = collect_node(store, name)] {
      if (!info.services.node) {
        Rendered missing;
        missing.status = 404;
        return missing;
      }
      std::string body;
      JsonWriter out(body);
      write_node(out, info);
      return Rendered::json(std::move(body));
    };
  };
  context.reads.serve(call, std::move(plan));
}

// ---- services ----------------------------------------------------------------------------------

struct Summary {
  std::string kind;
  std::set<std::string> tags, nodes, sources;
  std::set<std::pair<std::string, std::string>> checks;  // counted: node and id
  std::size_t instances = 0, passing = 0, warning = 0, critical = 0;
};

void add_instance(Summary& sum, const ServiceHealth& row) {
  ++sum.instances;
  sum.kind = row.service->kind();
  sum.tags.insert(row.service->tags().begin(), row.service->tags().end());
  sum.nodes.insert(row.node->name());
  for (const auto& pair : row.service->meta()) {
    if (pair.key() == "external-source" && !pair.value().empty()) sum.sources.insert(pair.value());
  }
  for (const auto& check : row.checks) {
    if (!sum.checks.emplace(check->node(), check->check_id()).second) continue;
    auto& count = check->status() == "passing"   ? sum.passing
                  : check->status() == "warning" ? sum.warning
                                                 : sum.critical;
    ++count;
  }
}

void write_texts(JsonWriter& out, const std::set<std::string>& texts) {
  out.begin_array();
  for (const auto& text : texts) out.string(text);
  out.end_array();
}

void write_summary(JsonWriter& out, const std::string& name, const Summary& sum, bool has_proxy,
                   const std::string& datacenter) {
  out.begin_object();
  if (!sum.kind.empty()) out.key("Kind").string(sum.kind);
  out.key("Name").string(name);
  out.key("Datacenter").string(datacenter);
  write_texts(out.key("Tags"), sum.tags);
  write_texts(out.key("Nodes"), sum.nodes);
  out.key("ExternalSources");
  if (sum.sources.empty()) {
    out.null();
  } else {
    write_texts(out, sum.sources);
  }
  out.key("InstanceCount").number(std::uint64_t{sum.instances});
  out.key("ChecksPassing").number(std::uint64_t{sum.passing});
  out.key("ChecksWarning").number(std::uint64_t{sum.warning});
  out.key("ChecksCritical").number(std::uint64_t{sum.critical});
  out.key("GatewayConfig").begin_object().end_object();
  out.key("TransparentProxy").boolean(false);
  out.key("ConnectedWithProxy").boolean(has_proxy);
  out.key("ConnectedWithGateway").boolean(false);
  out.end_object();
}

void write_health(JsonWriter& out, const ServiceHealth& row, const std::string& datacenter) {
  out.begin_object();
  encode_node(out.key("Node"), *row.node, datacenter);
  encode_service(out.key("Service"), *row.service);
  out.key("Checks").begin_array();
  for (const auto& check : row.checks) encode_check(out, *check);
  out.end_array().end_object();
}

Rendered render_services(const std::vector<ServiceHealth>& rows, const RowSelection& selection,
                         const std::string& datacenter) {
  std::map<std::string, Summary> sums;
  std::set<std::string> proxied;
  for (const auto& row : rows) {
    if (selection.filter) {
      std::string text;
      JsonWriter out(text);
      write_health(out, row, datacenter);
      if (!selection.matches_filter(text)) continue;
    }
    add_instance(sums[row.service->service()], row);
    if (auto behind = proxy_destination(*row.service); !behind.empty()) {
      proxied.insert(std::move(behind));
    }
  }
  std::string body;
  JsonWriter out(body);
  out.begin_array();
  for (const auto& [name, sum] : sums) {
    write_summary(out, name, sum, proxied.contains(name), datacenter);
  }
  out.end_array();
  return Rendered::json(std::move(body));
}

void services(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  auto selection = parse_selection(*call, service_health_filter_schema());
  if (!selection) return;
  auto plan = plan_for(std::move(CacheKey("ui/services").add(selection->key)),
                       {{TopicKind::Instances, ""}, {TopicKind::CheckState, "any"}});
  plan.fetch = [selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    std::vector<ServiceHealth> rows;
    for (const auto& listed : store.services().rows) {
      auto found = store.service_health(listed.name).rows;
      rows.insert(rows.end(), std::make_move_iterator(found.begin()),
                  std::make_move_iterator(found.end()));
    }
    return [rows = std::move(rows), selection, datacenter] {
      return render_services(rows, selection, datacenter);
    };
  };
  context.reads.serve(call, std::move(plan));
}

// Gateways do not exist here, so nothing is behind one.
void gateway_services(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing gateway name")) return;
  auto plan = plan_for(CacheKey("ui/gateway-services"), {{TopicKind::ServiceNames, ""}});
  plan.fetch = [](const StateStore&) -> Render { return [] { return Rendered::json("[]"); }; };
  context.reads.serve(call, std::move(plan));
}

}  // namespace

void add_internal_ui_routes(io::HttpRouter& router, ApiContext& context) {
  const auto get = [&](std::string_view path, auto handler) {
    router.add("GET", path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  get("/v1/internal/ui/nodes", nodes);
  get("/v1/internal/ui/node/", node);
  get("/v1/internal/ui/services", services);
  get("/v1/internal/ui/gateway-services-nodes/", gateway_services);
}

}  // namespace fyr::server
