// /v1/agent/check(s): definitions and told statuses.
#include "agent/api/context.h"

namespace fyr::agent {

namespace {

using io::HttpCallPtr;

void list_checks(ApiContext& context, const HttpCallPtr& call) {
  std::optional<Filter> filter;
  if (!parse_filter(*call, check_filter_schema(), filter)) return;
  context.on_agent([&context, call, filter = std::move(filter)] {
    std::string out = "{";
    for (const LocalCheck* check : context.state.checks()) {
      std::string json;
      JsonWriter writer(json);
      encode_check(writer, check->row);
      if (!passes(filter, json)) continue;
      if (out.size() > 1) out += ',';
      append_json_string(out, check->row.check_id());
      out += ':';
      out += json;
    }
    call->json(out + "}");
  });
}

void register_check(ApiContext& context, const HttpCallPtr& call) {
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  auto decoded = decode_check_spec(*body, "", UnknownFields::Refuse);
  if (!decoded) return call->text(400, "Request decode failed: " + decoded.error().message);
  if (decoded->token.empty()) decoded->token = call->token();
  context.on_agent([&context, call, spec = std::move(*decoded)]() mutable {
    context.registrar.add_check(std::move(spec),
                                [call](const Result<void>& done) { answer(*call, done); });
  });
}

void deregister_check(ApiContext& context, const HttpCallPtr& call) {
  if (call->tail().empty()) return call->text(400, "Missing check ID");
  context.on_agent([&context, call, id = call->tail()] {
    context.registrar.remove_check(id, [call](const Result<void>& done) { answer(*call, done); });
  });
}

void tell(ApiContext& context, const HttpCallPtr& call, CheckStatus status, std::string output) {
  context.on_agent([&context, call, status, output = std::move(output)] {
    answer(*call, context.registrar.tell(call->tail(), status, output));
  });
}

void update(ApiContext& context, const HttpCallPtr& call) {
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  std::string status, output;
  ObjectDecoder decoder(*body, "", UnknownFields::Refuse);
  decoder.field("Status", status).field("Output", output);
  if (auto done = decoder.finish(); !done) {
    return call->text(400, "Request decode failed: " + done.error().message);
  }
  const auto parsed = parse_check_status(status);
  if (!parsed) return call->text(400, "Invalid check status: '" + status + "'");
  tell(context, call, *parsed, std::move(output));
}

}  // namespace

void add_check_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* path, auto handler) {
    router.add(method, path,
               [&context, handler](const HttpCallPtr& call) { handler(context, call); });
  };
  const auto add_told = [&](const char* path, CheckStatus status) {
    router.add("PUT", path, [&context, status](const HttpCallPtr& call) {
      tell(context, call, status, std::string(call->query().get("note")));
    });
  };
  add("GET", "/v1/agent/checks", list_checks);
  add("PUT", "/v1/agent/check/register", register_check);
  add("PUT", "/v1/agent/check/deregister/", deregister_check);
  add("PUT", "/v1/agent/check/update/", update);
  add_told("/v1/agent/check/pass/", CheckStatus::Passing);
  add_told("/v1/agent/check/warn/", CheckStatus::Warning);
  add_told("/v1/agent/check/fail/", CheckStatus::Critical);
}

}  // namespace fyr::agent
