#include "server/server.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/io/file.h"
#include "base/random.h"
#include "server/fsm.h"
#include "server/leader/duties.h"

namespace fyr::server {

namespace {

// The leader looks at the number of tombstones once in so many writes.
constexpr std::uint64_t kWritesPerTombstoneLook = 8192;

Error no_leader() {
  return fail(ErrorCode::NoLeader, "No cluster leader");
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

  // Wall time at start, carried on by the monotonic clock: a step of the wall clock while we run
  // shortens no lock-delay.
  const WallTime start_wall = wall_now();
  const Instant start = now();
  std::atomic<std::uint64_t> writes{0};
  std::atomic<bool> leading{false};
  mutable std::atomic<bool> caught_up{false};  // since start: stale reads may run

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
    std::lock_guard lock(callbacks_mutex);
    if (leading.exchange(leads) == leads) return;
    if (opened) duties->set_leading(leads);
    for (const auto& callback : leadership_callbacks) callback(leads);
  }

  void set_opened(std::unique_ptr<raft::Node> the_node) {
    node = std::move(the_node);
    std::lock_guard lock(callbacks_mutex);
    opened = true;
    duties->set_leading(leading.load());
  }

  void write(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
    command.set_stamp_ns(stamp());
    if (writes.fetch_add(1, std::memory_order_relaxed) % kWritesPerTombstoneLook == 0)
      duties->tombstones_changed();
    node->propose(command.SerializeAsString(),
                  [done = std::move(done)](Result<raft::Node::Applied> applied) {
                    if (!applied) return done(to_client(std::move(applied.error())));
                    done(*std::static_pointer_cast<const ApplyResult>(applied->outcome));
                  });
  }

  bool may_read_stale() const {
    // After a start what we have may be older than what we answered before it.
    if (!caught_up.load(std::memory_order_acquire) && node->can_read_now())
      caught_up.store(true, std::memory_order_release);
    return caught_up.load(std::memory_order_acquire);
  }

  ReadStamp stale_stamp() const {
    const raft::Status status = node->status();
    return {status.leader != raft::NodeId(), status.last_contact};
  }
};

Server::Server() : impl_(std::make_unique<Impl>()) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::open(ServerOptions options) {
  std::unique_ptr<Server> self(new Server);
  Impl& impl = *self->impl_;
  const std::filesystem::path directory = options.data_dir / "raft";
  if (auto made = io::make_directories(directory); !made) return made.error();
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
  raft_options.bootstrap = options.bootstrap;
  raft_options.address = options.rpc_address;
  raft_options.name = options.node_name;
  // Consul's multiplier counts from 5; ours are the times its users get with 1.
  raft_options.election_min *= std::max(1, options.raft_multiplier / 5);
  raft_options.seed = Random::from_system().next();
  raft_options.on_role_change = [&impl](const raft::Status& status) { impl.role_changed(status); };
  impl.options = std::move(options);
  auto node = raft::Node::open(std::move(raft_options), *impl.fsm);
  if (!node) return node.error();
  impl.set_opened(std::move(*node));
  return self;
}

void Server::stop() {
  // Raft first: its threads use everything else. Duties may still propose; they are told Stopped.
  if (impl_->node) impl_->node->stop();
  if (impl_->duties) impl_->duties->stop();
}

const ServerOptions& Server::options() const {
  return impl_->options;
}

void Server::write(pb::Command command, std::function<void(Result<ApplyResult>)> done) {
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
  const auto mode =
      consistency == Consistency::Consistent ? raft::ReadMode::Consistent : raft::ReadMode::Default;
  impl_->node->read(mode, [impl = impl_.get(), done = std::move(done)](Result<raft::Index> index) {
    if (!index) return done(to_client(std::move(index.error())));
    impl->caught_up.store(true, std::memory_order_release);
    done(ReadStamp{true, Duration::zero()});
  });
}

Publisher& Server::publisher() {
  return impl_->publisher;
}

LeaderInfo Server::leader() const {
  const raft::Status status = impl_->node->status();
  LeaderInfo info;
  info.self = status.role == raft::Role::Leader;
  info.known = info.self || status.leader != raft::NodeId();
  if (info.self) info.address = impl_->options.rpc_address;
  return info;
}

std::vector<std::string> Server::raft_peers() const {
  return {impl_->options.rpc_address};
}

raft::Status Server::raft_status() const {
  return impl_->node->status();
}

void Server::renew_session(const std::string& id, std::function<void(Result<SessionRow>)> done) {
  if (auto renewed = impl_->duties->renew(id); !renewed)
    return done(to_client(std::move(renewed.error())));
  SessionRow row = read([&](const StateStore& store) { return store.session(id); });
  if (!row) return done(fail(ErrorCode::NotFound, "Session id '" + id + "' not found"));
  done(std::move(row));
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
