// One server of the simulation: the real driver, core and applier between a simulated disk,
// network and clock. Its threads are events of the world: the raft thread (Step), the raft-log
// thread (HardState, Written, Synced), the apply thread (Apply), the snapshot thread (Snapshot).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "raft/driver.h"
#include "tests/sim/raft/clock.h"
#include "tests/sim/raft/disk.h"
#include "tests/sim/raft/events.h"

namespace fyr::raft::sim {

class World;

class Node final : public Disk::Watcher {
 public:
  Node(World& world, std::size_t place, Clock clock, std::uint64_t seed);

  std::size_t place() const { return place_; }
  NodeId id() const { return NodeId(place_ + 1); }
  bool alive() const { return process_ != nullptr; }
  bool paused() const { return paused_until_ > 0; }
  std::uint32_t life() const { return life_; }
  Clock& clock() { return clock_; }
  Disk& disk() { return disk_; }
  const SoftState& soft() const { return soft_; }
  const Core& core() const { return process_->driver.core(); }

  void start();
  void crash(bool power);
  void pause(Nanos until) { paused_until_ = until; }
  Nanos paused_until() const { return paused_until_; }
  void resume() { paused_until_ = 0; }
  // Writes take until then, whatever happens.
  void freeze_disk(Nanos until) { frozen_until_ = std::max(frozen_until_, until); }
  // The next write fails: the process ends (raft.md §10).
  void fail_next_write() { fail_write_ = true; }
  void set_slow(Nanos extra) { slow_ = extra; }
  void calm_down();
  // Its disk, of a node that is down, loses so many entries that were durable, or as many as the
  // state does not hold.
  void lose_tail(std::uint64_t entries);
  // A snapshot for an operator.
  void make_backup();

  // What other threads and machines leave for the raft thread.
  void receive(Message message);
  void link(NodeId peer, LinkState state);
  void propose(std::shared_ptr<const std::string> data, ProposeDone done);
  void read(ReadMode mode, ReadDone done);
  void change(ConfigChange change, std::function<void(Result<void>)> done);
  void transfer(NodeId to, std::function<void(Result<void>)> done);
  // Node::can_read_now(): local state at once, if the published lease covers it.
  std::optional<Index> read_by_lease();
  Index applied() const { return process_->applied; }

  void handle(const Event& event);

 private:
  struct Process {
    Process(Node& node, const CoreConfig& config, RecoveredState recovered, std::uint64_t seed);
    Driver driver;
    Machine machine;
    Applier applier;
    DriverInput input;
    bool step_due = false;
    Index wanted{};
    Index applied{};
    Nanos timer_at = kNever;  // of the pending event
    Nanos wake_at = kNever;
    std::vector<PersistBatch> to_write;
    std::optional<LogBase> to_compact;
    std::deque<ApplyTask> to_apply;
    bool applying = false;
    std::deque<FetchLog> to_fetch;
    bool fetch_due = false;
    std::optional<FetchSnapshot> fetching;
    bool fetch_running = false;
    MachineState copied;  // when a snapshot was asked for
    MachineState backup;
    std::uint64_t pieces_here = 0;  // fetched in this life
  };

  void wake();
  void step();
  void perform(DriverOutput& out);
  void set_timer(std::optional<Instant> wake_at);
  void timer();
  void schedule_write(Nanos delay, EventKind kind);
  void submit_writes(DriverOutput& out);
  void begin_write();
  void written();
  void synced();
  void submit_apply(ApplyTask task);
  void apply();
  void fetch();
  void make_snapshot();
  void fetch_snapshot();
  void snapshot(std::uint64_t what);
  void snapshot_made();
  void backup_made();
  void snapshot_piece();
  void finish_fetch(const StoredSnapshot* fetched);
  void progressed(Index applied, Index durable, bool flushed);
  void schedule(Nanos delay, EventKind kind, std::uint64_t argument = 0);

  void hard_state_durable(const HardState& before, const HardState& now) override;
  void batch_durable(const PersistBatch& batch) override;

  World& world_;
  const std::size_t place_;
  Clock clock_;
  LogPosition noted_;               // committed, for the next life
  Instant ended_ = Instant::min();  // the last life
  Random random_;
  Disk disk_;
  std::uint32_t life_ = 0;
  Nanos paused_until_ = 0;
  Nanos frozen_until_ = 0;
  Nanos slow_ = 0;
  Nanos crashed_at_ = -kNever / 2;  // as a follower
  unsigned transfers_asked_ = 0;
  bool fail_write_ = false;
  std::uint64_t write_step_ = 0;  // of the running write; an event of an earlier one is void
  std::unique_ptr<Process> process_;
  SoftState soft_;  // published
};

}  // namespace fyr::raft::sim
