// /v1/config: configuration entries by kind and name.
#include <charconv>

#include "base/json.h"
#include "server/api/config_schema.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

using Render = std::function<Rendered()>;

// The entry as it is kept, with its indexes at the end.
void append_entry(std::string& out, const pb::ConfigEntry& entry) {
  const std::string& json = entry.json();
  out.append(json, 0, json.size() - 1);
  out += ",\"CreateIndex\":" + std::to_string(entry.create_index());
  out += ",\"ModifyIndex\":" + std::to_string(entry.modify_index()) + "}";
}

void list(ApiContext& context, const io::HttpCallPtr& call, const std::string& kind) {
  if (!kind.empty() && !is_config_kind(kind)) {
    return call->text(500, "invalid config entry kind: " + kind);
  }
  ReadPlan plan;
  plan.key = CacheKey("config/list").add(kind).take();
  plan.topics = {{TopicKind::ConfigEntries, kind}};
  plan.fetch = [kind](const StateStore& store) -> Render {
    return [rows = store.config_entries(kind).rows] {
      std::string body = "[";
      for (const auto& row : rows) {
        if (body.size() > 1) body += ',';
        append_entry(body, *row);
      }
      return Rendered::json(body + "]");
    };
  };
  context.reads.serve(call, std::move(plan));
}

void show(ApiContext& context, const io::HttpCallPtr& call, const std::string& kind,
          const std::string& name) {
  ReadPlan plan;
  plan.key = CacheKey("config/show").add(kind).add(name).take();
  plan.topics = {{TopicKind::ConfigEntry, kind + "/" + name}};
  plan.fetch = [kind, name](const StateStore& store) -> Render {
    return [row = store.config_entry(kind, name), kind, name] {
      if (!row) {
        Rendered missing;
        missing.status = 404;
        missing.body = std::make_shared<const std::string>("Config entry not found for \"" + kind +
                                                           "\" / \"" + name + "\"");
        return missing;
      }
      std::string body;
      append_entry(body, *row);
      return Rendered::json(std::move(body));
    };
  };
  context.reads.serve(call, std::move(plan));
}

struct Place {
  std::string kind, name;
};
Place place_of(const std::string& tail) {
  const auto slash = tail.find('/');
  if (slash == std::string::npos) return {tail, ""};
  return {tail.substr(0, slash), tail.substr(slash + 1)};
}

void get(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  const Place place = place_of(call->tail());
  if (place.name.empty()) return list(context, call, place.kind);
  show(context, call, place.kind, place.name);
}

// ?cas: true and the index if it is given; answers and returns false if it is no number.
bool read_cas(const io::HttpCall& call, bool& given, StateIndex& index) {
  given = call.query().has("cas");
  if (!given) return true;
  const auto text = call.query().get("cas");
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, index);
  if (error == std::errc() && stop == end) return true;
  call.text(
      400, "Bad request: strconv.ParseUint: parsing \"" + std::string(text) + "\": invalid syntax");
  return false;
}

void put(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  auto body = call->body_json();
  if (!body) return call->text(400, "Bad request: " + body.error().message);
  auto entry = decode_config_entry(*body);
  if (!entry) {
    return call->text(400, "Bad request: Request decoding failed: " + entry.error().message);
  }
  if (const auto good = check_config_entry(*entry); !good) {
    return call->text(500, good.error().message);
  }
  bool cas = false;
  StateIndex index = 0;
  if (!read_cas(*call, cas, index)) return;
  entry->set_modify_index(index);
  pb::Command command;
  command.mutable_config_entry_set()->set_cas(cas);
  *command.mutable_config_entry_set()->mutable_entry() = std::move(*entry);
  context.writes.submit(call, std::move(command));
}

void remove(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
  const Place place = place_of(call->tail());
  if (place.kind.empty() || place.name.empty()) {
    return call->text(404, "Must provide both a kind and name to delete");
  }
  bool cas = false;
  StateIndex index = 0;
  if (!read_cas(*call, cas, index)) return;
  pb::Command command;
  auto& request = *command.mutable_config_entry_delete();
  request.set_kind(place.kind);
  request.set_name(place.name);
  request.set_cas(cas);
  request.set_modify_index(index);
  context.writes.submit(call, std::move(command),
                        [cas](const io::HttpCall& answered, const ApplyResult& result) {
                          answered.json(!cas ? "{}" : result.done ? "true" : "false");
                        });
}

}  // namespace

void add_config_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](std::string_view method, std::string_view path, auto handler) {
    router.add(method, path,
               [&context, handler](const io::HttpCallPtr& call) { handler(context, call); });
  };
  add("PUT", "/v1/config", put);
  add("GET", "/v1/config/", get);
  add("DELETE", "/v1/config/", remove);
}

}  // namespace fyr::server
