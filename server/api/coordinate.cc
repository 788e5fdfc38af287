// /v1/coordinate/*: what programs ask for at start. Network coordinates are not kept yet, so no
// node has one.
#include "base/json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;

void datacenters(ApiContext& context, const io::HttpCallPtr& call) {
  std::string body;
  JsonWriter out(body);
  out.begin_array().begin_object();
  out.key("Datacenter").string(context.options.datacenter);
  out.key("AreaID").string("wan");
  out.key("Coordinates").begin_array().begin_object();
  out.key("Node").string(context.server.options().node_name);
  out.key("Segment").string("");
  out.key("Coord").begin_object();
  constexpr int kDimensions = 8;
  out.key("Vec").begin_array();
  for (int i = 0; i < kDimensions; ++i) out.number(0);
  out.end_array();
  out.key("Error").number(1.5);
  out.key("Adjustment").number(0);
  out.key("Height").number(1e-05);
  out.end_object().end_object().end_array();
  out.end_object().end_array();
  call->json(std::move(body));
}

void nodes(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  ReadPlan plan;
  plan.key = CacheKey("coordinate/nodes").take();
  plan.topics = {{TopicKind::Nodes, ""}};
  plan.quiet = true;
  plan.fetch = [](const StateStore&) -> Render { return [] { return Rendered::json("[]"); }; };
  context.reads.serve(call, std::move(plan));
}

}  // namespace

void add_coordinate_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("GET", "/v1/coordinate/datacenters",
             [&context](const io::HttpCallPtr& call) { datacenters(context, call); });
  router.add("GET", "/v1/coordinate/nodes",
             [&context](const io::HttpCallPtr& call) { nodes(context, call); });
  router.add("GET", "/v1/coordinate/node/", [&context](const io::HttpCallPtr& call) {
    if (refuse_datacenter(*call, context.options)) return;
    call->text(404, "");
  });
}

}  // namespace fyr::server
