#include "app/run_server.h"

#include <atomic>
#include <charconv>
#include <cstdlib>

#include "app/http_front.h"
#include "base/json.h"
#include "base/log.h"
#include "raft/grpc_transport.h"
#include "server/rpc/leader_client.h"

namespace fyr::app {
namespace {

namespace fs = std::filesystem;

server::ServerOptions server_options(const Settings& settings, const Identity& identity) {
  server::ServerOptions options;
  options.data_dir = identity.data_dir();
  options.datacenter = settings.datacenter;
  options.node_name = settings.node_name;
  options.node_id = identity.node_id();
  options.rpc_address =
      HostPort{settings.advertise_address, static_cast<std::uint16_t>(settings.server_port)}
          .to_string();
  options.bootstrap = settings.bootstrap;
  options.bootstrap_expect = settings.bootstrap_expect;
  if (const auto site = settings.node_meta.find("site"); site != settings.node_meta.end())
    options.site = site->second;
  options.leader_priority = settings.leader_priority;
  options.leader_client = server::make_leader_client();
  options.raft_multiplier = settings.raft_multiplier;
  options.state_check_interval = settings.state_check_interval;
  options.session_ttl_min = settings.session_ttl_min;
  return options;
}

server::ApiOptions api_options(const Settings& settings, const Identity& identity) {
  server::ApiOptions options;
  options.datacenter = settings.datacenter;
  options.default_query_time = settings.default_query_time;
  options.max_query_time = settings.max_query_time;
  options.rpc_hold_timeout = settings.rpc_hold_timeout;
  options.router = router_options(settings);
  auto& schedule = options.snapshot_schedule;
  schedule.interval = settings.snapshot_interval;
  schedule.retain = static_cast<std::size_t>(settings.snapshot_retain);
  schedule.stale = settings.snapshot_stale;
  schedule.directory = settings.snapshot_path.empty() ? identity.data_dir() / "snapshots"
                                                      : fs::path(settings.snapshot_path);
  options.kv_max_value_size = static_cast<std::size_t>(settings.kv_max_value_size);
  return options;
}

const char* role_word(raft::Role role) {
  switch (role) {
    case raft::Role::Leader:
      return "Leader";
    case raft::Role::Candidate:
      return "Candidate";
    case raft::Role::Follower:
      return "Follower";
  }
  return "";
}

std::string tag_of(const agent::Member& member, const char* name) {
  const auto it = member.tags.find(name);
  return it == member.tags.end() ? std::string() : it->second;
}

// `fallback` when there is no such tag or it is no number in 0..255.
int small_number(const agent::Member& member, const char* name, int fallback) {
  const std::string text = tag_of(member, name);
  int value = fallback;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool good = error == std::errc() && end == text.data() + text.size();
  return good && value >= 0 && value <= 255 ? value : fallback;
}

bool is_alive(const agent::Member& member) {
  return member.state == agent::MemberState::Alive || member.state == agent::MemberState::Suspect;
}

// Nothing if the member is no server of this version.
std::optional<server::ServerFact> server_fact(const agent::Member& member) {
  const auto id = raft::node_id_from_text(tag_of(member, "raft_id"));
  if (tag_of(member, "role") != "consul" || !id) return std::nullopt;
  server::ServerFact fact;
  fact.member.id = *id;
  fact.member.name = member.name;
  fact.member.address = tag_of(member, "rpc_addr");
  fact.member.site = tag_of(member, "site");
  fact.member.priority = static_cast<std::uint8_t>(small_number(member, "leader_priority", 100));
  if (!tag_of(member, "witness").empty()) fact.member.kind = raft::MemberKind::Witness;
  if (!tag_of(member, "read_replica").empty()) fact.member.kind = raft::MemberKind::ReadServer;
  fact.expect = small_number(member, "expect", 0);
  fact.in_cluster = !tag_of(member, "raft_cluster").empty();
  fact.alive = is_alive(member);
  fact.left = member.state == agent::MemberState::Left;
  return fact;
}

server::MemberFact member_fact(const agent::Member& member) {
  const auto tag = [&](const char* name) { return tag_of(member, name); };
  server::MemberFact fact;
  fact.name = member.name;
  fact.id = tag("id");
  fact.address = member.address;
  fact.server = tag("role") == "consul";
  const std::string port = tag("port");  // stays 0 when it is no number
  std::from_chars(port.data(), port.data() + port.size(), fact.server_port);
  const std::string build = tag("build");
  fact.version = build.substr(0, build.find(':'));
  fact.datacenter = tag("dc");
  switch (member.state) {
    case agent::MemberState::Alive:
    case agent::MemberState::Suspect:
    case agent::MemberState::Leaving:
      fact.liveness = server::Liveness::Alive;
      break;
    case agent::MemberState::Failed:
      fact.liveness = server::Liveness::Failed;
      break;
    case agent::MemberState::Left:
      fact.liveness = server::Liveness::Left;
      break;
  }
  return fact;
}

}  // namespace

// Keeps the catalog's view of the members: at once on news, and all of them again when we become
// leader and once a minute, in case a write was lost with a former leader.
struct ServerHalf::Follower : std::enable_shared_from_this<Follower> {
  static constexpr Duration kSweep = std::chrono::seconds(60);
  static constexpr Duration kLook = std::chrono::seconds(1);  // at the servers
  static constexpr Duration kLookUnfounded = std::chrono::milliseconds(50);

  Follower(server::Server& s, agent::Membership& m, io::Runtime& r)
      : server(s), membership(m), runtime(r) {}

  void start() {
    membership.on_change([weak = weak_from_this()](const agent::Member& member) {
      auto self = weak.lock();
      if (!self) return;
      self->update(member);
      if (server_fact(member)) self->runtime.post(0, [weak] { look_if_alive(weak); });
    });
    server.on_leadership([weak = weak_from_this()](bool leads) {
      auto self = weak.lock();
      if (self && leads) self->runtime.post(0, [weak] { sweep_if_alive(weak); });
    });
    sweep();
    look();
  }

  static void look_if_alive(const std::weak_ptr<Follower>& weak) {
    if (auto self = weak.lock()) self->look();
  }

  // At who the servers are: for founding a cluster and for the autopilot of a leader.
  void look() {
    if (stopped) return;
    std::vector<server::ServerFact> facts;
    for (const auto& member : membership.members())
      if (auto fact = server_fact(member)) facts.push_back(std::move(*fact));
    server.consider_servers(facts);
    const bool founded = !server.raft_node().members().members.empty();
    look_timer = runtime.schedule(0, founded ? kLook : kLookUnfounded,
                                  [weak = weak_from_this()] { look_if_alive(weak); });
  }

  static void sweep_if_alive(const std::weak_ptr<Follower>& weak) {
    if (auto self = weak.lock()) self->sweep();
  }

  void sweep() {
    if (stopped) return;
    for (const auto& member : membership.members()) update(member);
    timer = runtime.schedule(0, kSweep, [weak = weak_from_this()] { sweep_if_alive(weak); });
  }

  void update(const agent::Member& member) {
    if (stopped || !server.leader().self) return;
    const auto fact = member_fact(member);
    if (fact.liveness == server::Liveness::Left && fact.name == server.options().node_name) return;
    server.reconcile(fact);
  }

  server::Server& server;
  agent::Membership& membership;
  io::Runtime& runtime;
  io::Timer timer, look_timer;
  std::atomic<bool> stopped{false};
};

ServerHalf::ServerHalf() = default;

void ServerHalf::follow(agent::Membership& membership) {
  follower_ = std::make_shared<Follower>(*server_, membership, *runtime_);
  runtime_->post(0, [follower = follower_] { follower->start(); });
}

Result<std::unique_ptr<ServerHalf>> ServerHalf::open(const Settings& settings,
                                                     const Identity& identity,
                                                     io::Runtime& runtime) {
  std::unique_ptr<ServerHalf> self(new ServerHalf);
  self->runtime_ = &runtime;
  auto options = server_options(settings, identity);
  self->transport_ = raft::GrpcTransport::make();
  options.transport = self->transport_;
  auto server = server::Server::open(std::move(options));
  if (!server) return server.error();
  self->server_ = std::move(*server);
  self->api_ =
      std::make_unique<server::Api>(*self->server_, runtime, api_options(settings, identity));

  server::RpcServerOptions rpc_options;
  rpc_options.listen = {{settings.bind_address, static_cast<std::uint16_t>(settings.server_port)}};
  rpc_options.node_name = settings.node_name;
  rpc_options.more = {&self->transport_->service()};
  auto rpc = server::RpcServer::listen(
      std::move(rpc_options), *self->server_, runtime,
      [api = self->api_.get()](std::shared_ptr<io::HttpExchange> exchange) {
        api->handle(std::move(exchange));
      });
  if (!rpc) return rpc.error();
  self->rpc_ = std::move(*rpc);
  return self;
}

std::map<std::string, std::string> ServerHalf::raft_tags() const {
  std::map<std::string, std::string> tags;
  tags["raft_id"] = raft::to_text(server_->raft_node().id());
  if (!server_->raft_node().members().members.empty()) tags["raft_cluster"] = "1";
  return tags;
}

ServerHalf::~ServerHalf() {
  stop();
}

void ServerHalf::stop() {
  if (follower_) follower_->stopped = true;
  // First what waits for changes is answered, agents' forwarded requests too; then Raft and its
  // streams end; the listener goes last.
  if (api_) api_->stop();
  if (server_) server_->stop();
  if (rpc_) rpc_->stop();
}

void ServerHalf::hand_over() {
  constexpr Duration kPatience = std::chrono::seconds(2);
  if (!server_->leader().self || server_->raft_peers().size() < 2) return;
  if (auto done = server_->hand_over(kPatience); !done)
    log::warn("server", "stopping as leader: {}", done.error().message);
}

std::string ServerHalf::stats_json() const {
  const raft::Status status = server_->raft_status();
  std::string out;
  JsonWriter writer(out);
  const auto number = [&](const char* key, std::uint64_t value) {
    writer.key(key).string(std::to_string(value));
  };
  writer.begin_object().key("raft").begin_object();
  writer.key("state").string(role_word(status.role));
  number("term", status.term.value);
  number("commit_index", status.commit.value);
  number("applied_index", status.applied.value);
  number("last_log_index", status.last.value);
  number("num_peers", server_->raft_peers().size() - 1);
  writer.end_object().end_object();
  return out;
}

}  // namespace fyr::app
