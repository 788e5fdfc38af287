// The disk of one node: what is durable, and what one running write has put into the page cache.
//
// A write is a group of PersistBatches, performed as raft/rocks_storage.cc does: the newest hard
// state first, synced; then truncations and entries as one record, synced. At a power cut the
// unsynced part is kept or lost; a killed process leaves what it had handed to the kernel.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/random.h"
#include "tests/sim/raft/log_image.h"
#include "tests/sim/raft/machine.h"

namespace fyr::raft::sim {

struct StoredSnapshot {
  SnapshotMeta meta;
  Configuration configuration;
  std::shared_ptr<const MachineState> state;
  std::uint64_t chain = 0;  // the observer's hash of the log at its index
};

class Disk final : public StateStore {
 public:
  // Told when something became durable.
  struct Watcher {
    virtual ~Watcher() = default;
    virtual void hard_state_durable(const HardState& before, const HardState& now) = 0;
    // After it was performed on log().
    virtual void batch_durable(const PersistBatch& batch) = 0;
  };

  const HardState& hard() const { return hard_; }
  const LogImage& log() const { return log_; }
  std::uint64_t incarnation() const { return incarnation_; }
  bool ever_voted() const { return hard_.term != Term{} || log_.last() != Index{}; }
  const MachineState& durable_state() const override { return state_; }
  void store_state(const MachineState& state) override;
  std::optional<LogPosition> quarantine() const { return quarantine_; }

  void bootstrap(const HardState& hard, Entry first);

  // One write at a time.
  bool writing() const { return !group_.empty(); }
  void begin(std::vector<PersistBatch> group);
  bool has_new_hard_state() const;
  bool installing() const {
    return std::ranges::any_of(group_, [](const auto& batch) { return batch.install.has_value(); });
  }
  bool hard_state_synced() const { return hard_synced_; }
  void sync_hard_state(Watcher& watcher);
  void hand_to_kernel() { in_kernel_ = true; }
  WriteId sync(Watcher& watcher);
  // The next sync loses what it should have kept; only a mutated writer goes on then.
  void fail_sync() { sync_fails_ = true; }
  void compact(const LogBase& base);

  // Durable entries behind the durable state are gone, at most so many. What was lost last: what
  // the watermark of a real disk tells at the start. Nothing: there was nothing to lose.
  std::optional<LogPosition> lose_tail(std::uint64_t entries);

  // The process is gone; the disk becomes what the next one finds.
  void crash(bool power, Random& random, Watcher& watcher);
  std::uint64_t raise_incarnation() { return ++incarnation_; }

  // Snapshots made here, by id; a fetched one that can be installed.
  std::map<std::string, StoredSnapshot>& snapshots() { return snapshots_; }
  void drop_oldest_snapshot();
  std::optional<StoredSnapshot>& prepared() { return prepared_; }
  // (id, pieces) of one that is being fetched.
  std::pair<std::string, std::uint64_t>& partial_snapshot() { return partial_; }

 private:
  void perform(const PersistBatch& batch, Watcher& watcher);

  HardState hard_;
  LogImage log_;
  MachineState state_;
  std::optional<LogPosition> quarantine_;
  std::uint64_t incarnation_ = 0;
  std::map<std::string, StoredSnapshot> snapshots_;
  std::optional<StoredSnapshot> prepared_;
  std::pair<std::string, std::uint64_t> partial_;

  std::vector<PersistBatch> group_;
  bool hard_synced_ = false;
  bool in_kernel_ = false;
  bool sync_fails_ = false;
};

}  // namespace fyr::raft::sim
