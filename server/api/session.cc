// /v1/session/*.
#include <algorithm>

#include "base/bytes.h"
#include "base/id.h"
#include "base/json.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

namespace json = boost::json;
using Render = std::function<Rendered()>;

constexpr Duration kDefaultLockDelay = std::chrono::seconds(15);
constexpr Duration kLongestLockDelay = std::chrono::seconds(60);
constexpr Duration kLongestTtl = std::chrono::hours(24);
constexpr std::string_view kBadId =
    "failed session lookup: index error: UUID must be 36 characters";

Rendered render_sessions(const std::vector<SessionRow>& rows) {
  std::string body;
  JsonWriter out(body);
  out.begin_array();
  for (const auto& row : rows) encode_session(out, *row);
  out.end_array();
  return Rendered::json(std::move(body));
}

// A number is nanoseconds, but below 1000 seconds, as old clients send it.
Result<Duration> decode_lock_delay(const json::value& value) {
  if (value.is_string()) return parse_duration(value.get_string());
  if (!value.is_number()) {
    return fail(ErrorCode::InvalidArgument,
                "json: cannot unmarshal into Go struct field .LockDelay of type time.Duration");
  }
  boost::system::error_code failed;
  const auto number = value.to_number<std::int64_t>(failed);
  if (failed) return fail(ErrorCode::InvalidArgument, "LockDelay: not a whole number");
  constexpr std::int64_t kSecondsBelow = 1000;
  return number < kSecondsBelow ? Duration(std::chrono::seconds(number)) : Duration(number);
}

Result<void> decode_service_checks(const json::value& value, pb::Session& out) {
  if (!value.is_array()) {
    return fail(ErrorCode::InvalidArgument,
                "json: cannot unmarshal into Go struct field .ServiceChecks of type array");
  }
  for (const auto& item : value.get_array()) {
    if (item.is_string()) {
      out.add_service_checks(std::string(item.get_string()));
      continue;
    }
    std::string id;
    ObjectDecoder decoder(item, ".ServiceChecks", UnknownFields::Ignore);
    if (auto done = decoder.field("ID", id).finish(); !done) return done;
    out.add_service_checks(id);
  }
  return {};
}

struct Creation {
  pb::Session session;
  std::string datacenter;
  std::string ttl;
};

Result<Creation> decode_creation(const json::value& value) {
  Creation out;
  auto& session = out.session;
  Duration delay = kDefaultLockDelay;
  std::vector<std::string> checks;
  std::vector<std::string> node_checks = {"serfHealth"};
  ObjectDecoder decoder(value, "", UnknownFields::Ignore);
  decoder.field("Name", *session.mutable_name())
      .field("Node", *session.mutable_node())
      .field("Behavior", *session.mutable_behavior())
      .field("TTL", out.ttl)
      .field("Datacenter", out.datacenter)
      .field("Checks", checks)
      .field("NodeChecks", node_checks);
  decoder.field("LockDelay", [&](const json::value& inner, const std::string&) {
    auto given = decode_lock_delay(inner);
    if (given) delay = *given;
    return given ? Result<void>() : Result<void>(given.error());
  });
  decoder.field("ServiceChecks", [&](const json::value& inner, const std::string&) {
    return decode_service_checks(inner, session);
  });
  if (auto done = decoder.finish(); !done) {
    return fail(done.error().code, "Request decode failed: " + done.error().message);
  }
  for (const auto& check : node_checks) session.add_node_checks(check);
  for (const auto& check : checks) {
    const auto known = std::find(node_checks.begin(), node_checks.end(), check);
    if (known == node_checks.end()) session.add_node_checks(check);
  }
  session.set_lock_delay_ns(std::clamp(delay, Duration::zero(), kLongestLockDelay).count());
  return out;
}

// What Consul refuses before it proposes; empty if all is well.
std::string objection(Creation& creation, Duration shortest) {
  auto& session = creation.session;
  const auto& behavior = session.behavior();
  if (!behavior.empty() && behavior != "release" && behavior != "delete") {
    return "Invalid Behavior setting '" + behavior + "'";
  }
  if (creation.ttl.empty()) return {};
  auto ttl = parse_duration(creation.ttl);
  if (!ttl) return "Session TTL '" + creation.ttl + "' invalid: " + ttl.error().message;
  if (*ttl != Duration::zero() && (*ttl < shortest || *ttl > kLongestTtl)) {
    return "Invalid Session TTL '" + std::to_string(ttl->count()) + "', must be between [" +
           format_duration(shortest) + "=" + format_duration(kLongestTtl) + "]";
  }
  session.set_ttl(creation.ttl);
  session.set_ttl_ns(ttl->count());
  return {};
}

void create(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  json::value body;
  if (!call->request().body.empty()) {
    auto given = call->body_json();
    if (!given) return call->error(given.error());
    body = std::move(*given);
  }
  auto creation = decode_creation(body);
  if (!creation) return call->error(creation.error());
  if (refuse_datacenter(*call, creation->datacenter, context.options)) return;
  auto refused = objection(*creation, context.server.options().session_ttl_min);
  if (!refused.empty()) return call->text(500, std::move(refused));
  auto& session = creation->session;
  if (session.node().empty()) session.set_node(asked_node(context, *call));
  if (session.behavior().empty()) session.set_behavior("release");
  session.set_id(make_uuid());
  const std::string id = session.id();
  pb::Command command;
  *command.mutable_session_create()->mutable_session() = std::move(session);
  context.writes.submit(call, std::move(command),
                        [id](const io::HttpCall& answered, const ApplyResult&) {
                          std::string out;
                          JsonWriter(out).begin_object().key("ID").string(id).end_object();
                          answered.json(std::move(out));
                        });
}

// The session of the path; answers and returns false if there is none that could exist.
bool require_session(ApiContext& context, const io::HttpCall& call) {
  if (refuse_datacenter(call, context.options) || refuse_namespace(call)) return false;
  if (!require_tail(call, "Missing session")) return false;
  if (call.tail().size() == 36) return true;
  call.text(500, std::string(kBadId));
  return false;
}

void destroy(ApiContext& context, const io::HttpCallPtr& call) {
  if (!require_session(context, *call)) return;
  pb::Command command;
  command.mutable_session_destroy()->set_id(to_lower(call->tail()));
  context.writes.submit(call, std::move(command));
}

void renew(ApiContext& context, const io::HttpCallPtr& call) {
  if (!require_session(context, *call)) return;
  const auto id = to_lower(call->tail());
  context.server.renew_session(id, [call, id](Result<SessionRow> renewed) {
    if (!renewed && renewed.error().code != ErrorCode::NotFound) {
      return answer_error(*call, renewed.error());
    }
    if (!renewed || !*renewed) {
      return call->text(404, "Session id '" + id + "' not found");
    }
    call->json(*render_sessions({*renewed}).body);
  });
}

ReadPlan sessions_plan(CacheKey key, Topic topic,
                       std::function<std::vector<SessionRow>(const StateStore&)> rows) {
  ReadPlan plan;
  plan.key = key.take();
  plan.topics = {std::move(topic)};
  plan.fetch = [rows = std::move(rows)](const StateStore& store) -> Render {
    return [found = rows(store)] { return render_sessions(found); };
  };
  return plan;
}

void info(ApiContext& context, const io::HttpCallPtr& call) {
  if (!require_session(context, *call)) return;
  const auto id = to_lower(call->tail());
  auto plan = sessions_plan(std::move(CacheKey("session/info").add(id)), {TopicKind::Session, id},
                            [id](const StateStore& store) {
                              std::vector<SessionRow> rows;
                              if (auto row = store.session(id)) rows.push_back(std::move(row));
                              return rows;
                            });
  plan.kept = false;
  context.reads.serve(call, std::move(plan));
}

void list(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  context.reads.serve(call,
                      sessions_plan(CacheKey("session/list"), {TopicKind::Sessions, ""},
                                    [](const StateStore& store) { return store.sessions().rows; }));
}

void of_node(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing node name")) return;
  const auto name = to_lower(call->tail());
  context.reads.serve(
      call,
      sessions_plan(std::move(CacheKey("session/node").add(name)), {TopicKind::NodeSessions, name},
                    [name](const StateStore& store) { return store.node_sessions(name).rows; }));
}

}  // namespace

void add_session_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](std::string_view method, std::string_view path, auto handler) {
    router.add(method, path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  add("PUT", "/v1/session/create", create);
  add("PUT", "/v1/session/destroy/", destroy);
  add("PUT", "/v1/session/renew/", renew);
  add("GET", "/v1/session/info/", info);
  add("GET", "/v1/session/node/", of_node);
  add("GET", "/v1/session/list", list);
}

}  // namespace fyr::server
