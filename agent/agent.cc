#include "agent/agent.h"

#include <atomic>
#include <future>
#include <utility>

#include "agent/agent_stub.h"
#include "agent/alias_follower.h"
#include "agent/api/context.h"
#include "agent/events.h"
#include "agent/forward.h"
#include "agent/local/persistence.h"
#include "agent/local/sync.h"
#include "agent/local_waiters.h"
#include "agent/registrar.h"
#include "base/log.h"

namespace fyr::agent {

namespace {

// Threads of the agent's own.
constexpr int kAgentThread = 0;
constexpr Duration kAskTimeout = std::chrono::seconds(5);
constexpr int kDiskThread = 1;
constexpr auto kDeregisterTimeout = std::chrono::seconds(3);

void add_pair(google::protobuf::RepeatedPtrField<pb::Pair>& out, const std::string& key,
              const std::string& value) {
  pb::Pair& pair = *out.Add();
  pair.set_key(key);
  pair.set_value(value);
}

pb::Node make_node(const AgentOptions& options) {
  pb::Node node;
  node.set_id(options.node_id);
  node.set_name(options.node_name);
  node.set_address(options.advertise_address);
  node.set_datacenter(options.datacenter);
  const std::string wan = options.advertise_address_wan.empty() ? options.advertise_address
                                                                : options.advertise_address_wan;
  const auto literal = IpAddress::parse(options.advertise_address);
  const std::string family = literal && literal->v6 ? "ipv6" : "ipv4";
  add_pair(*node.mutable_tagged_addresses(), "lan", options.advertise_address);
  add_pair(*node.mutable_tagged_addresses(), "lan_" + family, options.advertise_address);
  add_pair(*node.mutable_tagged_addresses(), "wan", wan);
  add_pair(*node.mutable_tagged_addresses(), "wan_" + family, wan);
  node.set_has_tagged_addresses(true);
  std::map<std::string, std::string> meta = options.node_meta;
  meta.emplace("consul-network-segment", "");
  set_pairs(*node.mutable_meta(), meta);
  node.set_has_meta(true);
  return node;
}

RegistrationRules make_rules(const AgentOptions& options) {
  RegistrationRules rules;
  rules.node_name = options.node_name;
  rules.scripts_from_api = options.enable_script_checks;
  rules.scripts_from_files = options.enable_script_checks || options.enable_local_script_checks;
  return rules;
}

WatchClientOptions watch_options(const AgentOptions& options) {
  WatchClientOptions out;
  if (!options.data_dir.empty()) out.directory = options.data_dir / "watch";
  out.datacenter = options.datacenter;
  out.idle_expiry = options.watch_idle_expiry;
  return out;
}

SyncOptions sync_options(const AgentOptions& options) {
  SyncOptions out;
  out.output_interval = options.check_update_interval;
  return out;
}

CheckRunnerOptions check_options(const AgentOptions& options) {
  CheckRunnerOptions out;
  out.output_limit = options.check_output_max_size;
  out.discard_output = options.discard_check_output;
  return out;
}

// Greater than any push number of an earlier life, unless the clock went back; then the first full
// comparison tells.
std::uint64_t first_sequence() {
  return static_cast<std::uint64_t>(wall_now().time_since_epoch().count());
}

}  // namespace

struct Agent::Impl {
  Impl(AgentOptions given, AgentParts given_parts, std::shared_ptr<Persistence> disk)
      : options(std::move(given)),
        parts(std::move(given_parts)),
        stub(std::make_shared<AgentStub>(parts.servers)),
        node(make_node(options)),
        state(node, first_sequence()),
        sync(std::make_shared<Sync>(own, kAgentThread, state, *stub, sync_options(options),
                                    Random::from_system())),
        waiters(own, kAgentThread),
        registrar({&own, kAgentThread, kDiskThread, &state, sync.get(), std::move(disk),
                   [this] { changed(); }},
                  check_options(options), Random::from_system(), make_rules(options)),
        aliases(own, kAgentThread, state, registrar.runner(), *stub),
        watch(own, kAgentThread, kDiskThread, parts.servers, watch_options(options)),
        forwarder(std::make_shared<Forwarder>(*parts.runtime, stub, parts.servers,
                                              options.rpc_hold_timeout, options.node_name)),
        router(options.router),
        context{options,
                parts,
                own,
                kAgentThread,
                node,
                state,
                registrar,
                *sync,
                waiters,
                events,
                [this](UserEvent event) { take_event(std::move(event)); },
                [this] { return reload_from_files(); }} {
    add_service_routes(router, context);
    add_check_routes(router, context);
    add_maintenance_routes(router, context);
    add_self_routes(router, context);
    add_cluster_routes(router, context);
    add_event_routes(router, context);
    add_connect_routes(router);
    add_machine_routes(router, context);
  }

  void changed() {
    waiters.changed();
    aliases.local_changed();
  }

  void take_event(UserEvent event) {
    std::vector<NamedService> services;
    for (const LocalService* service : state.services()) {
      services.push_back(
          {service->row.service(), {service->row.tags().begin(), service->row.tags().end()}});
    }
    if (!is_for(event, options.node_name, services)) return;
    events.add(std::move(event));
    waiters.changed();
  }

  Result<void> reload_from_files();
  Result<void> reload(Definitions definitions);
  void start();
  void stop();

  // Runs on the agent's thread and waits for it; not from that thread.
  void call(std::function<void()> task) {
    std::promise<void> done;
    own.post(kAgentThread, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  const AgentOptions options;
  const AgentParts parts;
  io::Runtime own{2};
  const std::shared_ptr<AgentStub> stub;
  const pb::Node node;
  LocalState state;
  const std::shared_ptr<Sync> sync;
  LocalWaiters waiters;
  EventRing events;
  Registrar registrar;
  AliasFollower aliases;
  WatchClient watch;
  const std::shared_ptr<Forwarder> forwarder;
  io::HttpRouter router;
  ApiContext context;
  io::Timer deregister_timer;
  bool started = false;
  std::atomic<bool> stopped{false};
};

Result<void> Agent::Impl::reload_from_files() {
  if (!parts.reload) return {};
  auto definitions = parts.reload();
  if (!definitions) return definitions.error();
  return reload(std::move(*definitions));
}

Result<void> Agent::Impl::reload(Definitions definitions) {
  auto planned = plan_definitions(std::move(definitions.services), std::move(definitions.checks),
                                  make_rules(options));
  if (!planned) return planned.error();
  if (stopped) return fail(ErrorCode::Stopped, "agent is stopping");
  // Should we stop first, the promise goes and with it the waiting.
  auto done = std::make_shared<std::promise<Result<void>>>();
  auto reloaded = done->get_future();
  own.post(kAgentThread, [this, done, definitions_now = std::move(*planned)]() mutable {
    registrar.reload(std::move(definitions_now),
                     [done](const Result<void>& result) { done->set_value(result); });
  });
  done.reset();
  try {
    return reloaded.get();
  } catch (const std::future_error&) {
    return fail(ErrorCode::Stopped, "agent is stopping");
  }
}

void Agent::Impl::start() {
  started = true;
  own.start();
  call([this] {
    registrar.start();
    aliases.start();
    sync->start();
  });
  const auto servers_changed = [weak = std::weak_ptr(sync), runtime = &own,
                                alive = std::weak_ptr(context.alive)] {
    if (alive.expired()) return;
    runtime->post(kAgentThread, [weak] {
      if (const auto live = weak.lock()) live->servers_changed();
    });
  };
  parts.servers->on_change(servers_changed);
  if (!parts.membership) return;
  parts.membership->on_change([this, alive = std::weak_ptr(context.alive)](const Member&) {
    if (alive.expired()) return;
    own.post(kAgentThread,
             [this, size = parts.membership->members().size()] { sync->set_cluster_size(size); });
  });
  parts.membership->on_event(
      [this, alive = std::weak_ptr(context.alive)](std::uint64_t time, const std::string& payload) {
        auto event = decode_event(time, payload);
        if (alive.expired() || !event) return;
        own.post(kAgentThread,
                 [this, event = std::move(*event)]() mutable { take_event(std::move(event)); });
      });
}

void Agent::Impl::stop() {
  if (stopped.exchange(true)) return;
  if (started) {
    call([this] {
      waiters.answer_all();
      sync->stop();
    });
    std::promise<void> on_disk;
    own.post(kAgentThread, [&] { registrar.stop([&] { on_disk.set_value(); }); });
    on_disk.get_future().wait();
  }
  watch.stop();
  stub->stop();
  context.alive.reset();
  own.stop();
}

Agent::Agent() = default;

Result<std::unique_ptr<Agent>> Agent::open(AgentOptions options, AgentParts parts,
                                           Definitions definitions) {
  auto planned = plan_definitions(std::move(definitions.services), std::move(definitions.checks),
                                  make_rules(options));
  if (!planned) return planned.error();
  auto disk = Persistence::open(options.data_dir);
  if (!disk) return disk.error();
  auto loaded = disk->load();
  if (!loaded) return loaded.error();
  std::unique_ptr<Agent> self(new Agent);
  self->impl_ = std::make_shared<Impl>(std::move(options), std::move(parts),
                                       std::make_shared<Persistence>(std::move(*disk)));
  self->impl_->registrar.restore(std::move(*loaded), std::move(*planned));
  return self;
}

Agent::~Agent() {
  stop();
}

void Agent::start() {
  impl_->start();
}

void Agent::stop() {
  impl_->stop();
}

bool Agent::owns(std::string_view path) {
  return path.starts_with("/v1/agent/") || path.starts_with("/v1/event/");
}

void Agent::handle(std::shared_ptr<io::HttpExchange> exchange) {
  if (!owns(exchange->request().path)) return impl_->forwarder->handle(std::move(exchange));
  if (!impl_->router.handle(exchange)) impl_->router.not_found(exchange);
}

Result<void> Agent::reload(Definitions definitions) {
  return impl_->reload(std::move(definitions));
}

void Agent::deregister_node(std::function<void()> done) {
  // Whichever comes first, the servers' answer or the end of the time.
  struct Once {
    std::atomic<bool> over{false};
    std::function<void()> done;
    void operator()() {
      if (!over.exchange(true)) done();
    }
  };
  auto once = std::make_shared<Once>();
  once->done = std::move(done);
  impl_->deregister_timer =
      impl_->own.schedule(kAgentThread, kDeregisterTimeout, [once] { (*once)(); });
  impl_->own.post(kAgentThread, [impl = impl_, once] {
    impl->sync->stop();  // nothing may register the node again
    pb::PushRequest request;
    request.set_node(impl->options.node_name);
    request.add_items()->mutable_deregister()->set_node(impl->options.node_name);
    impl->stub->push(std::move(request), [once](const Result<pb::PushResponse>&) { (*once)(); });
  });
}

void Agent::ask_server(std::string path, std::string query,
                       std::function<void(Result<io::HttpResponse>)> done) {
  pb::HttpForward request;
  request.set_method("GET");
  request.set_path(std::move(path));
  request.set_query(std::move(query));
  pb::Pair& name = *request.add_headers();
  name.set_key(kNodeHeader);
  name.set_value(impl_->options.node_name);
  impl_->stub->forward(
      std::move(request), kAskTimeout,
      [done = std::move(done)](Result<pb::HttpForwardResponse> answer) {
        if (!answer) return done(answer.error());
        io::HttpResponse response;
        response.status = answer->status();
        response.body = std::make_shared<const std::string>(std::move(*answer->mutable_body()));
        done(std::move(response));
      });
}

WatchClient& Agent::watch() {
  return impl_->watch;
}

Agent::SyncStatus Agent::sync_status() const {
  SyncStatus out;
  impl_->call([&] {
    const LocalState::Counts counts = impl_->state.counts();
    out.node_in_sync = counts.node_in_sync;
    out.out_of_sync = counts.out_of_sync;
    out.blocked = counts.blocked;
    out.services = impl_->state.service_count();
    out.checks = impl_->state.check_count();
    out.pushes = impl_->sync->totals().pushes;
    out.full_compares = impl_->sync->totals().full_compares;
    out.failures = impl_->sync->totals().failures;
  });
  return out;
}

}  // namespace fyr::agent
