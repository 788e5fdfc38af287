// Maintenance mode of the node and of single services.
#include "agent/api/context.h"

namespace fyr::agent {

namespace {

using io::HttpCallPtr;

// Words Go's strconv.ParseBool takes.
std::optional<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

// Answers and gives nothing if the word is missing or wrong.
std::optional<bool> wanted(const io::HttpCall& call) {
  const std::string_view text = call.query().get("enable");
  if (text.empty()) {
    call.text(400, "Missing value for enable");
    return std::nullopt;
  }
  const auto value = parse_bool(text);
  if (!value) call.text(400, "Invalid value for enable: \"" + std::string(text) + "\"");
  return value;
}

void node_maintenance(ApiContext& context, const HttpCallPtr& call) {
  const auto on = wanted(*call);
  if (!on) return;
  context.on_agent([&context, call, on = *on] {
    context.registrar.set_node_maintenance(
        on, std::string(call->query().get("reason")), std::string(call->token()),
        [call](const Result<void>& done) { answer(*call, done); });
  });
}

void service_maintenance(ApiContext& context, const HttpCallPtr& call) {
  if (call->tail().empty()) return call->text(400, "Missing service ID");
  const auto on = wanted(*call);
  if (!on) return;
  context.on_agent([&context, call, on = *on] {
    context.registrar.set_service_maintenance(
        call->tail(), on, std::string(call->query().get("reason")), std::string(call->token()),
        [call](const Result<void>& done) { answer(*call, done); });
  });
}

}  // namespace

void add_maintenance_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("PUT", "/v1/agent/maintenance",
             [&context](const HttpCallPtr& call) { node_maintenance(context, call); });
  router.add("PUT", "/v1/agent/service/maintenance/",
             [&context](const HttpCallPtr& call) { service_maintenance(context, call); });
}

}  // namespace fyr::agent
