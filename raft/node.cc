#include "raft/node.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "raft/apply_thread.h"
#include "raft/driver.h"
#include "raft/log_writer.h"
#include "raft/rocks_storage.h"
#include "raft/thread_name.h"

namespace fyr::raft {
namespace {

// What other threads left for the raft thread.
class Inbox {
 public:
  static constexpr std::size_t kMaxProposalBytes = 64u << 20;
  static constexpr std::size_t kMaxReads = 20'000;

  // Takes from `proposal` only if there is no error.
  std::optional<Error> propose(DriverInput::Propose& proposal) {
    return add([&]() -> std::optional<Error> {
      const std::size_t size = proposal.data->size() + 64;
      if (bytes_ + size > kMaxProposalBytes) {
        return fail(ErrorCode::ResourceExhausted, "too many writes are waiting");
      }
      bytes_ += size;
      waiting_.proposals.push_back(std::move(proposal));
      return std::nullopt;
    });
  }
  std::optional<Error> read(DriverInput::Read& read) {
    return add([&]() -> std::optional<Error> {
      if (waiting_.reads.size() >= kMaxReads) {
        return fail(ErrorCode::ResourceExhausted, "too many reads are waiting");
      }
      waiting_.reads.push_back(std::move(read));
      return std::nullopt;
    });
  }
  void written(WriteId upto) {
    add([&]() -> std::optional<Error> {
      waiting_.written = upto;
      return std::nullopt;
    });
  }
  // Wakes the raft thread only if it waits for this: progress of the state is rarely urgent.
  void applied(Index applied, Index durable, bool urgent) {
    std::unique_lock lock(mutex_);
    waiting_.applied = DriverInput::AppliedTo{applied, durable};
    if (urgent || applied >= wanted_) wake(lock);
  }
  void stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    wake(lock);
  }

  // Adds what came to `input`, waiting for something if that is empty. `wanted`: the applied
  // index that matters; false: stopped.
  bool take(DriverInput& input, std::optional<Instant> until, Index wanted) {
    std::unique_lock lock(mutex_);
    wanted_ = wanted;
    const bool relevant = waiting_.applied && waiting_.applied->applied >= wanted;
    awake_ = awake_ || stopped_ || relevant || !input.proposals.empty();
    while (!awake_) {
      if (!until) {
        wake_.wait(lock);
        continue;
      }
      const Duration left = *until - now();
      if (left <= Duration::zero()) break;
      wake_.wait_for(lock, left);
    }
    awake_ = false;
    bytes_ = 0;
    input.merge(waiting_);
    return !stopped_;
  }

 private:
  template <class F>
  std::optional<Error> add(F&& f) {
    std::unique_lock lock(mutex_);
    if (stopped_) return fail(ErrorCode::Stopped, "stopping");
    auto error = f();
    if (!error) wake(lock);
    return error;
  }
  void wake(std::unique_lock<std::mutex>& lock) {
    const bool sleeps = !awake_;
    awake_ = true;
    lock.unlock();
    if (sleeps) wake_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  // All guarded by mutex_.
  DriverInput waiting_;
  std::size_t bytes_ = 0;
  Index wanted_{};
  bool awake_ = false;
  bool stopped_ = false;
};

class NodeImpl final : public Node {
 public:
  NodeImpl(NodeOptions options, StateMachine& machine, std::unique_ptr<RocksStorage> storage,
           RecoveredState recovered)
      : options_(std::move(options)),
        storage_(std::move(storage)),
        self_(storage_->identity().node),
        driver_(CoreConfig{.self = self_}, std::move(recovered)),
        applied_(driver_.core().view().applied.value),
        writer_(
            *storage_, [this](WriteId upto) { inbox_.written(upto); },
            [this](const Error& error) { on_fatal(error); }),
        apply_(make_applier(machine), [this](const Error& error) { on_fatal(error); }),
        thread_([this] { run(); }) {}

  ~NodeImpl() override { stop(); }

  void propose(std::string data, std::function<void(Result<Applied>)> done) override {
    DriverInput::Propose proposal{std::make_shared<const std::string>(std::move(data)),
                                  std::move(done)};
    if (auto error = inbox_.propose(proposal)) refuse(std::move(proposal.done), *error);
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

  Status status() const override {
    Status out;
    {
      std::lock_guard lock(status_mutex_);
      out = status_;
    }
    out.applied = Index(applied_.load(std::memory_order_acquire));
    out.commit = std::max(out.commit, out.applied);
    if (out.role != Role::Leader) out.last_contact = now() - started_;
    return out;
  }

  void stop() override {
    const auto self = std::this_thread::get_id();
    CHECK_MSG(self != raft_thread_.load() && self != apply_.id(), "a callback stops its node");
    std::lock_guard lock(stop_mutex_);
    inbox_.stop();
    if (thread_.joinable()) thread_.join();
    writer_.stop();
    apply_.stop();
  }

 private:
  Applier make_applier(StateMachine& machine) {
    return Applier(
        machine, Index(applied_.load()),
        [this](IndexRange range, std::size_t bytes) { return storage_->read(range, bytes); },
        [this](Index applied, Index durable, bool flushed) {
          applied_.store(applied.value, std::memory_order_release);
          inbox_.applied(applied, durable, flushed);
        });
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

  void run() {
    name_this_thread("raft");
    raft_thread_.store(std::this_thread::get_id());
    DriverInput input;
    std::optional<Instant> wake_at = now();
    Index wanted = driver_.core().wanted_applied();
    while (inbox_.take(input, wake_at, wanted)) {
      DriverOutput out = driver_.step(now(), input);
      wake_at = out.wake_at;
      wanted = driver_.core().wanted_applied();
      // What readers may rely on is said before anybody is answered or anything is applied.
      publish(out.soft);
      perform(out);
    }
    DriverOutput rest = driver_.abandon(input);
    perform(rest);
    ended_.store(true);
  }

  void perform(DriverOutput& out) {
    if (!out.persist.empty() || out.compact) {
      writer_.submit(std::move(out.persist), std::move(out.compact));
    }
    if (out.apply) apply_.submit(std::move(*out.apply));
    for (auto& [done, result] : out.reads) done(std::move(result));
  }

  void publish(const SoftState& soft) {
    if (soft == published_) return;
    readable_until_.store(soft.readable_until.time_since_epoch().count(),
                          std::memory_order_release);
    const bool changed = soft.role != published_.role || soft.term != published_.term ||
                         soft.leader != published_.leader;
    published_ = soft;
    {
      std::lock_guard lock(status_mutex_);
      status_.role = soft.role;
      status_.term = soft.term;
      status_.id = self_;
      status_.leader = soft.leader;
      status_.commit = soft.commit;
      status_.last = soft.last;
      status_.durable = soft.durable;
    }
    if (!changed) return;
    if (soft.role == Role::Leader) log::info("raft", "leader of term {}", soft.term.value);
    if (options_.on_role_change) options_.on_role_change(status());
  }

  const NodeOptions options_;
  const std::unique_ptr<RocksStorage> storage_;
  const NodeId self_;
  const Instant started_ = now();
  Inbox inbox_;
  Driver driver_;        // raft thread
  SoftState published_;  // raft thread
  std::atomic<std::uint64_t> applied_;
  std::atomic<Instant::rep> readable_until_{Instant::min().time_since_epoch().count()};
  std::atomic<bool> ended_{false};  // stopped or failed: nothing is served any more
  mutable std::mutex status_mutex_;
  Status status_;
  std::atomic<std::thread::id> raft_thread_;
  std::mutex stop_mutex_;
  LogWriter writer_;
  ApplyThread apply_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Node>> Node::open(NodeOptions options, StateMachine& machine) {
  auto storage =
      RocksStorage::open({.directory = options.directory,
                          .bootstrap = options.bootstrap,
                          .name = options.name,
                          .address = options.address,
                          .members = {},
                          .state = LogPosition{machine.applied(), machine.applied_term()}});
  if (!storage) return storage.error();
  RecoveredState recovered = (*storage)->take_recovered();
  recovered.applied = machine.applied();
  recovered.durable_applied = std::min(machine.durable_applied(), machine.applied());
  log::info("raft", "{}: entries {} to {}, state at {}", options.directory.string(),
            recovered.base.index.value + 1, recovered.last.value, recovered.applied.value);
  return std::unique_ptr<Node>(
      new NodeImpl(std::move(options), machine, std::move(*storage), std::move(recovered)));
}

}  // namespace fyr::raft
