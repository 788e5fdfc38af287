#include "app/run_agent.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "agent/agent.h"
#include "agent/server_picker.h"
#include "agent/swim/membership.h"
#include "app/cli/commands.h"
#include "app/dns_parts.h"
#include "app/endpoint_source_agent.h"
#include "app/http_front.h"
#include "app/identity.h"
#include "app/run_server.h"
#include "base/log.h"
#include "base/random.h"
#include "proxy/proxy.h"

namespace fyr::app {
namespace {

// `server`: null on agents.
std::map<std::string, std::string> member_tags(const Settings& s, const Identity& identity,
                                               ServerHalf* server) {
  std::map<std::string, std::string> tags = {
      {"role", s.server ? "consul" : "node"},
      {"dc", s.datacenter},
      {"id", identity.node_id()},
      {"build", std::string(kConsulVersion) + ":fyr" + kVersion},
      {"vsn", "2"},
      {"vsn_min", "2"},
      {"vsn_max", "3"},
      {"segment", ""},
  };
  if (const auto site = s.node_meta.find("site"); site != s.node_meta.end())
    tags["site"] = site->second;
  if (s.server) {
    tags["port"] = std::to_string(s.server_port);
    tags["rpc_addr"] =
        HostPort{s.advertise_address, static_cast<std::uint16_t>(s.server_port)}.to_string();
    tags["raft_vsn"] = "3";
    if (s.bootstrap) tags["bootstrap"] = "1";
    if (s.bootstrap_expect > 0) tags["expect"] = std::to_string(s.bootstrap_expect);
    if (s.read_replica) tags["read_replica"] = "1";
    if (s.witness) tags["witness"] = "1";
    tags["leader_priority"] = std::to_string(s.leader_priority);
    tags["wan_join_port"] = std::to_string(s.serf_wan_port);
    for (auto& [name, value] : server->raft_tags()) tags[name] = std::move(value);
  }
  return tags;
}

agent::MembershipOptions membership_options(const Settings& s, const Identity& identity,
                                            ServerHalf* server) {
  agent::MembershipOptions options;
  options.name = s.node_name;
  options.bind = {s.bind_address, static_cast<std::uint16_t>(s.serf_lan_port)};
  options.advertise_address = s.advertise_address;
  options.tags = member_tags(s, identity, server);
  options.cluster = s.datacenter;
  options.seed = Random::from_system().next();
  return options;
}

agent::AgentOptions agent_options(const Settings& s, const Identity& identity) {
  agent::AgentOptions options;
  options.node_name = s.node_name;
  options.node_id = identity.node_id();
  options.datacenter = s.datacenter;
  options.node_meta = s.node_meta;
  if (!s.data_dir.empty()) options.data_dir = identity.data_dir();
  options.advertise_address = s.advertise_address;
  options.server = s.server;
  options.server_port = static_cast<std::uint16_t>(s.server_port);
  options.serf_port = static_cast<std::uint16_t>(s.serf_lan_port);
  options.enable_script_checks = s.enable_script_checks;
  options.enable_local_script_checks = s.enable_local_script_checks;
  options.check_update_interval = s.check_update_interval;
  options.check_output_max_size = static_cast<std::size_t>(s.check_output_max_size);
  options.discard_check_output = s.discard_check_output;
  options.rpc_hold_timeout = s.rpc_hold_timeout;
  options.router = router_options(s);
  options.version = kConsulVersion;
  options.debug_config_json = debug_config_json(s);
  return options;
}

// Addresses with the gossip port filled in; the first bad one is named.
Result<std::vector<HostPort>> join_addresses(const std::vector<std::string>& texts, int port,
                                             const char* key) {
  std::vector<HostPort> out;
  for (const auto& text : texts) {
    auto parsed = parse_host_port(text, static_cast<std::uint16_t>(port));
    if (!parsed)
      return fail(ErrorCode::InvalidArgument, std::string(key) + ": " + parsed.error().message);
    out.push_back(*parsed);
  }
  return out;
}

// Processors this process may run on: threads beyond that only take turns.
int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

struct RunningAgent::Impl {
  Settings settings;
  std::vector<std::string> arguments;
  std::unique_ptr<Identity> identity;
  std::unique_ptr<io::Runtime> runtime;
  std::unique_ptr<ServerHalf> server;
  std::unique_ptr<agent::Membership> membership;
  std::shared_ptr<agent::ChannelSource> channels;
  std::unique_ptr<agent::Agent> agent;
  std::unique_ptr<proxy::EndpointSource> endpoints;
  std::unique_ptr<proxy::Proxy> proxy;
  std::unique_ptr<DnsParts> dns;
  std::unique_ptr<HttpFront> http;
  std::atomic<bool> stopped{false};

  Result<void> open(DecodedDefinitions definitions, std::function<void()> request_exit);
  Result<void> open_membership();
  Result<void> open_agent(agent::Definitions definitions, std::function<void()> request_exit);
  Result<void> open_front(proxy::ProxyConfig proxy_config);
  Result<agent::Definitions> read_definitions();
  void stop();
};

Result<void> RunningAgent::Impl::open_membership() {
  auto opened =
      agent::Membership::open(*runtime, membership_options(settings, *identity, server.get()));
  if (!opened) return opened.error();
  membership = std::move(*opened);
  if (server) server->follow(*membership);
  auto joins = join_addresses(settings.start_join, settings.serf_lan_port, "start_join");
  if (!joins) return joins.error();
  auto retry = join_addresses(settings.retry_join, settings.serf_lan_port, "retry_join");
  if (!retry) return retry.error();
  joins->insert(joins->end(), retry->begin(), retry->end());
  if (!joins->empty()) membership->keep_joining(std::move(*joins));
  return {};
}

Result<void> RunningAgent::Impl::open_agent(agent::Definitions definitions,
                                            std::function<void()> request_exit) {
  if (server) {
    channels = agent::make_fixed_channel_source(server->rpc().in_process_channel());
  } else {
    agent::ServerPickerOptions picker;
    picker.datacenter = settings.datacenter;
    picker.seed = Random::from_system().next();
    if (const auto site = settings.node_meta.find("site"); site != settings.node_meta.end())
      picker.site = site->second;
    channels = agent::ServerPicker::make(std::move(picker), membership.get());
  }
  agent::AgentParts parts;
  parts.runtime = runtime.get();
  parts.membership = membership.get();
  parts.servers = channels;
  parts.reload = [this] { return read_definitions(); };
  parts.leave = std::move(request_exit);
  if (server) parts.stats_json = [half = server.get()] { return half->stats_json(); };
  auto opened = agent::Agent::open(agent_options(settings, *identity), std::move(parts),
                                   std::move(definitions));
  if (!opened) return opened.error();
  agent = std::move(*opened);
  agent->start();
  return {};
}

Result<void> RunningAgent::Impl::open_front(proxy::ProxyConfig proxy_config) {
  endpoints = make_agent_endpoint_source(agent->watch());
  auto made = proxy::Proxy::create(*runtime, *endpoints, std::move(proxy_config));
  if (!made) return made.error();
  proxy = std::move(*made);
  if (auto started = proxy->start(); !started) return started.error();
  auto dns_opened =
      DnsParts::open(settings, *runtime, server ? &server->server() : nullptr, *agent, *membership);
  if (!dns_opened) return dns_opened.error();
  dns = std::move(*dns_opened);
  auto http_opened =
      HttpFront::open(settings, *runtime, *agent, server ? &server->api() : nullptr, *proxy);
  if (!http_opened) return http_opened.error();
  http = std::move(*http_opened);
  return {};
}

Result<void> RunningAgent::Impl::open(DecodedDefinitions definitions,
                                      std::function<void()> request_exit) {
  auto opened = Identity::open(settings);
  if (!opened) return opened.error();
  identity = std::move(*opened);
  const int threads = static_cast<int>(std::clamp(usable_processors(), 1, 4));
  runtime = std::make_unique<io::Runtime>(threads);
  runtime->start();
  if (settings.server) {
    auto half = ServerHalf::open(settings, *identity, *runtime);
    if (!half) return half.error();
    server = std::move(*half);
  }
  if (auto done = open_membership(); !done) return done.error();
  if (auto done = open_agent(std::move(definitions.agent), std::move(request_exit)); !done)
    return done.error();
  return open_front(std::move(definitions.proxy));
}

// The files as they are now, and whatever of them takes effect without a restart.
Result<agent::Definitions> RunningAgent::Impl::read_definitions() {
  LoadedAll loaded = load_all(load_settings(arguments));
  if (!loaded.errors.empty()) {
    std::string text;
    for (const auto& error : loaded.errors) text += (text.empty() ? "" : "; ") + error;
    return fail(ErrorCode::InvalidArgument, text);
  }
  if (dns)
    if (auto done = dns->reload(loaded.settings); !done) return done.error();
  log::Level level{};
  if (log::parse_level(loaded.settings.log_level, level)) log::set_level(level);
  return std::move(loaded.definitions.agent);
}

void RunningAgent::Impl::stop() {
  if (stopped.exchange(true)) return;
  // While everything still serves.
  if (server) server->hand_over();
  if (http) http->stop();
  if (dns) dns->stop();
  if (proxy) proxy->stop();
  if (agent) agent->stop();
  if (membership) membership->stop();
  if (server) server->stop();
  if (runtime) runtime->stop();
}

RunningAgent::RunningAgent() : impl_(std::make_unique<Impl>()) {}

RunningAgent::~RunningAgent() {
  stop();
}

Result<std::unique_ptr<RunningAgent>> RunningAgent::start(LoadedAll loaded,
                                                          std::vector<std::string> arguments,
                                                          std::function<void()> request_exit) {
  std::unique_ptr<RunningAgent> self(new RunningAgent);
  self->impl_->settings = std::move(loaded.settings);
  self->impl_->arguments = std::move(arguments);
  auto opened = self->impl_->open(std::move(loaded.definitions), std::move(request_exit));
  if (!opened) return opened.error();
  return self;
}

Result<void> RunningAgent::reload() {
  auto definitions = impl_->read_definitions();
  if (!definitions) return definitions.error();
  return impl_->agent->reload(std::move(*definitions));
}

void RunningAgent::leave(std::function<void()> done) {
  impl_->agent->deregister_node(
      [this, done = std::move(done)]() mutable { impl_->membership->leave(std::move(done)); });
}

void RunningAgent::stop() {
  impl_->stop();
}

}  // namespace fyr::app
