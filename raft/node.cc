#include "raft/node.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "base/bytes.h"
#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "raft/apply_thread.h"
#include "raft/commit_note.h"
#include "raft/driver.h"
#include "raft/inbox.h"
#include "raft/log_writer.h"
#include "raft/node_metrics.h"
#include "raft/rocks_storage.h"
#include "raft/snapshot_keeper.h"
#include "raft/space_watch.h"
#include "raft/state_check.h"
#include "raft/thread_name.h"
#include "raft/transport.h"
#include "raft/worker.h"

namespace fyr::raft {
namespace {

constexpr Duration kPeersAge = std::chrono::milliseconds(50);
constexpr Duration kCompareEvery = std::chrono::milliseconds(100);
constexpr Duration kReportPatience = std::chrono::seconds(5);
constexpr Duration kHandOverPatience = std::chrono::seconds(2);

CoreConfig core_config(const NodeOptions& options, const RocksStorage& storage) {
  CoreConfig out = options.limits;
  out.self = storage.identity().node;
  out.incarnation = storage.incarnation();
  out.election_min = options.election_min;
  out.heartbeat = options.heartbeat;
  return out;
}

std::uint64_t seed_of(const NodeOptions& options) {
  return options.seed != 0 ? options.seed : Random::from_system().next();
}

// Begins with who founded it, so that a founder who was interrupted knows its own again.
std::string new_cluster_id(NodeId founder) {
  std::string bytes;
  append_be64(bytes, founder.value);
  append_be64(bytes, Random::from_system().next());
  return to_hex(bytes);
}
bool is_founded_by(const std::string& cluster, NodeId founder) {
  std::string bytes;
  append_be64(bytes, founder.value);
  return cluster.starts_with(to_hex(bytes));
}

class NodeImpl final : public Node {
 public:
  NodeImpl(NodeOptions options, StateMachine& machine, std::unique_ptr<RocksStorage> storage,
           RecoveredState recovered, std::unique_ptr<CommitNote> note)
      : options_(std::move(options)),
        storage_(std::move(storage)),
        note_(std::move(note)),
        self_(storage_->identity().node),
        driver_(core_config(options_, *storage_), std::move(recovered), seed_of(options_)),
        applied_(driver_.core().view().applied.value),
        published_members_(driver_.core().configuration()),
        writer_(
            *storage_, [this](WriteId upto) { step_if(inbox_.written(upto).turn); },
            [this](const Error& error) { on_fatal(error); }),
        apply_(
            make_applier(machine), [this] { step_if(inbox_.look_at_applied()); },
            [this](const Error& error) { on_fatal(error); }),
        log_reader_("raft-log-read") {
    status_.id = self_;
    if (note_->is_complete()) status_.seen_before = note_->found()->index;
  }

  ~NodeImpl() override { stop(); }

  Result<void> start(StateMachine& machine);

  void propose(std::string data, std::function<void(Result<Applied>)> done) override {
    DriverInput::Propose proposal{std::make_shared<const std::string>(std::move(data)),
                                  std::move(done)};
    const Inbox::Left left = inbox_.propose(proposal);
    if (left.error) refuse(std::move(proposal.done), *left.error);
    if (left.turn) step(left.at, Answers::Later);
  }

  void read(ReadMode mode, std::function<void(Result<Index>)> done) override {
    DriverInput::Read read{mode, std::move(done)};
    if (auto error = inbox_.read(read)) read.done(std::move(*error));
  }

  bool can_read_now() const override {
    if (ended_.load(std::memory_order_acquire)) return false;
    const auto until = readable_until_.load(std::memory_order_acquire);
    if (until == Instant::max().time_since_epoch().count()) return true;
    return now().time_since_epoch().count() < until;
  }

  Status status() const override;
  NodeId id() const override { return self_; }
  std::string cluster() const override { return storage_->identity().cluster; }

  Configuration members() const override {
    std::lock_guard lock(status_mutex_);
    return published_members_;
  }
  std::vector<PeerStatus> peers() const override {
    std::lock_guard lock(status_mutex_);
    return published_peers_;
  }
  void set_peer_address(NodeId peer, const std::string& address) override {
    if (options_.transport) options_.transport->set_address(peer, address);
  }

  void found_cluster(std::vector<Member> voters, RequestDone done) override;
  void change_members(ConfigChange change, RequestDone done) override {
    DriverInput::Change request{std::move(change), std::move(done)};
    if (auto error = inbox_.change(request)) request.done(std::move(*error));
  }
  void transfer_leadership(NodeId to, RequestDone done) override {
    DriverInput::Transfer request{to, std::move(done)};
    if (auto error = inbox_.transfer(request)) request.done(std::move(*error));
  }

  void stop() override;

 private:
  struct OwnCheck {
    Index check{};
    std::uint64_t digest = 0;
    Instant at = Instant::min();
  };
  Applier make_applier(StateMachine& machine) {
    return Applier(
        machine, Index(applied_.load()),
        [this](IndexRange range, std::size_t bytes) { return storage_->read(range, bytes); },
        [this](Index applied, Index durable, bool flushed) {
          // Of the batch before, while this one's clients still wait: they come first.
          step_if(inbox_.look_at_applied());
          applied_.store(applied.value, std::memory_order_release);
          inbox_.applied(applied, durable, flushed);
        },
        {.taken =
             [this](Index check, std::uint64_t digest) {
               own_check_.with([&](OwnCheck& own) { own = {check, digest, now()}; });
               inbox_.digest(check, digest);
             },
         .odd = [this, &machine](Index check) { rebuild_state(machine, check); }},
        [this](LogPosition last) { note_->note(last); });
  }

  void refuse(std::function<void(Result<Applied>)> done, const Error& error) {
    if (error.code == ErrorCode::Stopped) {
      done(error);
      return;
    }
    ApplyTask task;
    task.refused.push_back({std::move(done), error});
    apply_.submit(std::move(task));
  }

  void on_fatal(const Error& error) {
    ended_.store(true);
    if (options_.on_fatal) {
      options_.on_fatal(error);
      return;
    }
    log::error("raft", "the log cannot be written, stopping at once: {}", error.message);
    log::flush();
    // tidy: terminate: nothing may run after a failed write, destructors included
    ::_exit(74);
  }

  void start_transport();
  void adopt(const std::string& cluster, std::uint32_t recovery_epoch);
  Configuration founders(std::vector<Member> voters) const;
  // Later: the thread may hold locks which those who wait need; the raft thread answers them.
  enum class Answers { Now, Later };
  void run();
  void step(Instant at, Answers answers);
  void step_if(bool turn) {
    if (turn) step(now(), Answers::Now);
  }
  void perform(DriverOutput& out, Answers answers);
  void answer_deferred();
  void perform_snapshots(const DriverOutput& out);
  void read_log(const FetchLog& fetch);
  void publish(const SoftState& soft);
  void publish_members();
  void publish_peers(Instant at);
  void compare_states(Instant at);
  void judge_states(Instant at, const OwnCheck& own);
  void rebuild_state(StateMachine& machine, Index check);

  const NodeOptions options_;
  const std::unique_ptr<RocksStorage> storage_;
  const std::unique_ptr<CommitNote> note_;
  const NodeId self_;
  const Instant started_ = now();
  Inbox inbox_;
  // By who has the turn.
  Driver driver_;
  SoftState published_;
  Instant peers_published_ = Instant::min();
  NodeMetrics metrics_;
  Instant check_at_ = Instant::max();    // the next Check entry is due
  Instant compare_at_ = Instant::min();  // the next look at what the others reported
  Index judged_{};                       // the last Check entry that was
  std::vector<Member> addressed_;        // the transport's peers
  Configuration members_;                // as published
  std::vector<std::pair<ReadDone, Result<Index>>> deferred_reads_;
  std::vector<std::pair<RequestDone, Result<void>>> deferred_requests_;
  // ----
  std::atomic<std::uint64_t> applied_;
  std::atomic<Instant::rep> readable_until_{Instant::min().time_since_epoch().count()};
  Guarded<OwnCheck> own_check_;
  std::atomic<bool> ended_{false};  // stopped or failed: nothing is served any more
  mutable std::mutex status_mutex_;
  Status status_;                            // guarded by status_mutex_
  Instant leader_contact_ = Instant::min();  // guarded by status_mutex_
  Configuration published_members_;          // guarded by status_mutex_
  std::vector<PeerStatus> published_peers_;  // guarded by status_mutex_
  std::atomic<std::thread::id> raft_thread_;
  std::atomic<std::thread::id> stepping_;  // whose turn it is
  std::mutex stop_mutex_;
  std::unique_ptr<SnapshotKeeper> keeper_;  // outlives the threads that call it
  std::unique_ptr<SpaceWatch> space_;
  LogWriter writer_;
  ApplyThread apply_;
  Worker log_reader_;
  std::thread thread_;
};

// ---- start and stop -----------------------------------------------------------------------

Result<void> NodeImpl::start(StateMachine& machine) {
  SnapshotKeeper::Options options;
  options.directory = options_.directory / "snapshots";
  options.unpin_after = options_.limits.snapshot_unpin;
  options.on_apply_thread = [this](std::function<void()> job) { apply_.call(std::move(job)); };
  options.configuration_at = [this](Index index) { return storage_->configuration_at(index); };
  options.cluster = [this] { return cluster(); };
  options.done = [this](SnapshotEvent event) { inbox_.snapshot(std::move(event)); };
  auto keeper = SnapshotKeeper::open(std::move(options), machine, options_.transport.get());
  if (!keeper) return keeper.error();
  keeper_ = std::move(*keeper);
  if (const auto newest = keeper_->newest()) {
    inbox_.snapshot({SnapshotEvent::Kind::Made, *newest, {}});
  }
  if (options_.transport) start_transport();
  thread_ = std::thread([this] { run(); });
  space_ =
      std::make_unique<SpaceWatch>(options_.directory, [this](bool low) { inbox_.disk_low(low); });
  return {};
}

void NodeImpl::start_transport() {
  Transport& transport = *options_.transport;
  transport.serve_snapshots(keeper_.get());
  const Identity identity = storage_->identity();
  Transport::Receiver receiver;
  receiver.messages = [this](std::vector<Message> got) {
    step_if(inbox_.messages(std::move(got)).turn);
  };
  receiver.link = [this](NodeId peer, LinkState state) { inbox_.link(peer, state); };
  receiver.adopted = [this](const std::string& cluster, std::uint32_t epoch) {
    keeper_->worker().post([this, cluster, epoch] { adopt(cluster, epoch); });
  };
  transport.start({identity.cluster, identity.recovery_epoch, self_, storage_->incarnation()},
                  options_.address, std::move(receiver));
}

// Only an empty node can; the storage knows.
void NodeImpl::adopt(const std::string& cluster, std::uint32_t recovery_epoch) {
  if (auto done = storage_->adopt(cluster, recovery_epoch); !done) {
    log::warn("raft", "{}", done.error().message);
    return;
  }
  log::info("raft", "member of cluster {} from now on", cluster);
  options_.transport->adopt(cluster, recovery_epoch);
}

void NodeImpl::stop() {
  const auto self = std::this_thread::get_id();
  CHECK_MSG(self != raft_thread_.load() && self != stepping_.load() && self != apply_.id(),
            "a callback stops its node");
  std::lock_guard lock(stop_mutex_);
  inbox_.stop();
  if (thread_.joinable()) thread_.join();
  if (space_) space_->stop();
  if (options_.transport) options_.transport->stop();
  if (keeper_) keeper_->stop();
  log_reader_.stop();
  writer_.stop();
  apply_.stop();
}

// ---- founding -----------------------------------------------------------------------------

Configuration NodeImpl::founders(std::vector<Member> voters) const {
  Configuration out;
  for (const Member& member : voters) out.voters.push_back(member.id);
  out.members = std::move(voters);
  return out;
}

void NodeImpl::found_cluster(std::vector<Member> voters, RequestDone done) {
  const auto found = [this](std::vector<Member> members, const RequestDone& answer) {
    if (status().last != Index{}) {
      return answer(fail(ErrorCode::Conflict, "cluster: the log of this node is not empty"));
    }
    if (!is_founded_by(cluster(), self_)) {
      // Durable first: whoever hears of the cluster hears its name.
      const std::string id = new_cluster_id(self_);
      if (auto adopted = storage_->adopt(id, 0); !adopted) return answer(adopted.error());
      if (options_.transport) options_.transport->adopt(id, 0);
    }
    DriverInput::Found request{founders(std::move(members)), answer};
    if (auto error = inbox_.found(request)) request.done(std::move(*error));
  };
  const bool posted = keeper_->worker().post(
      [found, members = std::move(voters), done]() mutable { found(std::move(members), done); });
  if (!posted) done(fail(ErrorCode::Stopped, "stopping"));
}

// ---- the core -------------------------------------------------------------------------------

void NodeImpl::run() {
  name_this_thread("raft");
  raft_thread_.store(std::this_thread::get_id());
  publish_members();
  do {
    answer_deferred();
    step(now(), Answers::Now);
  } while (inbox_.take());
  answer_deferred();
  DriverOutput rest = driver_.abandon(inbox_.input());
  perform(rest, Answers::Now);
  ended_.store(true);
}

// By whoever has the turn.
void NodeImpl::step(Instant at, Answers answers) {
  stepping_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  DriverOutput out = driver_.step(at, inbox_.input());
  // What readers may rely on is said before anybody is answered or anything is applied.
  publish(out.soft);
  perform(out, answers);
  publish_members();
  publish_peers(at);
  compare_states(at);
  if (metrics_.due(at)) metrics_.show(at, published_, driver_.core().peers());
  stepping_.store({}, std::memory_order_relaxed);
  inbox_.finish(out.wake_at, driver_.core().wanted_applied(),
                !deferred_reads_.empty() || !deferred_requests_.empty());
}

// The disk begins first, then the network, and both work at the same time (D4).
void NodeImpl::perform(DriverOutput& out, Answers answers) {
  if (!out.persist.empty() || out.compact) {
    writer_.submit(std::move(out.persist), std::move(out.compact));
  }
  if (!out.send.empty() && options_.transport) options_.transport->send(std::move(out.send));
  if (out.apply) apply_.submit(std::move(*out.apply));
  if (answers == Answers::Now) {
    for (auto& [done, result] : out.reads) done(std::move(result));
    for (auto& [done, result] : out.requests) done(std::move(result));
  } else {
    for (auto& each : out.reads) deferred_reads_.push_back(std::move(each));
    for (auto& each : out.requests) deferred_requests_.push_back(std::move(each));
  }
  for (const FetchLog& fetch : out.fetch) read_log(fetch);
  perform_snapshots(out);
}

void NodeImpl::answer_deferred() {
  for (auto& [done, result] : std::exchange(deferred_reads_, {})) done(std::move(result));
  for (auto& [done, result] : std::exchange(deferred_requests_, {})) done(std::move(result));
}

void NodeImpl::perform_snapshots(const DriverOutput& out) {
  // A new fetch replaces what was dropped before it.
  if (out.drop_snapshot) keeper_->drop();
  if (out.make_snapshot) keeper_->make();
  if (out.fetch_snapshot) keeper_->fetch(*out.fetch_snapshot);
}

void NodeImpl::read_log(const FetchLog& fetch) {
  log_reader_.post([this, fetch] {
    auto entries = storage_->read(fetch.range, fetch.max_bytes);
    if (!entries) log::warn("raft", "entries for a peer: {}", entries.error().message);
    inbox_.fetched({fetch.peer, fetch.range, entries ? std::move(*entries) : std::vector<Entry>()});
  });
}

// ---- what others see ----------------------------------------------------------------------

Status NodeImpl::status() const {
  Status out;
  Instant contact;
  {
    std::lock_guard lock(status_mutex_);
    out = status_;
    contact = leader_contact_;
  }
  out.applied = Index(applied_.load(std::memory_order_acquire));
  out.commit = std::max(out.commit, out.applied);
  if (out.role != Role::Leader) out.last_contact = now() - std::max(contact, started_);
  return out;
}

void NodeImpl::publish(const SoftState& soft) {
  if (soft == published_) return;
  readable_until_.store(soft.readable_until.time_since_epoch().count(), std::memory_order_release);
  const bool changed = soft.role != published_.role || soft.term != published_.term ||
                       soft.leader != published_.leader;
  if (changed) metrics_.changed(published_, soft);
  published_ = soft;
  {
    std::lock_guard lock(status_mutex_);
    status_.role = soft.role;
    status_.term = soft.term;
    status_.leader = soft.leader;
    status_.commit = soft.commit;
    status_.last = soft.last;
    status_.durable = soft.durable;
    status_.quarantined = soft.quarantined;
    status_.transferring = soft.transferring;
    leader_contact_ = soft.leader_contact;
  }
  if (!changed) return;
  if (soft.role == Role::Leader) log::info("raft", "leader of term {}", soft.term.value);
  if (options_.on_role_change) options_.on_role_change(status());
}

void NodeImpl::publish_members() {
  const Configuration& configuration = driver_.core().configuration();
  if (configuration.members == addressed_ && configuration == members_) return;
  members_ = configuration;
  {
    std::lock_guard lock(status_mutex_);
    published_members_ = configuration;
  }
  if (configuration.members == addressed_) return;
  addressed_ = configuration.members;
  if (options_.transport) options_.transport->set_peers(addressed_);
}

void NodeImpl::publish_peers(Instant at) {
  const bool leads = published_.role == Role::Leader;
  const bool due = leads ? peers_published_ == Instant::min() || peers_published_ + kPeersAge <= at
                         : peers_published_ != Instant::min();
  if (!due) return;
  peers_published_ = leads ? at : Instant::min();
  auto known = driver_.core().peers();
  std::lock_guard lock(status_mutex_);
  published_peers_ = std::move(known);
}

// ---- are all states the same? -------------------------------------------------------------

void NodeImpl::compare_states(Instant at) {
  if (options_.check_interval <= Duration::zero()) return;
  const bool leads = published_.role == Role::Leader && members_.members.size() > 2;
  if (!leads) {
    check_at_ = Instant::max();
    return;
  }
  if (at < compare_at_) return;
  compare_at_ = at + kCompareEvery;
  if (check_at_ == Instant::max()) check_at_ = at + options_.check_interval;
  if (check_at_ <= at) {
    check_at_ = at + options_.check_interval;
    DriverInput::Propose check{std::make_shared<const std::string>(), [](const Result<Applied>&) {},
                               EntryType::Check};
    inbox_.propose(check);
  }
  const OwnCheck own = own_check_.with([](const OwnCheck& value) { return value; });
  if (own.check != Index{} && own.check != judged_) judge_states(at, own);
}

// When everybody who is there has reported, or has had time to.
void NodeImpl::judge_states(Instant at, const OwnCheck& own) {
  static metrics::Counter& checks = metrics::counter("fyr.raft.digest_checks");
  static metrics::Counter& mismatches = metrics::counter("fyr.raft.digest_mismatch");
  std::vector<StateDigest> reports{{self_, own.digest}};
  for (const PeerStatus& peer : driver_.core().peers()) {
    if (peer.check == own.check) reports.push_back({peer.id, peer.digest});
  }
  if (reports.size() < members_.members.size() && at < own.at + kReportPatience) return;
  judged_ = own.check;
  checks.add();
  const StateVerdict verdict = judge(reports);
  if (!verdict.differ) return;
  mismatches.add();
  if (!verdict.agreed) {
    log::error("raft", "states differ at index {}, and no majority agrees", own.check.value);
    return;
  }
  for (const NodeId id : verdict.odd) {
    const Member* member = members_.find(id);
    log::error("raft", "the state of {} differs from the others' at index {}: it is made anew",
               member != nullptr ? member->name : to_text(id), own.check.value);
  }
  DriverInput::Propose agreed{
      std::make_shared<const std::string>(encode(AgreedDigest{own.check, *verdict.agreed})),
      [](const Result<Applied>&) {}, EntryType::Check};
  inbox_.propose(agreed);
}

// On a thread that may block; the machine ends the process.
void NodeImpl::rebuild_state(StateMachine& machine, Index check) {
  keeper_->worker().post([this, &machine, check] {
    if (auto done = hand_over_leadership(*this, kHandOverPatience); !done) {
      log::warn("raft", "{}", done.error().message);
    }
    machine.distrust("the state differs from the others' at index " + std::to_string(check.value));
  });
}

}  // namespace

Result<std::shared_ptr<FolderClaim>> claim_folder(const std::filesystem::path& directory) {
  return RocksStorage::claim(directory);
}

Result<std::unique_ptr<Node>> Node::open(NodeOptions options, StateMachine& machine) {
  auto storage =
      RocksStorage::open({.directory = options.directory,
                          .bootstrap = options.bootstrap,
                          .name = options.name,
                          .address = options.address,
                          .site = options.site,
                          .priority = options.priority,
                          .members = {},
                          .state = LogPosition{machine.applied(), machine.applied_term()},
                          .claim = options.claim});
  if (!storage) return storage.error();
  RecoveredState recovered = (*storage)->take_recovered();
  recovered.applied = machine.applied();
  recovered.durable_applied = std::min(machine.durable_applied(), machine.applied());
  auto note = std::make_unique<CommitNote>(options.directory / "committed");
  if (note->found()) recovered.committed = *note->found();
  log::info("raft", "{}: entries {} to {}, state at {}", options.directory.string(),
            recovered.base.index.value + 1, recovered.last.value, recovered.applied.value);
  auto node = std::make_unique<NodeImpl>(std::move(options), machine, std::move(*storage),
                                         std::move(recovered), std::move(note));
  if (auto started = node->start(machine); !started) return started.error();
  return std::unique_ptr<Node>(std::move(node));
}

Result<void> hand_over_leadership(Node& node, Duration patience) {
  const Configuration members = node.members();
  if (node.status().role != Role::Leader || members.voters.size() < 2) return {};
  auto promise = std::make_shared<std::promise<Result<void>>>();
  auto future = promise->get_future();
  node.transfer_leadership(
      {}, [promise](Result<void> result) { promise->set_value(std::move(result)); });
  if (future.wait_for(patience) != std::future_status::ready) {
    return fail(ErrorCode::Timeout, "nobody took the leadership over in time");
  }
  return future.get();
}

}  // namespace fyr::raft
