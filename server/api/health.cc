// /v1/health/*.
#include <charconv>

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

// ?passing, ?passing=1, ?passing=false ...: as Go's strconv.ParseBool.
std::optional<bool> parse_passing(const io::HttpCall& call) {
  if (!call.query().has("passing")) return false;
  const auto text = call.query().get("passing");
  for (const auto* yes : {"", "1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const auto* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  call.text(400, "Invalid value for ?passing");
  return std::nullopt;
}

bool is_passing(const ServiceHealth& row) {
  for (const auto& check : row.checks) {
    if (check->status() != "passing") return false;
  }
  return true;
}

Rendered render_health(const std::vector<ServiceHealth>& rows, const RowSelection& selection,
                       bool passing, const std::string& datacenter) {
  RowList list(selection);
  for (const auto& row : rows) {
    if (passing && !is_passing(row)) continue;
    if (!selection.matches_tags(*row.service) || !selection.matches_node(*row.node)) continue;
    list.add([&](JsonWriter& out) {
      out.begin_object().key("Node");
      encode_node(out, *row.node, datacenter);
      out.key("Service");
      encode_service(out, *row.service);
      out.key("Checks").begin_array();
      for (const auto& check : row.checks) encode_check(out, *check);
      out.end_array().end_object();
    });
  }
  return Rendered::json(list.take());
}

void service(ApiContext& context, const io::HttpCallPtr& call, bool connect) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing service name")) return;
  const auto passing = parse_passing(*call);
  if (!passing) return;
  auto selection = parse_selection(*call, service_health_filter_schema());
  if (!selection) return;
  const auto name = to_lower(call->tail());
  std::vector<Topic> topics = {{TopicKind::Service, name}};
  if (connect) topics = {{TopicKind::Instances, ""}, {TopicKind::CheckState, "any"}};
  auto plan = plan_for(
      std::move(
          CacheKey("health/service").add(connect).add(*passing).add(name).add(selection->key)),
      std::move(topics));
  const auto near = near_of(context, *call);
  depend_on_distance(plan, near);
  plan.fetch = [name, connect, near, passing = *passing, selection = std::move(*selection),
                datacenter = context.options.datacenter](const StateStore& store) -> Render {
    std::vector<ServiceHealth> rows;
    if (!connect) rows = store.service_health(name).rows;
    for (const auto& listed : connect ? store.services().rows : std::vector<ServiceName>()) {
      for (auto& row : store.service_health(listed.name).rows) {
        if (speaks_connect_for(*row.service, name)) rows.push_back(std::move(row));
      }
    }
    return [rows = std::move(rows), distances = Distances(store, near), selection, passing,
            datacenter]() mutable {
      distances.sort(rows, [](const ServiceHealth& row) { return row.node->name(); });
      return render_health(rows, selection, passing, datacenter);
    };
  };
  context.reads.serve(call, std::move(plan));
}

// Ingress gateways do not exist here, so no instance is behind one.
void ingress(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing service name")) return;
  if (!parse_selection(*call, service_health_filter_schema())) return;
  auto plan = plan_for(CacheKey("health/ingress"), {{TopicKind::ServiceNames, ""}});
  plan.fetch = [](const StateStore&) -> Render { return [] { return Rendered::json("[]"); }; };
  context.reads.serve(call, std::move(plan));
}

// Checks, left out where their node does not have the wanted metadata.
Render render_checks(const StateStore& store, std::vector<CheckRow> rows,
                     const RowSelection& selection, const std::string& near) {
  if (!selection.node_meta.empty()) {
    std::erase_if(rows, [&](const CheckRow& row) {
      const auto node = store.node(row->node());
      return !node || !selection.matches_node(*node);
    });
  }
  return [rows = std::move(rows), distances = Distances(store, near), selection]() mutable {
    distances.sort(rows, [](const CheckRow& row) { return row->node(); });
    RowList list(selection);
    for (const auto& row : rows) list.add([&](JsonWriter& out) { encode_check(out, *row); });
    return Rendered::json(list.take());
  };
}

// The three lists of checks differ in what they are keyed by and where they look.
struct CheckListing {
  std::string_view family;
  std::string_view missing;
  TopicKind topic;
  bool fold_case;
  bool sorts;  // by ?near
  Listing<CheckRow> (StateStore::*rows)(std::string_view) const;
};

constexpr CheckListing kOfNode = {
    "health/node", "Missing node name",     TopicKind::NodeChecks, true,
    false,         &StateStore::node_checks};
constexpr CheckListing kOfService = {"health/checks",
                                     "Missing service name",
                                     TopicKind::ServiceChecks,
                                     true,
                                     true,
                                     &StateStore::service_checks};
constexpr CheckListing kInState = {
    "health/state", "Missing check state",       TopicKind::CheckState, false,
    true,           &StateStore::checks_in_state};

void checks(ApiContext& context, const io::HttpCallPtr& call, const CheckListing& listing) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, listing.missing)) return;
  auto selection = parse_selection(*call, check_filter_schema());
  if (!selection) return;
  const auto name = listing.fold_case ? to_lower(call->tail()) : call->tail();
  std::vector<Topic> topics = {{listing.topic, name}};
  if (!selection->node_meta.empty()) topics.push_back({TopicKind::Nodes, ""});
  auto plan = plan_for(std::move(CacheKey(listing.family).add(name).add(selection->key)),
                       std::move(topics));
  const auto near = listing.sorts ? near_of(context, *call) : std::string();
  depend_on_distance(plan, near);
  plan.fetch = [name, near, rows = listing.rows,
                selection = std::move(*selection)](const StateStore& store) -> Render {
    return render_checks(store, (store.*rows)(name).rows, selection, near);
  };
  context.reads.serve(call, std::move(plan));
}

}  // namespace

void add_health_routes(io::HttpRouter& router, ApiContext& context) {
  const auto get = [&](std::string_view path, auto handler) {
    router.add("GET", path, [handler](const io::HttpCallPtr& call) { handler(call); });
  };
  get("/v1/health/service/",
      [&context](const io::HttpCallPtr& call) { service(context, call, false); });
  get("/v1/health/connect/",
      [&context](const io::HttpCallPtr& call) { service(context, call, true); });
  get("/v1/health/ingress/", [&context](const io::HttpCallPtr& call) { ingress(context, call); });
  get("/v1/health/node/",
      [&context](const io::HttpCallPtr& call) { checks(context, call, kOfNode); });
  get("/v1/health/checks/",
      [&context](const io::HttpCallPtr& call) { checks(context, call, kOfService); });
  get("/v1/health/state/",
      [&context](const io::HttpCallPtr& call) { checks(context, call, kInState); });
}

}  // namespace fyr::server
