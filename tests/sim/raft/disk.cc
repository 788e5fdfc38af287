#include "tests/sim/raft/disk.h"

#include "base/check.h"
#include "raft/mutation.h"

namespace fyr::raft::sim {

void Disk::store_state(const MachineState& state) {
  if (state.applied < state_.applied) return;  // of the generation before an installed snapshot
  const Index before = state_.applied;
  state_ = state;
  if (mutated(Mutation::M25)) state_.applied = before;
}

void Disk::bootstrap(const HardState& hard, Entry first) {
  hard_ = hard;
  log_.append(std::move(first), WriteId{});
}

void Disk::begin(std::vector<PersistBatch> group) {
  CHECK(group_.empty() && !group.empty());
  group_ = std::move(group);
  hard_synced_ = !has_new_hard_state();
  in_kernel_ = false;
}

bool Disk::has_new_hard_state() const {
  for (auto it = group_.rbegin(); it != group_.rend(); ++it) {
    if (it->hard) return *it->hard != hard_;
  }
  return false;
}

void Disk::sync_hard_state(Watcher& watcher) {
  if (hard_synced_) return;
  hard_synced_ = true;
  for (auto it = group_.rbegin(); it != group_.rend(); ++it) {
    if (!it->hard) continue;
    const HardState before = hard_;
    hard_ = *it->hard;
    watcher.hard_state_durable(before, hard_);
    return;
  }
}

void Disk::perform(const PersistBatch& batch, Watcher& watcher) {
  if (batch.install) {
    CHECK(prepared_ && prepared_->meta.index == batch.install->index);
    log_.install(*batch.install, prepared_->chain);
    state_ = *prepared_->state;
    prepared_.reset();
  }
  if (batch.end_quarantine) quarantine_.reset();
  if (batch.truncate_from != Index{}) log_.truncate_from(batch.truncate_from);
  for (const Entry& entry : batch.entries) log_.append(entry, batch.id);
  watcher.batch_durable(batch);
}

WriteId Disk::sync(Watcher& watcher) {
  CHECK(!group_.empty());
  sync_hard_state(watcher);
  const WriteId upto = group_.back().id;
  if (mutated(Mutation::M36) && sync_fails_) {  // tried again, and then it seems to succeed
    sync_fails_ = false;
    group_.clear();
    return upto;
  }
  // The group is taken out first: a watcher may end the run.
  const std::vector<PersistBatch> group = std::move(group_);
  group_.clear();
  for (const PersistBatch& batch : group) perform(batch, watcher);
  return upto;
}

void Disk::drop_oldest_snapshot() {
  auto oldest = snapshots_.begin();
  for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
    if (it->second.meta.index < oldest->second.meta.index) oldest = it;
  }
  snapshots_.erase(oldest);
}

void Disk::compact(const LogBase& base) {
  if (base.index <= log_.base()) return;
  if (base.index > state_.applied) {
    broken("D7", "log cut at " + std::to_string(base.index.value) + ", durable state at " +
                     std::to_string(state_.applied.value));
  }
  log_.compact(base.index);
}

std::optional<LogPosition> Disk::lose_tail(std::uint64_t entries) {
  const Index keep = std::max(log_.base(), state_.applied);
  if (log_.last() <= keep || writing()) return std::nullopt;
  const LogPosition lost{log_.last(), hard_.term};
  const std::uint64_t there = log_.last().value - keep.value;
  log_.truncate_from(Index(log_.last().value - std::min(entries, there) + 1));
  if (!mutated(Mutation::M29)) quarantine_ = lost;
  return lost;
}

void Disk::crash(bool power, Random& random, Watcher& watcher) {
  std::vector<PersistBatch> group = std::move(group_);
  group_.clear();
  if (!group.empty()) {
    const bool in_flight = !hard_synced_;
    if (in_flight && random.chance(0.5)) {
      group_ = group;
      sync_hard_state(watcher);
      group_.clear();
    }
    std::size_t kept = 0;
    if (!in_flight) {
      if (in_kernel_ && !power) {
        kept = group.size();
      } else if (in_kernel_ || random.chance(0.5)) {
        kept = random.below(group.size() + 1);
      }
    }
    for (std::size_t i = 0; i < kept; ++i) perform(group[i], watcher);
  }
  in_kernel_ = false;
  log_.forget_writes();
}

}  // namespace fyr::raft::sim
