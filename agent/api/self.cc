// /v1/agent/self: who this agent is.
#include "agent/api/context.h"

namespace fyr::agent {

namespace {

Member own_member(const ApiContext& context) {
  if (context.parts.membership) {
    for (Member& member : context.parts.membership->members()) {
      if (member.name == context.options.node_name) return member;
    }
  }
  Member member;
  member.name = context.options.node_name;
  member.address = context.options.advertise_address;
  member.port = context.options.serf_port;
  return member;
}

void append_config(JsonWriter& out, const AgentOptions& options) {
  out.begin_object();
  out.key("Datacenter").string(options.datacenter);
  out.key("PrimaryDatacenter").string(options.datacenter);
  out.key("NodeName").string(options.node_name);
  out.key("NodeID").string(options.node_id);
  out.key("Revision").string("fyr");
  out.key("Server").boolean(options.server);
  out.key("Version").string(options.version);
  out.end_object();
}

// No latencies are measured yet: the origin, with the full error of a beginner.
void append_coordinate(JsonWriter& out) {
  out.begin_object();
  out.key("Vec").begin_array();
  for (int i = 0; i < 8; ++i) out.number(0);
  out.end_array();
  out.key("Error").number(1.5);
  out.key("Adjustment").number(0);
  out.key("Height").number(0.00001);
  out.end_object();
}

// "Stats": numbers as text, as Consul has them; on a server what it adds comes first.
std::string stats_of(const ApiContext& context) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  const LocalState::Counts counts = context.state.counts();
  const Sync::Totals& totals = context.sync.totals();
  const auto number = [&](const char* key, std::uint64_t value) {
    writer.key(key).string(std::to_string(value));
  };
  writer.key("agent").begin_object();
  number("checks", context.state.check_count());
  number("services", context.state.service_count());
  number("check_monitors", context.registrar.runner().size());
  number("sync_out_of_sync", counts.out_of_sync);
  number("sync_blocked", counts.blocked);
  number("sync_pushes", totals.pushes);
  number("sync_full_compares", totals.full_compares);
  number("sync_failures", totals.failures);
  writer.end_object();
  writer.key("build").begin_object();
  writer.key("revision").string("fyr");
  writer.key("version").string(context.options.version);
  writer.end_object();
  writer.key("consul").begin_object();
  writer.key("server").string(context.options.server ? "true" : "false");
  writer.end_object();
  writer.end_object();
  if (!context.parts.stats_json) return out;
  const std::string more = context.parts.stats_json();
  if (more.size() <= 2 || more.front() != '{') return out;
  return more.substr(0, more.size() - 1) + "," + out.substr(1);
}

std::string self_json(const ApiContext& context) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("Config");
  append_config(writer, context.options);
  writer.key("DebugConfig").raw(context.options.debug_config_json);
  writer.key("Coord");
  append_coordinate(writer);
  writer.key("Member");
  const Member member = own_member(context);
  append_member(writer, member, member.name);
  writer.key("Stats").raw(stats_of(context));
  writer.key("Meta");
  encode_pairs(writer, context.node.meta(), true);
  writer.end_object();
  return out;
}

}  // namespace

void append_member(JsonWriter& out, const Member& member, const std::string& shown_name) {
  out.begin_object();
  out.key("Name").string(shown_name);
  out.key("Addr").string(member.address);
  out.key("Port").number(static_cast<int>(member.port));
  out.key("Tags").begin_object();
  for (const auto& [key, value] : member.tags) out.key(key).string(value);
  out.end_object();
  out.key("Status").number(to_serf_status(member.state));
  // What Consul 1.10 speaks.
  out.key("ProtocolMin").number(1);
  out.key("ProtocolMax").number(5);
  out.key("ProtocolCur").number(2);
  out.key("DelegateMin").number(2);
  out.key("DelegateMax").number(5);
  out.key("DelegateCur").number(4);
  out.end_object();
}

void add_self_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("GET", "/v1/agent/self", [&context](const io::HttpCallPtr& call) {
    context.on_agent([&context, call] { call->json(self_json(context)); });
  });
}

}  // namespace fyr::agent
