// /v1/kv/*.
#include <charconv>

#include "base/json.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;

Rendered not_found() {
  Rendered out;
  out.status = 404;
  return out;
}

Rendered raw_value(const KvRow& row) {
  Rendered out;
  // Values are anybody's bytes: no browser may guess that they are a page and run it.
  out.headers = {{"Content-Type", "text/plain; charset=utf-8"},
                 {"X-Content-Type-Options", "nosniff"},
                 {"Content-Security-Policy", "sandbox"}};
  out.body = std::shared_ptr<const std::string>(row, &row->value());
  return out;
}

ReadPlan value_plan(const std::string& key, bool raw) {
  ReadPlan plan;
  plan.key = CacheKey("kv/value").add(raw).add(key).take();
  plan.topics = {{TopicKind::KvKey, key}};
  plan.kept = false;
  plan.fetch = [key, raw](const StateStore& store) -> Render {
    return [row = store.kv(key), raw] {
      if (!row) return not_found();
      if (raw) return raw_value(row);
      std::string body;
      JsonWriter out(body);
      out.begin_array();
      encode_kv(out, *row);
      out.end_array();
      return Rendered::json(std::move(body));
    };
  };
  return plan;
}

ReadPlan tree_plan(const std::string& prefix) {
  ReadPlan plan;
  plan.key = CacheKey("kv/tree").add(prefix).take();
  plan.topics = {{TopicKind::KvPrefix, prefix}};
  plan.kept = false;
  plan.fetch = [prefix](const StateStore& store) -> Render {
    return [rows = store.kv_list(prefix).rows] {
      if (rows.empty()) return not_found();
      std::string body;
      JsonWriter out(body);
      out.begin_array();
      for (const auto& row : rows) encode_kv(out, *row);
      out.end_array();
      return Rendered::json(std::move(body));
    };
  };
  return plan;
}

ReadPlan keys_plan(const std::string& prefix, const std::string& separator) {
  ReadPlan plan;
  plan.key = CacheKey("kv/keys").add(prefix).add(separator).take();
  plan.topics = {{TopicKind::KvPrefix, prefix}};
  plan.kept = false;
  plan.fetch = [prefix, separator](const StateStore& store) -> Render {
    return [keys = store.kv_keys(prefix, separator).rows, whole = prefix.empty()] {
      if (keys.empty() && !whole) return not_found();
      std::string body;
      JsonWriter out(body);
      out.begin_array();
      for (const auto& key : keys) out.string(key);
      out.end_array();
      return Rendered::json(std::move(body));
    };
  };
  return plan;
}

void get(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  const auto& query = call->query();
  const auto& key = call->tail();
  if (query.has("keys")) {
    return context.reads.serve(call, keys_plan(key, std::string(query.get("separator"))));
  }
  if (query.has("recurse")) return context.reads.serve(call, tree_plan(key));
  if (!require_tail(*call, "Missing key name")) return;
  context.reads.serve(call, value_plan(key, query.has("raw")));
}

// Go's strconv.ParseUint, whose words are what the client sees. False: answered.
bool parse_number(const io::HttpCall& call, std::string_view name, std::uint64_t& out) {
  const auto text = call.query().get(name);
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  if (error == std::errc() && stop == end) return true;
  const bool too_large = error == std::errc::result_out_of_range && stop == end;
  call.text(500, std::string(name) + ": strconv.ParseUint: parsing \"" + std::string(text) +
                     "\": " + (too_large ? "value out of range" : "invalid syntax"));
  return false;
}

bool refuse_conflict(const io::HttpCall& call, std::initializer_list<std::string_view> modes) {
  int given = 0;
  for (const auto mode : modes) given += call.query().has(mode) ? 1 : 0;
  if (given < 2) return false;
  call.text(400, "Conflicting flags: " + call.request().query);
  return true;
}

void put(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (!require_tail(*call, "Missing key name")) return;
  if (refuse_conflict(*call, {"cas", "acquire", "release"})) return;
  const auto& body = call->request().body;
  const auto limit = context.options.kv_max_value_size;
  if (body.size() > limit) {
    return call->text(413, "Request body(" + std::to_string(body.size()) +
                               " bytes) too large, max size: " + std::to_string(limit) +
                               " bytes. See kv_max_value_size.");
  }
  const auto& query = call->query();
  pb::Command command;
  auto& write = *command.mutable_kv();
  auto& pair = *write.mutable_pair();
  pair.set_key(call->tail());
  pair.set_value(body);
  std::uint64_t number = 0;
  if (!query.get("flags").empty()) {
    if (!parse_number(*call, "flags", number)) return;
    pair.set_flags(number);
  }
  if (query.has("cas")) {
    if (!parse_number(*call, "cas", number)) return;
    pair.set_modify_index(number);
    write.set_verb(pb::KvWrite::CAS);
  } else if (query.has("acquire")) {
    pair.set_session(std::string(query.get("acquire")));
    write.set_verb(pb::KvWrite::LOCK);
  } else if (query.has("release")) {
    pair.set_session(std::string(query.get("release")));
    write.set_verb(pb::KvWrite::UNLOCK);
  }
  context.writes.submit(call, std::move(command));
}

void remove(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  if (refuse_conflict(*call, {"recurse", "cas"})) return;
  const auto& query = call->query();
  pb::Command command;
  auto& write = *command.mutable_kv();
  write.mutable_pair()->set_key(call->tail());
  if (query.has("recurse")) {
    write.set_verb(pb::KvWrite::DELETE_TREE);
    return context.writes.submit(call, std::move(command));
  }
  if (!require_tail(*call, "Missing key name")) return;
  write.set_verb(pb::KvWrite::DELETE);
  if (query.has("cas")) {
    std::uint64_t index = 0;
    if (!parse_number(*call, "cas", index)) return;
    write.mutable_pair()->set_modify_index(index);
    write.set_verb(pb::KvWrite::DELETE_CAS);
  }
  context.writes.submit(call, std::move(command));
}

}  // namespace

void add_kv_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](std::string_view method, auto handler) {
    router.add(method, "/v1/kv/",
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  add("GET", get);
  add("PUT", put);
  add("DELETE", remove);
}

}  // namespace fyr::server
