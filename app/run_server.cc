#include "app/run_server.h"

#include <atomic>
#include <charconv>
#include <cstdlib>

#include "app/http_front.h"
#include "base/json.h"
#include "base/log.h"

namespace fyr::app {
namespace {

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
  options.raft_multiplier = settings.raft_multiplier;
  options.session_ttl_min = settings.session_ttl_min;
  return options;
}

server::ApiOptions api_options(const Settings& settings) {
  server::ApiOptions options;
  options.datacenter = settings.datacenter;
  options.default_query_time = settings.default_query_time;
  options.max_query_time = settings.max_query_time;
  options.rpc_hold_timeout = settings.rpc_hold_timeout;
  options.router = router_options(settings);
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

server::MemberFact member_fact(const agent::Member& member) {
  const auto tag = [&](const char* name) {
    const auto it = member.tags.find(name);
    return it == member.tags.end() ? std::string() : it->second;
  };
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

  Follower(server::Server& s, agent::Membership& m, io::Runtime& r)
      : server(s), membership(m), runtime(r) {}

  void start() {
    membership.on_change([weak = weak_from_this()](const agent::Member& member) {
      if (auto self = weak.lock()) self->update(member);
    });
    server.on_leadership([weak = weak_from_this()](bool leads) {
      auto self = weak.lock();
      if (self && leads) self->runtime.post(0, [weak] { sweep_if_alive(weak); });
    });
    sweep();
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
  io::Timer timer;
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
  auto server = server::Server::open(server_options(settings, identity));
  if (!server) return server.error();
  self->server_ = std::move(*server);
  self->api_ = std::make_unique<server::Api>(*self->server_, runtime, api_options(settings));

  server::RpcServerOptions rpc_options;
  rpc_options.listen = {{settings.bind_address, static_cast<std::uint16_t>(settings.server_port)}};
  rpc_options.node_name = settings.node_name;
  auto rpc = server::RpcServer::listen(
      std::move(rpc_options), *self->server_, runtime,
      [api = self->api_.get()](std::shared_ptr<io::HttpExchange> exchange) {
        api->handle(std::move(exchange));
      });
  if (!rpc) return rpc.error();
  self->rpc_ = std::move(*rpc);
  return self;
}

ServerHalf::~ServerHalf() {
  stop();
}

void ServerHalf::stop() {
  if (follower_) follower_->stopped = true;
  // First what waits for changes is answered, agents' forwarded requests too; then the listener
  // goes.
  if (api_) api_->stop();
  if (rpc_) rpc_->stop();
  if (server_) server_->stop();
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
