#include "server/server.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/io/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "server/applied_waiters.h"
#include "server/fsm.h"
#include "server/leader/duties.h"

namespace fyr::server {

namespace {

// The leader looks at the number of tombstones once in so many writes.
constexpr std::uint64_t kWritesPerTombstoneLook = 8192;

Error no_leader() {
  return fail(ErrorCode::NoLeader, "No cluster leader");
}

AutopilotSettings autopilot_settings(const pb::AutopilotConfig& config) {
  AutopilotSettings out;
  out.cleanup_dead_servers = config.cleanup_dead_servers();
  out.last_contact_threshold = Duration(config.last_contact_threshold_ns());
  out.max_trailing_logs = config.max_trailing_logs();
  out.min_quorum = config.min_quorum();
  out.stabilization = Duration(config.server_stabilization_ns());
  return out;
}

std::string address_of(const raft::Configuration& members, raft::NodeId id) {
  const auto found = std::ranges::find(members.members, id, &raft::Member::id);
  return found == members.members.end() ? std::string() : found->address;
}

// Clients retry on these words, whatever the reason nobody could take the request.
Error to_client(Error error) {
  return error.code == ErrorCode::NotLeader ? no_leader() : std::move(error);
}

}  // namespace

struct Server::Impl {
  ServerOptions options;
  Publisher publisher;
  std::unique_ptr<Fsm> fsm;
  std::unique_ptr<Duties> duties;
  std::unique_ptr<Reconciler> reconciler;
  Subscription sessions_followed;
  std::unique_ptr<raft::Node> node;
  AppliedWaiters waiters;

  Guarded<Autopilot> autopilot;
  std::mutex founding_mutex;
  Consent given;          // guarded by founding_mutex
  bool founding = false;  // guarded by founding_mutex; consents are being asked for

  // Wall time at start, carried on by the monotonic clock: a step of the wall clock while we run
  // shortens no lock-delay.
  const WallTime start_wall = wall_now();
  const Instant start = now();
  std::atomic<std::uint64_t> writes{0};
  std::atomic<bool> leading{false};
  mutable std::atomic<bool> caught_up{false};    // since start, with a leader
  mutable std::atomic<bool> resumed{false};      // as far as before the start
  mutable std::atomic<bool> catching_up{false};  // a read that would tell is on its way

  std::mutex callbacks_mutex;
  bool opened = false;
  std::vector<std::function<void(bool)>> leadership_callbacks;

  std::int64_t stamp() const {
    const WallTime wall = start_wall + (now() - start);
    return std::max<std::int64_t>(wall.time_since_epoch().count(), fsm->last_stamp_ns());
  }

  // Raft may lead before open() has the node in hand; duties wait for that.
  void role_changed(const raft::Status& status) {
    const bool leads = status.role == raft::Role::Leader;
    // Whoever waits for the leader's writes to arrive here may wait for long now.
    waiters.release();
    std::lock_guard lock(callbacks_mutex);
    if (opened) follow_leader(status);
    if (leading.exchange(leads) == leads) return;
    if (opened) duties->set_leading(leads);
    for (const auto& callback : leadership_callbacks) callback(leads);
  }

  void set_opened(std::unique_ptr<raft::Node> the_node) {
    node = std::move(the_node);
    std::lock_guard lock(callbacks_mutex);
    opened = true;
    follow_leader(node->status());
    duties->set_leading(leading.load());
  }

  void follow_leader(const raft::Status& status) {
    if (!options.leader_client) return;
    const bool other = status.leader != raft::NodeId() && status.leader != status.id;
    options.leader_client->follow(other ? address_of(node->members(), status.leader) : "");
  }

  // Where the leader is, if it is another server.
  std::string other_leader() const {
    if (!options.leader_client) return {};
    const raft::Status status = node->status();
    if (status.leader == raft::NodeId() || status.leader == status.id) return {};
    return address_of(node->members(), status.leader);
  }

  void write_anywhere(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
    const std::string leader = leading.load() ? std::string() : other_leader();
    if (leader.empty()) return write(std::move(command), std::move(done));
    options.leader_client->apply(
        leader, command, [this, done = std::move(done)](Result<ApplyResult> result) {
          if (!result) return done(to_client(result.error()));
          const StateIndex index = result->index;
          waiters.wait(index, [done, result = std::move(*result)] { done(result); });
        });
  }

  void consider_founding(const std::vector<ServerFact>& servers);
  void found(std::vector<raft::Member> voters);

  void write(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
    command.set_stamp_ns(stamp());
    if (writes.fetch_add(1, std::memory_order_relaxed) % kWritesPerTombstoneLook == 0)
      duties->tombstones_changed();
    static metrics::Counter& proposed = metrics::counter("consul.raft.apply");
    static metrics::Sample& commit_time = metrics::sample("consul.raft.commitTime");
    proposed.add();
    node->propose(command.SerializeAsString(), [done = std::move(done), began = now()](
                                                   Result<raft::Node::Applied> applied) {
      if (applied)
        commit_time.add(std::chrono::duration<double, std::milli>(now() - began).count());
      if (!applied) return done(to_client(applied.error()));
      done(*std::static_pointer_cast<const ApplyResult>(applied->outcome));
    });
  }

  bool is_caught_up() const {
    if (!caught_up.load(std::memory_order_acquire) && node->can_read_now())
      caught_up.store(true, std::memory_order_release);
    return caught_up.load(std::memory_order_acquire);
  }

  // After a start what we have may be older than what we answered before it, until the log that
  // was known to be committed is applied again. Without a leader, so that nobody has to wait.
  bool may_read_stale() const {
    if (is_caught_up() || resumed.load(std::memory_order_acquire)) return true;
    const raft::Index seen = node->status().seen_before;
    if (seen == raft::Index() || fsm->applied() < seen) return false;
    resumed.store(true, std::memory_order_release);
    return true;
  }

  // A stale read soon after the start: when the state is back, or a leader has answered.
  void resume(std::function<void(Result<ReadStamp>)> done) {
    struct Asker {
      std::function<void(Result<ReadStamp>)> done;
      std::atomic<bool> answered{false};
    };
    auto asker = std::make_shared<Asker>();
    asker->done = std::move(done);
    node->read(raft::ReadMode::Default, [this, asker](Result<raft::Index> index) {
      if (index) caught_up.store(true, std::memory_order_release);
      if (asker->answered.exchange(true)) return;
      if (!index) return asker->done(to_client(std::move(index.error())));
      asker->done(ReadStamp{true, Duration::zero()});
    });
    waiters.wait(node->status().seen_before.value, [this, asker] {
      if (may_read_stale() && !asker->answered.exchange(true)) asker->done(stale_stamp());
    });
  }

  // A follower never can_read_now(): one read, whoever asked for it, tells it too.
  void look_whether_caught_up() const {
    if (catching_up.exchange(true)) return;
    node->read(raft::ReadMode::Default, [this](const Result<raft::Index>& index) {
      if (index) caught_up.store(true, std::memory_order_release);
      catching_up.store(false);
    });
  }

  ReadStamp stale_stamp() const {
    const raft::Status status = node->status();
    return {status.leader != raft::NodeId(), status.last_contact};
  }
};

// The voters of a cluster to be, and how many have not consented yet.
struct Founding {
  std::vector<raft::Member> voters;
  Instant began;
  std::atomic<std::size_t> missing;
  std::atomic<bool> refused{false};
};

void Server::Impl::consider_founding(const std::vector<ServerFact>& servers) {
  const raft::NodeId self = node->id();
  auto voters = voters_to_found(self, options.bootstrap_expect, servers);
  if (!voters) return;
  {
    std::lock_guard lock(founding_mutex);
    if (founding || !given.give(self, now())) return;
    founding = true;
  }
  found(std::move(*voters));
}

void Server::Impl::found(std::vector<raft::Member> voters) {
  const raft::NodeId self = node->id();
  auto plan = std::make_shared<Founding>();
  plan->voters = std::move(voters);
  plan->began = now();
  plan->missing = plan->voters.size();
  const auto answered = [this, plan](bool granted) {
    if (!granted) plan->refused = true;
    if (plan->missing.fetch_sub(1) != 1) return;
    // Consents bind for a while only; half of it leaves time for the disk.
    const bool late = now() - plan->began > Consent::kWord / 2;
    const auto end = [this](bool founded) {
      std::lock_guard lock(founding_mutex);
      founding = false;
      if (founded) log::info("server", "founded a new cluster");
    };
    if (plan->refused || late) return end(false);
    node->found_cluster(plan->voters, [end](Result<void> done) {
      if (!done) log::warn("server", "founding a cluster: {}", done.error().message);
      end(static_cast<bool>(done));
    });
  };
  for (const raft::Member& voter : plan->voters) {
    if (voter.id == self) {
      answered(true);  // given before we came here
    } else if (!options.leader_client) {
      answered(false);
    } else {
      options.leader_client->ask_consent(
          voter.address, self, voter.id,
          [answered](Result<bool> granted) { answered(granted && *granted); });
    }
  }
}

Server::Server() : impl_(std::make_unique<Impl>()) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::open(ServerOptions options) {
  std::unique_ptr<Server> self(new Server);
  Impl& impl = *self->impl_;
  const std::filesystem::path directory = options.data_dir / "raft";
  if (auto made = io::make_directories(directory); !made) return made.error();
  auto claim = raft::claim_folder(directory);
  if (!claim) return claim.error();
  auto fsm = Fsm::open(directory, impl.publisher);
  if (!fsm) return fsm.error();
  impl.fsm = std::move(*fsm);
  const auto propose = [&impl](pb::Command command, std::function<void(Result<ApplyResult>)> done) {
    impl.write(std::move(command), std::move(done));
  };
  impl.duties = std::make_unique<Duties>(impl.fsm->state(), propose);
  impl.reconciler = std::make_unique<Reconciler>(impl.fsm->state(), propose);
  impl.sessions_followed = impl.publisher.follow(
      {{TopicKind::Sessions, {}}}, [&impl](StateIndex) { impl.duties->sessions_changed(); });

  raft::NodeOptions raft_options;
  raft_options.directory = directory;
  raft_options.claim = std::move(*claim);
  raft_options.bootstrap = options.bootstrap;
  raft_options.address = options.rpc_address;
  raft_options.name = options.node_name;
  raft_options.site = options.site;
  raft_options.priority = static_cast<std::uint8_t>(std::clamp(options.leader_priority, 0, 255));
  raft_options.transport = options.transport;
  // Consul's multiplier counts from 5; ours are the times its users get with 1.
  raft_options.election_min *= std::max(1, options.raft_multiplier / 5);
  raft_options.check_interval = options.state_check_interval;
  raft_options.seed = Random::from_system().next();
  impl.fsm->on_applied([&impl](StateIndex index) { impl.waiters.advance(index); });
  raft_options.on_role_change = [&impl](const raft::Status& status) { impl.role_changed(status); };
  impl.options = std::move(options);
  auto node = raft::Node::open(std::move(raft_options), *impl.fsm);
  if (!node) return node.error();
  impl.set_opened(std::move(*node));
  return self;
}

void Server::stop() {
  // Raft first: its threads use everything else. Duties may still propose; they are told Stopped.
  if (impl_->options.leader_client) impl_->options.leader_client->stop();
  if (impl_->node) impl_->node->stop();
  impl_->waiters.close();
  if (impl_->duties) impl_->duties->stop();
}

const ServerOptions& Server::options() const {
  return impl_->options;
}

void Server::write(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
  impl_->write_anywhere(std::move(command), std::move(done));
}

void Server::write_here(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
  impl_->write(std::move(command), std::move(done));
}

std::optional<ReadStamp> Server::try_read(Consistency consistency) const {
  switch (consistency) {
    case Consistency::Default:
      if (!impl_->node->can_read_now()) return std::nullopt;
      return ReadStamp{true, Duration::zero()};
    case Consistency::Stale:
      if (!impl_->may_read_stale()) return std::nullopt;
      return impl_->stale_stamp();
    case Consistency::Consistent:
      break;
  }
  return std::nullopt;
}

void Server::wait_read(Consistency consistency, std::function<void(Result<ReadStamp>)> done) {
  if (const auto stamp = try_read(consistency)) return done(*stamp);
  if (consistency == Consistency::Stale) return impl_->resume(std::move(done));
  const auto mode =
      consistency == Consistency::Consistent ? raft::ReadMode::Consistent : raft::ReadMode::Default;
  impl_->node->read(mode, [impl = impl_.get(), done = std::move(done)](Result<raft::Index> index) {
    if (!index) return done(to_client(index.error()));
    impl->caught_up.store(true, std::memory_order_release);
    done(ReadStamp{true, Duration::zero()});
  });
}

bool Server::caught_up() const {
  if (impl_->may_read_stale()) return true;
  impl_->look_whether_caught_up();
  return false;
}

Publisher& Server::publisher() {
  return impl_->publisher;
}

LeaderInfo Server::leader() const {
  const raft::Status status = impl_->node->status();
  LeaderInfo info;
  info.self = status.role == raft::Role::Leader;
  info.known = info.self || status.leader != raft::NodeId();
  info.id = status.leader;
  if (info.self) {
    info.address = impl_->options.rpc_address;
  } else if (info.known) {
    info.address = address_of(impl_->node->members(), status.leader);
  }
  return info;
}

std::vector<std::string> Server::raft_peers() const {
  const raft::Configuration members = impl_->node->members();
  std::vector<std::string> out;
  for (const raft::Member& member : members.members) {
    if (members.is_voter(member.id)) out.push_back(member.address);
  }
  return out;
}

raft::Node& Server::raft_node() {
  return *impl_->node;
}

Result<void> Server::hand_over(Duration patience) {
  return raft::hand_over_leadership(*impl_->node, patience);
}

void Server::consider_servers(const std::vector<ServerFact>& servers) {
  for (const ServerFact& server : servers) {
    if (server.alive) impl_->node->set_peer_address(server.member.id, server.member.address);
  }
  const raft::Configuration members = impl_->node->members();
  if (members.members.empty()) return impl_->consider_founding(servers);
  if (!impl_->leading.load()) return impl_->autopilot.with([](Autopilot& a) { a.reset(); });
  AutopilotView view;
  view.now = now();
  view.self = impl_->node->id();
  view.members = members;
  view.peers = impl_->node->peers();
  view.last = impl_->node->status().last;
  view.servers = servers;
  view.settings =
      autopilot_settings(*read([](const StateStore& store) { return store.autopilot(); }));
  auto change = impl_->autopilot.with([&](Autopilot& a) { return a.decide(view); });
  if (!change) return;
  impl_->node->change_members(std::move(*change), [](Result<void> done) {
    if (!done) log::info("server", "autopilot: {}", done.error().message);
  });
}

std::vector<ServerHealth> Server::server_health() const {
  return impl_->autopilot.with([](const Autopilot& a) { return a.health(); });
}

std::size_t Server::failure_tolerance() const {
  return impl_->autopilot.with([](const Autopilot& a) { return a.failure_tolerance(); });
}

bool Server::consent(raft::NodeId founder, raft::NodeId to) {
  if (to != impl_->node->id() || !impl_->node->members().members.empty()) return false;
  std::lock_guard lock(impl_->founding_mutex);
  return impl_->given.give(founder, now());
}

raft::Status Server::raft_status() const {
  return impl_->node->status();
}

bool Server::forward_to_leader(const io::HttpRequest& request,
                               std::function<void(Result<io::HttpResponse>)> done) {
  if (impl_->leading.load()) return false;
  const std::string leader = impl_->other_leader();
  if (leader.empty()) {
    done(no_leader());
  } else {
    impl_->options.leader_client->forward(leader, request, std::move(done));
  }
  return true;
}

void Server::renew_session(const std::string& id, std::function<void(Result<SessionRow>)> done) {
  const std::string leader = impl_->leading.load() ? std::string() : impl_->other_leader();
  if (!leader.empty()) {
    return impl_->options.leader_client->renew_session(
        leader, id, [done = std::move(done)](Result<SessionRow> row) {
          if (!row) return done(to_client(row.error()));
          done(std::move(row));
        });
  }
  auto row = renew_session_here(id);
  if (!row) return done(to_client(row.error()));
  done(std::move(row));
}

Result<SessionRow> Server::renew_session_here(const std::string& id) {
  if (auto renewed = impl_->duties->renew(id); !renewed) return renewed.error();
  SessionRow row = read([&](const StateStore& store) { return store.session(id); });
  if (!row) return fail(ErrorCode::NotFound, "Session id '" + id + "' not found");
  return row;
}

void Server::reconcile(const MemberFact& member) {
  if (impl_->leading.load()) impl_->reconciler->update(member);
}

void Server::on_leadership(std::function<void(bool leads)> callback) {
  // Called under the lock, so that no change can come between and be told first.
  std::lock_guard lock(impl_->callbacks_mutex);
  impl_->leadership_callbacks.push_back(callback);
  if (impl_->leading.load()) callback(true);
}

const SharedGuarded<StateStore>& Server::state() const {
  return impl_->fsm->state();
}

}  // namespace fyr::server
