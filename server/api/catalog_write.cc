// PUT /v1/catalog/register and /v1/catalog/deregister. Here types and what needs no state are
// judged; the state machine judges the rest, so that both refuse with the same words everywhere.
#include "base/bytes.h"
#include "base/id.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/query/connect.h"
#include "server/state/rules.h"

namespace fyr::server {
namespace {

namespace json = boost::json;
using StringMap = std::map<std::string, std::string>;

struct Registration {
  pb::Register body;
  std::string datacenter;
};

Result<void> add_check(const json::value& value, const std::string& path, pb::Register& out) {
  auto check = decode_check(value, path, UnknownFields::Refuse);
  if (!check) return check.error();
  if (const auto good = check_rules(*check); !good) {
    return fail(good.error().code, path + "." + good.error().message);
  }
  *out.add_checks() = std::move(*check);
  return {};
}

Result<Registration> decode_registration(const json::value& value) {
  Registration out;
  auto& node = *out.body.mutable_node();
  StringMap addresses;
  StringMap meta;
  bool skip = false;
  ObjectDecoder decoder(value, "RegisterRequest");
  decoder.field("Datacenter", out.datacenter)
      .field("ID", *node.mutable_id())
      .field("Node", *node.mutable_name())
      .field("Address", *node.mutable_address())
      .field("TaggedAddresses", addresses)
      .field("NodeMeta", meta)
      .field("SkipNodeUpdate", skip)
      .ignore("Token")
      .ignore("Namespace")
      .ignore("Partition")
      .ignore("CreateIndex")
      .ignore("ModifyIndex")
      .ignore("EnterpriseMeta")
      .ignore("WriteRequest")
      .ignore("RaftIndex");
  decoder.field("Service", [&](const json::value& inner, const std::string& path) {
    auto service = decode_service(inner, path, UnknownFields::Refuse);
    if (!service) return Result<void>(service.error());
    *out.body.mutable_service() = std::move(*service);
    return Result<void>();
  });
  decoder.field("Check", [&](const json::value& inner, const std::string& path) {
    return add_check(inner, path, out.body);
  });
  decoder.field("Checks", [&](const json::value& inner, const std::string& path) {
    if (!inner.is_array()) {
      return Result<void>(fail(
          ErrorCode::InvalidArgument,
          "json: cannot unmarshal into Go struct field " + path + " of type structs.HealthChecks"));
    }
    for (const auto& item : inner.get_array()) {
      if (auto done = add_check(item, path, out.body); !done) return done;
    }
    return Result<void>();
  });
  set_pairs(*node.mutable_tagged_addresses(), addresses);
  set_pairs(*node.mutable_meta(), meta);
  node.set_has_tagged_addresses(decoder.has("TaggedAddresses"));
  node.set_has_meta(decoder.has("NodeMeta"));
  out.body.set_skip_node_update(skip);
  if (auto done = decoder.finish(); !done) {
    return fail(done.error().code, "Request decode failed: " + done.error().message);
  }
  return out;
}

// What Consul refuses before it proposes; empty if all is well.
std::string objection(const pb::Register& body) {
  const auto& node = body.node();
  if (node.name().empty()) return "Must provide node";
  if (node.address().empty() && !body.skip_node_update()) {
    return "Must provide address if SkipNodeUpdate is not set";
  }
  if (!node.id().empty() && !is_uuid(node.id())) {
    return node.id().size() == 36 ? "Bad node ID: uuid is improperly formatted"
                                  : "Bad node ID: uuid string is wrong length";
  }
  if (!body.has_service()) return {};
  const auto& service = body.service();
  if (service.service().empty()) return "Must provide service name with ID";
  if (const auto good = check_rules(service); !good) return "Service." + good.error().message;
  if (service.kind() != "connect-proxy") return {};
  if (proxy_destination(service).empty()) {
    return "Proxy.DestinationServiceName must be non-empty for Connect proxy services";
  }
  if (service.port() == 0 && service.socket_path().empty()) {
    return "Port or SocketPath must be set for a Connect proxy";
  }
  return {};
}

void register_entity(ApiContext& context, const io::HttpCallPtr& call) {
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  auto registration = decode_registration(*body);
  if (!registration) return call->error(registration.error());
  auto& request = registration->body;
  if (refuse_datacenter(*call, context.options)) return;
  if (refuse_datacenter(*call, registration->datacenter, context.options)) return;
  if (auto refused = objection(request); !refused.empty()) {
    return call->text(500, std::move(refused));
  }
  request.mutable_node()->set_id(to_lower(request.node().id()));
  request.mutable_node()->set_datacenter(context.options.datacenter);
  if (request.has_service() && request.service().id().empty()) {
    request.mutable_service()->set_id(request.service().service());
  }
  pb::Command command;
  *command.mutable_register_() = std::move(request);
  context.writes.submit(call, std::move(command));
}

void deregister_entity(ApiContext& context, const io::HttpCallPtr& call) {
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  pb::Command command;
  auto& request = *command.mutable_deregister();
  std::string datacenter;
  ObjectDecoder decoder(*body, "DeregisterRequest");
  decoder.field("Datacenter", datacenter)
      .field("Node", *request.mutable_node())
      .field("ServiceID", *request.mutable_service_id())
      .field("CheckID", *request.mutable_check_id())
      .ignore("Address")
      .ignore("Namespace")
      .ignore("Partition")
      .ignore("Token")
      .ignore("EnterpriseMeta")
      .ignore("WriteRequest");
  if (auto done = decoder.finish(); !done) {
    return call->text(400, "Request decode failed: " + done.error().message);
  }
  if (refuse_datacenter(*call, context.options)) return;
  if (refuse_datacenter(*call, datacenter, context.options)) return;
  if (request.node().empty()) return call->text(500, "Must provide node");
  context.writes.submit(call, std::move(command));
}

}  // namespace

void add_catalog_write_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("PUT", "/v1/catalog/register",
             [&context](const io::HttpCallPtr& call) { register_entity(context, call); });
  router.add("PUT", "/v1/catalog/deregister",
             [&context](const io::HttpCallPtr& call) { deregister_entity(context, call); });
}

}  // namespace fyr::server
