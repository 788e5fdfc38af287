// Members, joining and leaving, reload, the log as a stream.
#include <algorithm>
#include <atomic>

#include "agent/api/context.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "base/net_address.h"

namespace fyr::agent {

namespace {

constexpr std::uint16_t kGossipPort = 8301;
constexpr int kMaxMonitors = 64;

using io::HttpCallPtr;

// ---- members -----------------------------------------------------------------------------------

bool is_server(const Member& member) {
  const auto role = member.tags.find("role");
  return role != member.tags.end() && role->second == "consul";
}

void list_members(ApiContext& context, const HttpCallPtr& call) {
  const std::string_view segment = call->query().get("segment");
  if (!segment.empty() && segment != "_all") {
    return call->text(500, "Network segments are not supported in this version of Consul");
  }
  const bool wan = call->query().has("wan");
  std::string out = "[";
  if (context.parts.membership) {
    for (const Member& member : context.parts.membership->members()) {
      if (wan && (!context.options.server || !is_server(member))) continue;
      if (out.size() > 1) out += ',';
      JsonWriter writer(out);
      append_member(writer, member,
                    wan ? member.name + "." + context.options.datacenter : member.name);
    }
  }
  call->json(out + "]");
}

void join(ApiContext& context, const HttpCallPtr& call) {
  auto address = parse_host_port(call->tail(), kGossipPort);
  if (!address) return call->text(500, "Failed to join: " + address.error().message);
  if (call->query().has("wan") || !context.parts.membership) {
    return call->text(500, "This agent has no other data centre to join");
  }
  context.parts.membership->join({*address}, [call](const Result<int>& joined) {
    if (!joined) {
      return call->text(500, "Failed to join " + call->tail() + ": " + joined.error().message);
    }
    answer(*call, {});
  });
}

void force_leave(ApiContext& context, const HttpCallPtr& call) {
  const std::string& name = call->tail();
  const bool known = context.parts.membership && !name.empty() && [&] {
    const auto members = context.parts.membership->members();
    return std::any_of(members.begin(), members.end(),
                       [&](const Member& member) { return member.name == name; });
  }();
  if (!known) return call->text(500, "agent: No node found with name '" + name + "'");
  const auto done = context.parts.membership->force_leave(name, call->query().has("prune"));
  if (!done) return call->text(500, done.error().message);
  answer(*call, {});
}

void leave(ApiContext& context, const HttpCallPtr& call) {
  answer(*call, {});
  if (context.parts.leave) context.parts.leave();
}

void reload(ApiContext& context, const HttpCallPtr& call) {
  // Reading files takes its time: neither on an io thread nor on the agent's.
  context.runtime.post(1, [&context, call] {
    const auto done = context.reload();
    if (!done) return call->text(500, done.error().message);
    answer(*call, {});
  });
}

// ---- monitor -----------------------------------------------------------------------------------

struct Monitor {
  std::shared_ptr<io::HttpExchange> exchange;
  log::Level level = log::Level::Info;
  bool json = false;
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> tap{0};

  void line(std::string_view text) {
    if (over) return;
    std::string out;
    if (json) {
      JsonWriter writer(out);
      writer.begin_object().key("@message").string(text).end_object();
    } else {
      out = text;
    }
    out += '\n';
    exchange->write_chunk(std::move(out));  // too slow a reader misses lines
  }
};

std::atomic<int> monitors{0};

void monitor(const ApiContext&, const HttpCallPtr& call) {
  auto self = std::make_shared<Monitor>();
  const std::string_view level = call->query().get("loglevel");
  if (!level.empty() && !log::parse_level(level, self->level)) {
    return call->text(400, "Unknown log level: " + std::string(level));
  }
  if (monitors.fetch_add(1) >= kMaxMonitors) {
    monitors.fetch_sub(1);
    return call->text(429, "too many monitors");
  }
  self->json = call->query().has("logjson");
  self->exchange = call->exchange();
  io::HttpResponse head = io::HttpResponse::text(200, "");
  head.body = nullptr;
  self->exchange->on_abandoned([self] {
    if (self->over.exchange(true)) return;
    monitors.fetch_sub(1);
    log::remove_tap(self->tap);
  });
  self->exchange->begin_stream(std::move(head));
  self->tap = log::add_tap(
      [weak = std::weak_ptr(self)](log::Level, std::string_view text) {
        if (const auto live = weak.lock()) live->line(text);
      },
      self->level);
  if (self->over) log::remove_tap(self->tap);
}

}  // namespace

void add_cluster_routes(io::HttpRouter& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* path, auto handler) {
    router.add(method, path,
               [&context, handler](const HttpCallPtr& call) { handler(context, call); });
  };
  add("GET", "/v1/agent/members", list_members);
  add("PUT", "/v1/agent/join/", join);
  add("PUT", "/v1/agent/force-leave/", force_leave);
  add("PUT", "/v1/agent/leave", leave);
  add("PUT", "/v1/agent/reload", reload);
  add("GET", "/v1/agent/monitor", monitor);
  router.add("PUT", "/v1/agent/token/",
             [](const HttpCallPtr& call) { call->text(401, "ACL support disabled"); });
}

}  // namespace fyr::agent
