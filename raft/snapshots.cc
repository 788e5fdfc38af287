// Offering and installing snapshots (raft.md §8).
#include "raft/core.h"

namespace fyr::raft {
void Core::on_snapshot(Instant now, SnapshotEvent) {
  advance(now);
}
void Core::consider_snapshots() {}
Index Core::pinned_from() const {
  return Index(~std::uint64_t{0});
}
void Core::installed() {}
void Core::drop_fetch() {}
void Core::handle(const Message&, const SnapshotOffer&) {}
void Core::handle(const Message&, const SnapshotDone&) {}
}  // namespace fyr::raft
