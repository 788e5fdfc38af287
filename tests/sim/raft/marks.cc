#include "tests/sim/raft/marks.h"

namespace fyr::raft::sim {
namespace {

// In the order of Mark.
constexpr const char* kNames[] = {
    "election-won",
    "vote-asked-after-crash-in-same-term",
    "split-vote",
    "vote-refused",
    "pre-vote-refused",
    "pre-vote-refused-by-promise",
    "pre-vote-refused-by-log",
    "step-down",
    "conflict-truncation",
    "conflict-over-two-terms",
    "old-term-on-majority",
    "commit-without-leader-disk",
    "unsynced-lost",
    "unsynced-kept",
    "hard-state-lost",
    "killed-while-writing",
    "message-of-earlier-life",
    "message-replayed",
    "follower-restart-inside-promise",
    "read-by-lease",
    "read-by-lease-near-expiry",
    "read-by-round",
    "read-at-follower",
    "read-refused",
    "lease-run-out-after-pause",
    "unknown-then-committed",
    "repeated-command",
    "log-compacted",
    "entries-fetched-from-disk",
    "transfer-done",
    "transfer-failed",
    "transfer-late",
    "joint-entered",
    "joint-inherited",
    "joint-truncated",
    "joint-left",
    "leader-removed",
    "learner-promoted",
    "learner-voted",
    "configuration-refused",
    "snapshot-made",
    "snapshot-installed",
    "snapshot-over-conflict",
    "snapshot-kept-suffix",
    "snapshot-resumed",
    "snapshot-overtaken",
    "install-interrupted",
    "disk-frozen-leader",
    "disk-stalled-step-down",
    "disk-error",
    "acknowledged-lost",
    "quarantine-ended",
    "window-lost",
    "appended-twice",
    "clock-jumped",
    "priority-zero-leads",
    "rebalanced",
    "single-voter",
    "even-voters",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Mark::Count));

}  // namespace

void Marks::add(const Marks& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

std::string Marks::table() const {
  std::string out;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::string count = std::to_string(counts_[i]);
    out += std::string(count.size() < 12 ? 12 - count.size() : 0, ' ') + count + "  " + kNames[i] +
           "\n";
  }
  return out;
}

std::string Marks::missing() const {
  std::string out;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    // Needs a new leader that holds what the old one has compacted, and the end of a transfer
    // within the round trip in which it does not know yet what is committed: once in very many
    // seeds.
    if (static_cast<Mark>(i) == Mark::SnapshotKeptSuffix) continue;
    if (counts_[i] == 0) out += std::string(out.empty() ? "" : " ") + kNames[i];
  }
  return out;
}

}  // namespace fyr::raft::sim
