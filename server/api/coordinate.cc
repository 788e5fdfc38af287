// /v1/coordinate/*: network coordinates as agents send them, kept for each node and used by ?near.
#include <cmath>

#include "base/bytes.h"
#include "base/json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

namespace json = boost::json;
using Render = std::function<Rendered()>;

constexpr int kDimensions = 8;
constexpr double kMostSeconds = 1e6;  // larger ones are nonsense and would spoil every distance

void write_coordinate(JsonWriter& out, const pb::Coordinate& row) {
  out.begin_object();
  out.key("Node").string(row.node());
  out.key("Segment").string(row.segment());
  out.key("Coord").begin_object();
  out.key("Vec").begin_array();
  for (const double x : row.vec()) out.number(x);
  out.end_array();
  out.key("Error").number(row.error());
  out.key("Adjustment").number(row.adjustment());
  out.key("Height").number(row.height());
  out.end_object().end_object();
}

// ---- reading -----------------------------------------------------------------------------------

pb::Coordinate origin(const std::string& node) {
  pb::Coordinate row;
  row.set_node(node);
  for (int i = 0; i < kDimensions; ++i) row.add_vec(0);
  row.set_error(1.5);
  row.set_height(1e-05);
  return row;
}

void datacenters(ApiContext& context, const io::HttpCallPtr& call) {
  std::string body;
  JsonWriter out(body);
  out.begin_array().begin_object();
  out.key("Datacenter").string(context.options.datacenter);
  out.key("AreaID").string("wan");
  out.key("Coordinates").begin_array();
  write_coordinate(out, origin(context.server.options().node_name));
  out.end_array().end_object().end_array();
  call->json(std::move(body));
}

Rendered render(const std::vector<CoordinateRow>& rows, const std::string& segment) {
  std::string body;
  JsonWriter out(body);
  out.begin_array();
  for (const auto& row : rows) {
    if (segment.empty() || row->segment() == segment) write_coordinate(out, *row);
  }
  out.end_array();
  return Rendered::json(std::move(body));
}

void nodes(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  const std::string segment(call->query().get("segment"));
  ReadPlan plan;
  plan.key = CacheKey("coordinate/nodes").add(segment).take();
  plan.topics = {{TopicKind::Coordinates, ""}};
  plan.quiet = true;
  plan.fetch = [segment](const StateStore& store) -> Render {
    return [rows = store.coordinates().rows, segment] { return render(rows, segment); };
  };
  context.reads.serve(call, std::move(plan));
}

void node(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  const auto name = to_lower(call->tail());
  const std::string segment(call->query().get("segment"));
  ReadPlan plan;
  plan.key = CacheKey("coordinate/node").add(name).add(segment).take();
  plan.topics = {{TopicKind::Coordinates, ""}};
  plan.quiet = true;
  plan.fetch = [name, segment](const StateStore& store) -> Render {
    return [rows = store.node_coordinates(name), segment] {
      if (!rows.empty()) return render(rows, segment);
      Rendered missing;
      missing.status = 404;
      return missing;
    };
  };
  context.reads.serve(call, std::move(plan));
}

// ---- writing -----------------------------------------------------------------------------------

struct Update {
  pb::Coordinate row;
  std::string datacenter;
};

Result<void> decode_vector(const json::value& value, const std::string& path, pb::Coordinate& out) {
  if (!value.is_array()) return fail(ErrorCode::InvalidArgument, path + ": not a list");
  for (const auto& item : value.get_array()) {
    if (!item.is_number()) return fail(ErrorCode::InvalidArgument, path + ": not a number");
    if (out.vec_size() > kDimensions) break;
    out.add_vec(item.to_number<double>());
  }
  return {};
}

Result<Update> decode_update(const json::value& value) {
  Update out;
  ObjectDecoder decoder(value, "", UnknownFields::Ignore);
  decoder.field("Node", *out.row.mutable_node())
      .field("Segment", *out.row.mutable_segment())
      .field("Datacenter", out.datacenter);
  decoder.field("Coord", [&](const json::value& inner, const std::string& at) {
    double error = 0, adjustment = 0, height = 0;
    ObjectDecoder coordinate(inner, at, UnknownFields::Ignore);
    coordinate.field("Error", error).field("Adjustment", adjustment).field("Height", height);
    coordinate.field("Vec", [&](const json::value& list, const std::string& path) {
      return decode_vector(list, path, out.row);
    });
    out.row.set_error(error);
    out.row.set_adjustment(adjustment);
    out.row.set_height(height);
    return coordinate.finish();
  });
  if (auto done = decoder.finish(); !done) return done.error();
  return out;
}

// What Consul refuses before it keeps a coordinate; empty if all is well.
std::string objection(const pb::Coordinate& row) {
  if (row.node().empty()) return "Must provide node";
  if (row.vec_size() != kDimensions) return "incompatible coordinate";
  const auto good = [](double x) { return std::isfinite(x) && std::abs(x) <= kMostSeconds; };
  if (!std::all_of(row.vec().begin(), row.vec().end(), good) || !good(row.error()) ||
      !good(row.adjustment()) || !good(row.height())) {
    return "rejected bad coordinate";
  }
  return {};
}

void update(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  auto given = decode_update(*body);
  if (!given) return call->text(400, "Request decode failed: " + given.error().message);
  if (refuse_datacenter(*call, given->datacenter, context.options)) return;
  if (auto refused = objection(given->row); !refused.empty()) {
    return call->text(500, std::move(refused));
  }
  pb::Command command;
  *command.mutable_coordinate_update()->add_coordinates() = std::move(given->row);
  context.writes.submit(
      call, std::move(command),
      [](const io::HttpCall& answered, const ApplyResult&) { answered.text(200, ""); });
}

}  // namespace

void add_coordinate_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](std::string_view method, std::string_view path, auto handler) {
    router.add(method, path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  add("GET", "/v1/coordinate/datacenters", datacenters);
  add("GET", "/v1/coordinate/nodes", nodes);
  add("GET", "/v1/coordinate/node/", node);
  add("PUT", "/v1/coordinate/update", update);
}

}  // namespace fyr::server
