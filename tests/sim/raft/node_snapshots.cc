// The snapshot thread of a simulated node: making, fetching piece by piece, preparing.
#include "base/check.h"
#include "raft/mutation.h"
#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {
namespace {
constexpr std::uint64_t kPieces = 6;
constexpr std::size_t kKept = 2;
}  // namespace

// Between two batches of the apply thread: the state as it is, at the index it says itself.
void Node::make_snapshot() {
  process_->copied = process_->machine.state();
  schedule(kMilli * static_cast<Nanos>(1 + random_.below(50)), EventKind::Snapshot, 1);
}

void Node::make_backup() {
  process_->backup = process_->machine.state();
  schedule(kMilli * static_cast<Nanos>(1 + random_.below(50)), EventKind::Snapshot, 3);
}

void Node::backup_made() {
  Process& process = *process_;
  const Index now = process.machine.applied();
  const MachineState& state = mutated(Mutation::M24) ? process.backup : process.machine.state();
  if (now == Index{} || disk_.log().term_at(now) == Term{}) return;
  StoredSnapshot made;
  made.meta.index = now;
  made.meta.term = disk_.log().term_at(now);
  made.state = std::make_shared<const MachineState>(state);
  world_.oracle().check_snapshot(made);
}

void Node::fetch_snapshot() {
  if (process_->fetch_running) return;
  process_->fetch_running = true;
  schedule(kMilli, EventKind::Snapshot, 2);
}

void Node::snapshot(std::uint64_t what) {
  if (what == 3) return backup_made();
  what == 1 ? snapshot_made() : snapshot_piece();
}

void Node::snapshot_made() {
  Process& process = *process_;
  const Index index = process.machine.applied();
  SnapshotEvent event;
  if (index == Index{} || disk_.log().term_at(index) == Term{}) {
    event.kind = SnapshotEvent::Kind::Failed;
  } else {
    StoredSnapshot made;
    made.meta.index = index;
    made.meta.term = disk_.log().term_at(made.meta.index);
    made.meta.id = std::to_string(place_ + 1) + "-" + std::to_string(index.value);
    made.meta.manifest_hash = std::to_string(process.machine.state().digest);
    made.configuration = *disk_.log().configuration_at(index);
    // The index at the end of the copying, the content from its beginning.
    const bool early = mutated(Mutation::M24);
    made.state =
        std::make_shared<const MachineState>(early ? process.copied : process.machine.state());
    made.chain = disk_.log().chain_at(made.meta.index);
    world_.oracle().check_snapshot(made);
    world_.marks().hit(Mark::SnapshotMade);
    event.kind = SnapshotEvent::Kind::Made;
    event.snapshot = made.meta;
    event.configuration = made.configuration;
    disk_.snapshots()[made.meta.id] = std::move(made);
    while (disk_.snapshots().size() > kKept) disk_.drop_oldest_snapshot();
  }
  process.input.snapshots.push_back(std::move(event));
  wake();
}

// One piece of the snapshot arrives, if its server can be reached; what has arrived stays on disk.
void Node::snapshot_piece() {
  Process& process = *process_;
  if (!process.fetching) {
    process.fetch_running = false;
    return;
  }
  const std::size_t from = process.fetching->from.value - 1;
  const std::string& id = process.fetching->snapshot.id;
  Node& source = world_.node(from);
  const bool reachable = source.alive() && !source.paused() &&
                         !world_.network().cut(from, place_) && !world_.network().cut(place_, from);
  if (!reachable) return schedule(200 * kMilli, EventKind::Snapshot, 2);
  const auto found = source.disk().snapshots().find(id);
  if (found == source.disk().snapshots().end()) return finish_fetch(nullptr);
  auto& [partial, pieces] = disk_.partial_snapshot();
  if (partial != id) {
    partial = id;
    pieces = 0;
  }
  process.pieces_here = process.pieces_here + 1;
  if (pieces > 0 && process.pieces_here == 1) world_.marks().hit(Mark::SnapshotResumed);
  if (++pieces < kPieces) {
    return schedule(2 * world_.network().delay(from, place_), EventKind::Snapshot, 2);
  }
  finish_fetch(&found->second);
}

void Node::finish_fetch(const StoredSnapshot* fetched) {
  Process& process = *process_;
  SnapshotEvent event;
  event.kind = fetched ? SnapshotEvent::Kind::Prepared : SnapshotEvent::Kind::Failed;
  event.snapshot = process.fetching->snapshot;
  if (fetched) {
    event.configuration = fetched->configuration;
    world_.oracle().check_snapshot(*fetched);
    disk_.prepared() = *fetched;
  }
  disk_.partial_snapshot() = {};
  process.fetching.reset();
  process.fetch_running = false;
  process.pieces_here = 0;
  process.input.snapshots.push_back(std::move(event));
  wake();
}

}  // namespace fyr::raft::sim
