// /v1/event/*: user events.
#include "agent/api/context.h"
#include "base/id.h"

namespace fyr::agent {

namespace {

constexpr Duration kDefaultWait = std::chrono::minutes(5);
constexpr Duration kLongestWait = std::chrono::minutes(10);

using io::HttpCallPtr;

void fire(ApiContext& context, const HttpCallPtr& call) {
  const std::string_view datacenter = call->query().get("dc");
  if (!datacenter.empty() && datacenter != context.options.datacenter) {
    return call->text(500, "No path to datacenter");
  }
  UserEvent event;
  event.id = make_uuid();
  event.name = call->tail();
  event.payload = call->request().body;
  event.node_filter = call->query().get("node");
  event.service_filter = call->query().get("service");
  event.tag_filter = call->query().get("tag");
  if (auto ok = validate(event); !ok) return call->error(ok.error());
  std::string json;
  append_json(json, event, false);
  if (context.parts.membership) {
    context.parts.membership->fire(encode_event(event));
    return call->json(json);
  }
  context.on_agent([&context, call, json = std::move(json), event = std::move(event)] {
    context.take_event(event);
    call->json(json);
  });
}

void answer_list(const ApiContext& context, const io::HttpCall& call, const std::string& name) {
  std::string out = "[";
  for (const UserEvent* event : context.events.list(name)) {
    if (out.size() > 1) out += ',';
    append_json(out, *event, true);
  }
  out += ']';
  auto response = io::HttpResponse::json(call.pretty() ? indent_json(out) + "\n" : out);
  response.headers.emplace_back("X-Consul-Index", std::to_string(context.events.index(name)));
  call.respond(std::move(response));
}

void list(ApiContext& context, const HttpCallPtr& call) {
  auto params = io::parse_read_params(*call);
  if (!params) return call->error(params.error());
  const Duration wait =
      io::effective_wait(params->wait, kDefaultWait, kLongestWait, Random::from_system().next());
  context.on_agent(
      [&context, call, wait, seen = params->index, name = std::string(call->query().get("name"))] {
        context.waiters.wait_for(call, wait, [&context, call, name, seen](bool late) {
          if (seen != 0 && context.events.index(name) == seen && !late) return false;
          answer_list(context, *call, name);
          return true;
        });
      });
}

}  // namespace

void add_event_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("PUT", "/v1/event/fire/",
             [&context](const HttpCallPtr& call) { fire(context, call); });
  router.add("GET", "/v1/event/list", [&context](const HttpCallPtr& call) { list(context, call); });
}

}  // namespace fyr::agent
