// /v1/agent/service(s) and the health of local services.
#include "agent/api/context.h"

namespace fyr::agent {

namespace {

constexpr Duration kDefaultWait = std::chrono::minutes(5);
constexpr Duration kLongestWait = std::chrono::minutes(10);

using io::HttpCallPtr;

// ---- reading -----------------------------------------------------------------------------------

void list_services(ApiContext& context, const HttpCallPtr& call) {
  std::optional<Filter> filter;
  if (!parse_filter(*call, agent_service_filter_schema(), filter)) return;
  context.on_agent([&context, call, filter = std::move(filter)] {
    std::string out = "{";
    for (const LocalService* service : context.state.services()) {
      std::string json;
      JsonWriter writer(json);
      encode_agent_service(writer, service->row, context.options.datacenter);
      if (!passes(filter, json)) continue;
      if (out.size() > 1) out += ',';
      append_json_string(out, service->row.id());
      out += ':';
      out += json;
    }
    call->json(out + "}");
  });
}

void answer_service(const ApiContext& context, const io::HttpCall& call, const std::string& id) {
  const LocalService* service = context.state.service(id);
  if (!service) return call.text(404, "unknown service ID: " + id);
  const std::string hash = content_hash(service->row, context.options.datacenter);
  std::string json;
  JsonWriter writer(json);
  encode_agent_service(writer, service->row, context.options.datacenter, hash);
  auto response = io::HttpResponse::json(call.pretty() ? indent_json(json) + "\n" : json);
  response.headers.emplace_back("X-Consul-ContentHash", hash);
  call.respond(std::move(response));
}

void get_service(ApiContext& context, const HttpCallPtr& call) {
  auto params = io::parse_read_params(*call);
  if (!params) return call->error(params.error());
  const Duration wait =
      io::effective_wait(params->wait, kDefaultWait, kLongestWait, Random::from_system().next());
  context.on_agent([&context, call, wait, hash = params->hash, id = call->tail()] {
    if (hash.empty()) return answer_service(context, *call, id);
    context.waiters.wait_for(call, wait, [&context, call, hash, id](bool late) {
      const LocalService* service = context.state.service(id);
      const bool same = service && content_hash(service->row, context.options.datacenter) == hash;
      if (same && !late) return false;
      answer_service(context, *call, id);
      return true;
    });
  });
}

// ---- health ------------------------------------------------------------------------------------

struct ServiceHealth {
  std::string status = "passing";
  std::string json;
};

int severity(const pb::HealthCheck& check) {
  if (check.check_id() == kNodeMaintenanceId ||
      check.check_id().starts_with(kServiceMaintenancePrefix)) {
    return 3;
  }
  return check.status() == "passing" ? 0 : check.status() == "warning" ? 1 : 2;
}

ServiceHealth health_of(const ApiContext& context, const LocalService& service) {
  constexpr const char* kNames[] = {"passing", "warning", "critical", "maintenance"};
  int worst = 0;
  std::string checks = "[";
  for (const LocalCheck* check : context.state.checks()) {
    const std::string& owner = check->row.service_id();
    if (!owner.empty() && owner != service.row.id()) continue;
    worst = std::max(worst, severity(check->row));
    if (checks.size() > 1) checks += ',';
    pb::HealthCheck row = check->row;
    row.clear_type();
    row.clear_service_tags();
    row.clear_has_service_tags();
    JsonWriter writer(checks);
    encode_check_verbose(writer, row);
  }
  checks += ']';
  ServiceHealth health;
  health.status = kNames[worst];
  JsonWriter writer(health.json);
  writer.begin_object();
  writer.key("AggregatedStatus").string(health.status);
  std::string shown;
  JsonWriter service_writer(shown);
  encode_agent_service(service_writer, service.row, context.options.datacenter);
  writer.key("Service").raw(shown);
  writer.key("Checks").raw(checks);
  writer.end_object();
  return health;
}

int http_status(const std::string& health) {
  return health == "passing" ? 200 : health == "warning" ? 429 : 503;
}

bool wants_text(const io::HttpCall& call) {
  return call.query().get("format") == "text";
}

void plain(const io::HttpCall& call, int status, const std::string& text) {
  call.text(status, text);
}

void health_by_id(ApiContext& context, const HttpCallPtr& call) {
  if (call->tail().empty()) return call->text(500, "Bad request: Missing serviceID");
  context.on_agent([&context, call, id = call->tail()] {
    const LocalService* service = context.state.service(id);
    if (!service) {
      if (wants_text(*call)) return plain(*call, 404, "\"ServiceId " + id + " not found\"");
      return call->json(404, R"({"AggregatedStatus":"critical","Service":null,"Checks":null})");
    }
    const ServiceHealth health = health_of(context, *service);
    if (wants_text(*call)) return plain(*call, http_status(health.status), health.status);
    call->json(http_status(health.status), health.json);
  });
}

void health_by_name(ApiContext& context, const HttpCallPtr& call) {
  if (call->tail().empty()) return call->text(500, "Bad request: Missing service Name");
  context.on_agent([&context, call, name = call->tail()] {
    int status = 0;
    std::string worst = "passing";
    std::string out = "[";
    for (const LocalService* service : context.state.services()) {
      if (service->row.service() != name) continue;
      const ServiceHealth health = health_of(context, *service);
      const int own = http_status(health.status);
      if (own > status || (own == status && health.status == "maintenance")) {
        worst = health.status;
      }
      status = std::max(status, own);
      if (out.size() > 1) out += ',';
      out += health.json;
    }
    out += ']';
    if (status == 0) {
      if (wants_text(*call)) return plain(*call, 404, "\"ServiceName " + name + " not found\"");
      return call->json(404, "[]");
    }
    if (wants_text(*call)) return plain(*call, status, worst);
    call->json(status, out);
  });
}

// ---- writing -----------------------------------------------------------------------------------

void register_service(ApiContext& context, const HttpCallPtr& call) {
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  auto spec = decode_service_spec(*body, "", UnknownFields::Refuse);
  if (!spec) return call->text(400, "Request decode failed: " + spec.error().message);
  if (spec->token.empty()) spec->token = call->token();
  auto planned = plan_service(std::move(*spec), Source::Api, context.registrar.rules());
  if (!planned) return call->error(planned.error());
  const bool replace = call->query().has("replace-existing-checks");
  context.on_agent([&context, call, replace, planned = std::move(*planned)]() mutable {
    context.registrar.add_service(std::move(planned), replace,
                                  [call](const Result<void>& done) { answer(*call, done); });
  });
}

void deregister_service(ApiContext& context, const HttpCallPtr& call) {
  if (call->tail().empty()) return call->text(400, "Missing service ID");
  context.on_agent([&context, call, id = call->tail()] {
    context.registrar.remove_service(id, [call](const Result<void>& done) { answer(*call, done); });
  });
}

}  // namespace

void add_service_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* path, auto handler) {
    router.add(method, path,
               [&context, handler](const HttpCallPtr& call) { handler(context, call); });
  };
  add("GET", "/v1/agent/services", list_services);
  add("GET", "/v1/agent/service/", get_service);
  add("GET", "/v1/agent/health/service/id/", health_by_id);
  add("GET", "/v1/agent/health/service/name/", health_by_name);
  add("PUT", "/v1/agent/service/register", register_service);
  add("PUT", "/v1/agent/service/deregister/", deregister_service);
}

}  // namespace fyr::agent
