// /v1/operator/*: the members of the cluster and who looks after them. What only the leader knows
// or does is answered there, whichever server was asked.
#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "raft/configuration.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

// Runs `handler` here if this server leads, else sends the request to the leader.
template <class F>
void at_leader(ApiContext& context, const io::HttpCallPtr& call, F&& handler) {
  if (refuse_datacenter(*call, context.options)) return;
  const bool sent =
      context.server.forward_to_leader(call->request(), [call](Result<io::HttpResponse> answer) {
        if (!answer) return answer_error(*call, answer.error());
        call->respond(std::move(*answer));
      });
  if (!sent) handler();
}

// Waits until local state may answer a read of this consistency.
template <class F>
void when_readable(ApiContext& context, const io::HttpCallPtr& call, F handler) {
  if (refuse_datacenter(*call, context.options)) return;
  const auto mode = call->query().has("stale") ? Consistency::Stale : Consistency::Default;
  if (context.server.try_read(mode)) return handler();
  context.server.wait_read(mode, [call, handler](Result<ReadStamp> stamp) {
    if (!stamp) return answer_error(*call, stamp.error());
    handler();
  });
}

// The words by which clients know a server: its node's UUID, or our own id while the catalog has
// none.
std::string shown_id(const Server& server, const raft::Member& member) {
  const NodeRow node =
      server.read([&](const StateStore& store) { return store.node(member.name); });
  return node && !node->id().empty() ? node->id() : raft::to_text(member.id);
}

void raft_configuration(ApiContext& context, const io::HttpCallPtr& call) {
  Server& server = context.server;
  const raft::Configuration members = server.raft_node().members();
  const LeaderInfo leader = server.leader();
  std::string body;
  JsonWriter out(body);
  out.begin_object().key("Servers").begin_array();
  for (const raft::Member& member : members.members) {
    out.begin_object();
    out.key("ID").string(shown_id(server, member));
    out.key("Node").string(member.name);
    out.key("Address").string(member.address);
    out.key("Leader").boolean(leader.known && member.id == leader.id);
    out.key("ProtocolVersion").string("3");
    out.key("Voter").boolean(members.is_voter(member.id));
    out.end_object();
  }
  out.end_array();
  out.key("Index").number(std::uint64_t{0});
  out.end_object();
  call->json(std::move(body));
}

void finish_change(const io::HttpCallPtr& call, const Result<void>& done) {
  if (done) return call->text(200, "");
  call->text(500, done.error().message);
}

void remove_peer(ApiContext& context, const io::HttpCallPtr& call) {
  const auto& query = call->query();
  const std::string id(query.get("id")), address(query.get("address"));
  if (id.empty() && address.empty()) {
    return call->text(400,
                      "Bad request: Must specify either ?id with the server's ID or ?address with "
                      "IP:port of peer to remove");
  }
  if (!id.empty() && !address.empty()) {
    return call->text(400, "Bad request: Must specify only one of ?id or ?address");
  }
  const raft::Configuration members = context.server.raft_node().members();
  const auto found = std::ranges::find_if(members.members, [&](const raft::Member& member) {
    if (!address.empty()) return member.address == address;
    return shown_id(context.server, member) == id || raft::to_text(member.id) == id;
  });
  if (found == members.members.end()) {
    const std::string what = id.empty() ? "address \"" + address : "id \"" + id;
    return call->text(500, what + "\" was not found in the Raft configuration");
  }
  raft::ConfigChange change;
  change.remove.push_back(found->id);
  context.server.raft_node().change_members(
      std::move(change), [call](Result<void> done) { finish_change(call, done); });
}

void transfer_leader(ApiContext& context, const io::HttpCallPtr& call) {
  const std::string id(call->query().get("id"));
  raft::NodeId to{};
  if (!id.empty()) {
    const raft::Configuration members = context.server.raft_node().members();
    const auto found = std::ranges::find_if(members.members, [&](const raft::Member& member) {
      return shown_id(context.server, member) == id || raft::to_text(member.id) == id;
    });
    if (found == members.members.end()) {
      return call->text(404, "id \"" + id + "\" was not found in the Raft configuration");
    }
    to = found->id;
  }
  context.server.raft_node().transfer_leadership(to, [call](Result<void> done) {
    if (!done) return call->text(500, done.error().message);
    call->json("{\"Success\":true}");
  });
}

void autopilot_configuration(ApiContext& context, const io::HttpCallPtr& call) {
  const AutopilotRow row =
      context.server.read([](const StateStore& store) { return store.autopilot(); });
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  out.key("CleanupDeadServers").boolean(row->cleanup_dead_servers());
  out.key("LastContactThreshold")
      .string(format_duration(Duration(row->last_contact_threshold_ns())));
  out.key("MaxTrailingLogs").number(row->max_trailing_logs());
  out.key("MinQuorum").number(std::uint64_t{row->min_quorum()});
  out.key("ServerStabilizationTime")
      .string(format_duration(Duration(row->server_stabilization_ns())));
  out.key("RedundancyZoneTag").string(row->redundancy_zone_tag());
  out.key("DisableUpgradeMigration").boolean(row->disable_upgrade_migration());
  out.key("UpgradeVersionTag").string(row->upgrade_version_tag());
  out.key("CreateIndex").number(row->create_index());
  out.key("ModifyIndex").number(row->modify_index());
  out.end_object();
  call->json(std::move(body));
}

// Fields that are not given have the values of a new cluster, as in Consul.
Result<pb::AutopilotConfig> decode_autopilot(const boost::json::value& body) {
  pb::AutopilotConfig out;
  bool cleanup = true;
  bool disable_upgrade = false;
  Duration threshold = std::chrono::milliseconds(200);
  Duration stabilization = std::chrono::seconds(10);
  std::uint64_t trailing = 250, quorum = 0;
  ObjectDecoder decoder(body, "");
  decoder.field("CleanupDeadServers", cleanup)
      .field("LastContactThreshold", threshold)
      .field("MaxTrailingLogs", trailing)
      .field("MinQuorum", quorum)
      .field("ServerStabilizationTime", stabilization)
      .field("RedundancyZoneTag", *out.mutable_redundancy_zone_tag())
      .field("DisableUpgradeMigration", disable_upgrade)
      .field("UpgradeVersionTag", *out.mutable_upgrade_version_tag())
      .ignore("CreateIndex")
      .ignore("ModifyIndex");
  if (auto done = decoder.finish(); !done) return done.error();
  constexpr std::uint64_t kMostServers = 1000;
  if (quorum > kMostServers) return fail(ErrorCode::InvalidArgument, "MinQuorum: too large");
  if (threshold < Duration::zero() || stabilization < Duration::zero()) {
    return fail(ErrorCode::InvalidArgument, "durations must not be negative");
  }
  out.set_cleanup_dead_servers(cleanup);
  out.set_last_contact_threshold_ns(threshold.count());
  out.set_max_trailing_logs(trailing);
  out.set_min_quorum(static_cast<std::uint32_t>(quorum));
  out.set_server_stabilization_ns(stabilization.count());
  out.set_disable_upgrade_migration(disable_upgrade);
  return out;
}

void set_autopilot_configuration(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options)) return;
  auto body = call->body_json();
  if (!body) return call->text(400, "Bad request: " + body.error().message);
  auto config = decode_autopilot(*body);
  if (!config) {
    return call->text(400,
                      "Bad request: Error parsing autopilot config: " + config.error().message);
  }
  pb::Command command;
  auto& set = *command.mutable_autopilot_set();
  if (const auto text = call->query().get("cas"); call->query().has("cas")) {
    std::uint64_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    if (error != std::errc() || end != text.data() + text.size()) {
      return call->text(400, "Bad request: Error parsing cas value: \"" + std::string(text) +
                                 "\" is not a number");
    }
    set.set_cas(true);
    config->set_modify_index(index);
  }
  *set.mutable_config() = std::move(*config);
  context.writes.submit(call, std::move(command));
}

struct Facts {
  std::vector<ServerHealth> servers;
  std::size_t tolerance = 0;
  bool healthy = true;
  Instant now = fyr::now();
  WallTime wall = wall_now();
  raft::Status raft;
};

Facts collect(Server& server) {
  Facts facts;
  facts.servers = server.server_health();
  facts.tolerance = server.failure_tolerance();
  facts.healthy = !facts.servers.empty() &&
                  std::ranges::all_of(facts.servers, [](const auto& s) { return s.healthy; });
  facts.raft = server.raft_status();
  return facts;
}

std::string version_of(const Server& server, const raft::Member& member) {
  const auto rows =
      server.read([](const StateStore& store) { return store.service_nodes("consul").rows; });
  for (const ServiceNode& row : rows) {
    if (row.node->name() != member.name) continue;
    for (const auto& pair : row.service->meta()) {
      if (pair.key() == "version") return pair.value();
    }
  }
  return {};
}

void write_server(JsonWriter& out, const Server& server, const Facts& facts,
                  const ServerHealth& health) {
  out.key("ID").string(shown_id(server, health.member));
  out.key("Name").string(health.member.name);
  out.key("Address").string(health.member.address);
  out.key("SerfStatus").string(health.alive ? "alive" : "failed");
  out.key("Version").string(version_of(server, health.member));
  out.key("Leader").boolean(health.leader);
  const Duration contact = std::min<Duration>(health.last_contact, std::chrono::hours(24 * 365));
  out.key("LastContact").string(health.leader ? "0s" : format_duration(contact));
  out.key("LastTerm").number(facts.raft.term.value);
  out.key("LastIndex").number(health.match.value);
  out.key("Healthy").boolean(health.healthy);
  out.key("Voter").boolean(health.voter);
  out.key("StableSince").string(format_time(facts.wall - (facts.now - health.stable_since)));
}

void autopilot_health(ApiContext& context, const io::HttpCallPtr& call) {
  const Facts facts = collect(context.server);
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  out.key("Healthy").boolean(facts.healthy);
  out.key("FailureTolerance").number(std::uint64_t{facts.tolerance});
  out.key("Servers").begin_array();
  for (const ServerHealth& health : facts.servers) {
    out.begin_object();
    write_server(out, context.server, facts, health);
    out.end_object();
  }
  out.end_array().end_object();
  io::HttpResponse response = io::HttpResponse::json(std::move(body));
  // Consul's word for "look at the body": monitors probe the status.
  if (!facts.healthy) response.status = 429;
  call->respond(std::move(response));
}

void autopilot_state(ApiContext& context, const io::HttpCallPtr& call) {
  const Facts facts = collect(context.server);
  std::string body;
  JsonWriter out(body);
  out.begin_object();
  out.key("Healthy").boolean(facts.healthy);
  out.key("FailureTolerance").number(std::uint64_t{facts.tolerance});
  out.key("OptimisticFailureTolerance").number(std::uint64_t{facts.tolerance});
  out.key("Servers").begin_object();
  std::string leader;
  std::vector<std::string> voters;
  for (const ServerHealth& health : facts.servers) {
    const std::string id = shown_id(context.server, health.member);
    out.key(id).begin_object();
    write_server(out, context.server, facts, health);
    out.key("NodeStatus").string(health.alive ? "alive" : "failed");
    out.key("Status").string(health.leader ? "leader" : health.voter ? "voter" : "non-voter");
    out.end_object();
    if (health.leader) leader = id;
    if (health.voter) voters.push_back(id);
  }
  out.end_object();
  out.key("Leader").string(leader);
  out.key("Voters").begin_array();
  for (const auto& id : voters) out.string(id);
  out.end_array().end_object();
  call->json(std::move(body));
}

}  // namespace

void add_operator_routes(io::HttpRouter& router, ApiContext& context) {
  const auto read = [&](std::string_view path, auto handler) {
    router.add("GET", path, [&context, handler](const io::HttpCallPtr& call) {
      when_readable(context, call, [&context, call, handler] { handler(context, call); });
    });
  };
  const auto at = [&](std::string_view method, std::string_view path, auto handler) {
    router.add(method, path, [&context, handler](const io::HttpCallPtr& call) {
      at_leader(context, call, [&] { handler(context, call); });
    });
  };
  read("/v1/operator/raft/configuration", raft_configuration);
  at("DELETE", "/v1/operator/raft/peer", remove_peer);
  at("POST", "/v1/operator/raft/transfer-leader", transfer_leader);
  at("PUT", "/v1/operator/raft/transfer-leader", transfer_leader);
  read("/v1/operator/autopilot/configuration", autopilot_configuration);
  router.add(
      "PUT", "/v1/operator/autopilot/configuration",
      [&context](const io::HttpCallPtr& call) { set_autopilot_configuration(context, call); });
  at("GET", "/v1/operator/autopilot/health", autopilot_health);
  at("GET", "/v1/operator/autopilot/state", autopilot_state);
}

}  // namespace fyr::server
