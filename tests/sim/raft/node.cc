#include "tests/sim/raft/node.h"

#include "base/check.h"
#include "raft/mutation.h"
#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {

Node::Process::Process(Node& node, const CoreConfig& config, RecoveredState recovered,
                       std::uint64_t seed)
    : driver(config, std::move(recovered), seed),
      machine(node.disk_,
              [&node](const Entry& entry, const Outcome&, const MachineState& state) {
                node.world_.oracle().on_apply(node.place_, entry, state);
              }),
      applier(
          machine, node.disk_.durable_state().applied,
          [&node](IndexRange range, std::size_t) -> Result<std::vector<Entry>> {
            std::vector<Entry> out;
            for (Index i = range.first; i <= range.last; i = i.next()) {
              if (!node.disk_.log().holds(i)) return fail(ErrorCode::Corrupt, "no entry");
              out.push_back(node.disk_.log().at(i).entry);
            }
            return out;
          },
          [&node](Index reached, Index durable, bool flushed) {
            node.progressed(reached, durable, flushed);
          }) {}

Node::Node(World& world, std::size_t place, Clock clock, std::uint64_t seed)
    : world_(world), place_(place), clock_(clock), random_(seed) {}

void Node::schedule(Nanos delay, EventKind kind, std::uint64_t argument) {
  world_.schedule({.at = world_.now() + delay,
                   .kind = kind,
                   .node = static_cast<std::uint8_t>(place_),
                   .life = life_,
                   .argument = argument});
}

// ---- life -------------------------------------------------------------------------------------

void Node::start() {
  ++life_;
  paused_until_ = 0;
  transfers_asked_ = 0;
  world_.oracle().on_start(place_);
  if (world_.now() - crashed_at_ < world_.knobs().core.election_min.count()) {
    world_.marks().hit(Mark::FollowerRestartInsidePromise);
  }
  CoreConfig config = world_.knobs().core;
  config.self = id();
  config.incarnation = disk_.raise_incarnation();
  RecoveredState recovered = disk_.log().recovered();
  recovered.hard = disk_.hard();
  recovered.applied = disk_.durable_state().applied;
  recovered.durable_applied = recovered.applied;
  recovered.quarantine = disk_.quarantine();
  recovered.ever_voted = disk_.ever_voted();
  recovered.committed = noted_;
  recovered.alone_since = ended_;
  if (world_.tracing()) world_.trace("start n" + std::to_string(place_ + 1));
  process_ = std::make_unique<Process>(*this, config, std::move(recovered), random_.next());
  process_->applied = disk_.durable_state().applied;
  process_->wanted = core().wanted_applied();
  soft_ = {};
  // A stream to everybody comes up, or not.
  for (std::size_t peer = 0; peer < world_.nodes(); ++peer) {
    if (peer == place_ || !world_.node(peer).alive()) continue;
    if (world_.network().cut(peer, place_) || world_.network().cut(place_, peer)) continue;
    const Nanos delay = kMilli * static_cast<Nanos>(1 + random_.below(500));
    schedule(delay, EventKind::Link, (peer + 1) << 8 | static_cast<std::uint64_t>(LinkState::Up));
    world_.schedule({.at = world_.now() + delay,
                     .kind = EventKind::Link,
                     .node = static_cast<std::uint8_t>(peer),
                     .life = world_.node(peer).life(),
                     .argument = (place_ + 1) << 8 | static_cast<std::uint64_t>(LinkState::Up)});
  }
  wake();
}

void Node::crash(bool power) {
  if (disk_.writing()) world_.marks().hit(Mark::KilledWhileWriting);
  const bool follows = soft_.role == Role::Follower && soft_.leader != NodeId{};
  crashed_at_ = follows ? world_.now() : -kNever / 2;
  // A note without a sync: whole after a kill, of any age after a power cut.
  if (process_ && (!power || life_ % 2 == 0)) {
    const Index applied = core().view().applied;
    if (const auto term = core().term_at(applied)) noted_ = {applied, *term};
  }
  ended_ = clock_.at(world_.now());
  process_.reset();
  ++life_;
  paused_until_ = 0;
  fail_write_ = false;
  world_.oracle().on_crash(place_);
  const Index before = disk_.log().last();
  const HardState hard = disk_.hard();
  const bool hard_under_way = disk_.writing() && !disk_.hard_state_synced();
  if (disk_.installing()) world_.marks().hit(Mark::InstallInterrupted);
  disk_.crash(power, random_, *this);
  if (hard_under_way && disk_.hard() == hard) world_.marks().hit(Mark::HardStateLost);
  world_.marks().hit(disk_.log().last() == before ? Mark::UnsyncedLost : Mark::UnsyncedKept);
}

void Node::lose_tail(std::uint64_t entries) {
  const std::optional<LogPosition> lost = disk_.lose_tail(entries);
  if (!lost) return;
  world_.marks().hit(Mark::AcknowledgedLost);
  world_.oracle().on_loss(place_);
  if (world_.tracing()) world_.trace("lost up to " + std::to_string(lost->index.value));
}

void Node::calm_down() {
  slow_ = 0;
  fail_write_ = false;
  frozen_until_ = 0;
  if (process_ && disk_.writing()) {
    schedule_write(kMilli, disk_.hard_state_synced() ? EventKind::Synced : EventKind::HardState);
  }
}

void Node::schedule_write(Nanos delay, EventKind kind) {
  schedule(delay + std::max<Nanos>(0, frozen_until_ - world_.now()), kind, ++write_step_);
}

void Node::handle(const Event& event) {
  switch (event.kind) {
    case EventKind::Step:
      return step();
    case EventKind::Timer:
      return timer();
    case EventKind::HardState:
      if (event.argument != write_step_) return;
      disk_.sync_hard_state(*this);
      return schedule_write(world_.knobs().write_time, EventKind::Written);
    case EventKind::Written:
      return event.argument == write_step_ ? written() : void();
    case EventKind::Synced:
      return event.argument == write_step_ ? synced() : void();
    case EventKind::Apply:
      return apply();
    case EventKind::Flush: {
      ApplyTask task;
      task.flush = true;
      return submit_apply(std::move(task));
    }
    case EventKind::Fetch:
      return fetch();
    case EventKind::Snapshot:
      return snapshot(event.argument);
    default:
      CHECK_MSG(false, "an event that is not a node's");
  }
}

// ---- the raft thread --------------------------------------------------------------------------

void Node::wake() {
  if (process_->step_due) return;
  process_->step_due = true;
  schedule(kMicro * static_cast<Nanos>(1 + random_.below(40)), EventKind::Step);
}

void Node::step() {
  Process& process = *process_;
  process.step_due = false;
  DriverOutput out = process.driver.step(clock_.at(world_.now()), process.input);
  process.input.written = {};
  process.wanted = core().wanted_applied();
  Oracle& oracle = world_.oracle();
  oracle.on_role(world_.now(), place_, out.soft);
  for (const PersistBatch& batch : out.persist) oracle.on_emit(world_.now(), place_, batch);
  const CoreView view = core().view();
  oracle.on_step(world_.now(), place_, out.soft, view);
  world_.note(place_, mix(view.last.value * 8 + view.commit.value, view.hard.term.value));
  if (world_.tracing() && (out.soft.role != soft_.role || out.soft.term != soft_.term)) {
    constexpr const char* kRoles[] = {"follows", "campaigns", "leads"};
    world_.trace("n" + std::to_string(place_ + 1) + " " + kRoles[static_cast<int>(out.soft.role)] +
                 " in term " + std::to_string(out.soft.term.value));
  }
  if (soft_.role == Role::Leader && out.soft.role != Role::Leader && soft_.term == out.soft.term &&
      frozen_until_ > world_.now()) {
    world_.marks().hit(Mark::DiskStalledStepDown);
  }
  soft_ = out.soft;
  set_timer(out.wake_at);
  perform(out);
  if (process_ && !process_->input.proposals.empty()) wake();
}

void Node::set_timer(std::optional<Instant> wake_at) {
  Process& process = *process_;
  process.wake_at = wake_at ? std::max(world_.now() + kMicro, clock_.when(*wake_at)) : kNever;
  if (process.wake_at >= process.timer_at) return;
  process.timer_at = process.wake_at;
  schedule(process.timer_at - world_.now(), EventKind::Timer);
}

void Node::timer() {
  Process& process = *process_;
  if (world_.now() < process.timer_at) return;  // of an earlier time that was moved
  process.timer_at = kNever;
  if (process.wake_at <= world_.now()) return wake();
  if (process.wake_at == kNever) return;
  process.timer_at = process.wake_at;
  schedule(process.timer_at - world_.now(), EventKind::Timer);
}

void Node::perform(DriverOutput& out) {
  submit_writes(out);
  if (out.apply) submit_apply(std::move(*out.apply));
  for (Message& message : out.send) {
    if (transfers_asked_ == 0 && std::holds_alternative<TimeoutNow>(message.body) &&
        frozen_until_ <= world_.now() && slow_ == 0) {
      world_.marks().hit(Mark::Rebalanced);
    }
    world_.send(place_, std::move(message));
  }
  for (FetchLog& request : out.fetch) process_->to_fetch.push_back(std::move(request));
  if (!process_->to_fetch.empty() && !process_->fetch_due) {
    process_->fetch_due = true;
    schedule(world_.knobs().write_time, EventKind::Fetch);
  }
  if (out.make_snapshot) make_snapshot();
  if (out.drop_snapshot) {
    if (process_->fetching) world_.marks().hit(Mark::SnapshotOvertaken);
    process_->fetching.reset();
  }
  if (out.fetch_snapshot) {
    process_->fetching = *out.fetch_snapshot;
    fetch_snapshot();
  }
  for (auto& [done, result] : out.reads) done(std::move(result));
  for (auto& [done, result] : out.requests) done(std::move(result));
}

void Node::receive(Message message) {
  process_->input.messages.push_back(std::move(message));
  wake();
}

void Node::link(NodeId peer, LinkState state) {
  process_->input.links.emplace_back(peer, state);
  wake();
}

void Node::propose(std::shared_ptr<const std::string> data, ProposeDone done) {
  process_->input.proposals.push_back({std::move(data), std::move(done)});
  wake();
}

void Node::read(ReadMode mode, ReadDone done) {
  process_->input.reads.push_back({mode, std::move(done)});
  wake();
}

void Node::change(ConfigChange change, std::function<void(Result<void>)> done) {
  process_->input.changes.push_back({std::move(change), std::move(done)});
  wake();
}

void Node::transfer(NodeId to, std::function<void(Result<void>)> done) {
  ++transfers_asked_;
  process_->input.transfers.push_back({to, [this, done = std::move(done)](Result<void> result) {
                                         --transfers_asked_;
                                         done(std::move(result));
                                       }});
  wake();
}

std::optional<Index> Node::read_by_lease() {
  const Instant now = clock_.at(world_.now());
  if (now >= soft_.readable_until) return std::nullopt;
  if (soft_.readable_until != Instant::max() &&
      soft_.readable_until - now < world_.knobs().core.election_min / 10) {
    world_.marks().hit(Mark::ReadByLeaseNearExpiry);
  }
  return process_->applied;
}

// ---- the raft-log thread ----------------------------------------------------------------------

void Node::submit_writes(DriverOutput& out) {
  Process& process = *process_;
  for (PersistBatch& batch : out.persist) process.to_write.push_back(std::move(batch));
  if (out.compact) process.to_compact = std::move(out.compact);
  if (!disk_.writing()) begin_write();
}

void Node::begin_write() {
  Process& process = *process_;
  if (process.to_write.empty()) {
    if (process.to_compact) {
      disk_.compact(*process.to_compact);
      process.to_compact.reset();
      world_.marks().hit(Mark::LogCompacted);
    }
    return;
  }
  std::vector<PersistBatch> group;
  if (process.to_write.size() <= world_.knobs().group_limit) {
    group.swap(process.to_write);
  } else {
    const auto end =
        process.to_write.begin() + static_cast<std::ptrdiff_t>(world_.knobs().group_limit);
    group.assign(std::make_move_iterator(process.to_write.begin()), std::make_move_iterator(end));
    process.to_write.erase(process.to_write.begin(), end);
  }
  disk_.begin(std::move(group));
  const Nanos sync = world_.knobs().sync_time;
  if (disk_.has_new_hard_state()) {
    return schedule_write(2 * sync + slow_, EventKind::HardState);
  }
  schedule_write(world_.knobs().write_time, EventKind::Written);
}

void Node::written() {
  disk_.hand_to_kernel();
  const double jitter = 0.5 + random_.unit();
  const Nanos sync =
      static_cast<Nanos>(jitter * static_cast<double>(world_.knobs().sync_time)) + slow_;
  schedule_write(sync, EventKind::Synced);
}

void Node::synced() {
  if (frozen_until_ > world_.now()) {  // it froze in the middle
    return schedule_write(0, EventKind::Synced);
  }
  if (fail_write_) {
    world_.marks().hit(Mark::DiskError);
    if (!mutated(Mutation::M36)) return world_.kill(place_, true, 200 * kMilli);
    fail_write_ = false;
    disk_.fail_sync();
  }
  process_->input.written = disk_.sync(*this);
  wake();
  begin_write();
}

void Node::hard_state_durable(const HardState& before, const HardState& now) {
  world_.oracle().on_hard_state(place_, before, now);
}

void Node::batch_durable(const PersistBatch& batch) {
  world_.oracle().on_durable(world_.now(), place_, batch);
}

// ---- the apply thread -------------------------------------------------------------------------

void Node::submit_apply(ApplyTask task) {
  Process& process = *process_;
  if (process.to_apply.empty() || !process.to_apply.back().merge(task)) {
    process.to_apply.push_back(std::move(task));
  }
  if (process.applying) return;
  process.applying = true;
  schedule(kMicro * static_cast<Nanos>(1 + random_.below(200)), EventKind::Apply);
}

void Node::apply() {
  Process& process = *process_;
  ApplyTask task = std::move(process.to_apply.front());
  process.to_apply.pop_front();
  process.applying = !process.to_apply.empty();
  if (process.applying) {
    schedule(kMicro * static_cast<Nanos>(1 + random_.below(200)), EventKind::Apply);
  }
  if (auto done = process.applier.run(task); !done) broken("I10", done.error().message);
}

void Node::progressed(Index reached, Index durable, bool flushed) {
  Process& process = *process_;
  process.applied = reached;
  process.input.applied = DriverInput::AppliedTo{reached, durable};
  if (flushed || reached >= process.wanted) wake();
}

// ---- reading the log ---------------------------------------------------------------------------

void Node::fetch() {
  Process& process = *process_;
  process.fetch_due = false;
  world_.marks().hit(Mark::EntriesFetchedFromDisk);
  for (FetchLog& request : process.to_fetch) {
    FetchedLog fetched{.peer = request.peer, .range = request.range, .entries = {}};
    std::size_t bytes = 0;
    for (Index i = request.range.first; i <= request.range.last && disk_.log().holds(i);
         i = i.next()) {
      const Entry& entry = disk_.log().at(i).entry;
      bytes += entry_cost(entry);
      if (!fetched.entries.empty() && bytes > request.max_bytes) break;
      fetched.entries.push_back(entry);
    }
    process.input.fetched.push_back(std::move(fetched));
  }
  process.to_fetch.clear();
  wake();
}

}  // namespace fyr::raft::sim
