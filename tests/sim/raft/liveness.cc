// The second phase of every run (raft-verification.md A4): no more faults, and then everything
// must come to a good end within a time.
#include <algorithm>

#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {
namespace {
Nanos in_nanos(Duration duration) {
  return duration.count();
}
}  // namespace

void World::heal_everything() {
  faults_->stop();
  network_.heal();
  network_.calm_down();
  for (auto& node : nodes_) {
    node->calm_down();
    if (node->paused()) {
      resume(node->place());
      continue;
    }
    if (!node->alive()) node->start();
  }
  for (std::size_t a = 0; a < nodes_.size(); ++a) {
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (a == b) continue;
      schedule({.at = now_ + 50 * kMilli,
                .kind = EventKind::Link,
                .node = static_cast<std::uint8_t>(a),
                .life = nodes_[a]->life(),
                .argument = (b + 1) << 8 | static_cast<std::uint64_t>(LinkState::Up)});
    }
  }
}

void World::settle() {
  if (tracing()) trace("--- faults stop");
  heal_everything();
  clients_->guide();
  check_progress();
}

void World::check_progress() {
  // Replays of messages may be under way for a minute: they are allowed, too.
  const Nanos e = in_nanos(knobs_.core.election_min);
  // A node whose disk stood still does not lead before it was well for a while.
  const bool stalled = (knobs_.features & (kFrozenDisk | kSlowDisk)) != 0;
  const Nanos slack = 4 * knobs_.sync_time + 8 * knobs_.delay_between +
                      (stalled ? in_nanos(knobs_.core.disk_clean) : 0);
  const Nanos begin = now_;
  const std::uint64_t elections = oracle_.elections();
  Term term{};
  for (const auto& node : nodes_) term = std::max(term, node->core().view().hard.term);
  const auto led = [this] { return oracle_.leader().has_value(); };
  if (!led() && !run_until(begin + 10 * e + slack, led)) {
    broken("L1", "no leader within 10 E after the faults ended");
  }
  const std::uint64_t written = history_.writes();
  const auto wrote = [&] { return history_.writes() > written; };
  if (!run_until(begin + 12 * e + slack + 2 * kSecond, wrote)) {
    broken("L2", "no write commits within 12 E after the faults ended");
  }
  run_until(begin + 15 * e);
  if (oracle_.highest_term().value > term.value + 12 || oracle_.elections() > elections + 4) {
    broken("L1", "elections do not end after the faults did");
  }
  clients_->stop();
  const auto even = [this] {
    const auto leader = oracle_.leader();
    if (!leader || clients_->open_calls() > 0) return false;
    const Index last = nodes_[*leader]->core().view().last;
    const Configuration& now = nodes_[*leader]->core().configuration();
    return std::ranges::all_of(now.members, [&](const Member& member) {
      const Node& node = *nodes_[member.id.value - 1];
      return node.alive() && node.applied() == last;
    });
  };
  // Small windows carry an entry a round trip.
  Nanos data = 0;
  if (knobs_.features & kSmallWindows) {
    data = static_cast<Nanos>(oracle_.committed().value) *
           (3 * knobs_.delay_between + 4 * knobs_.sync_time);
  }
  if (!run_until(begin + 90 * kSecond + data, even)) {
    broken("L3", "nodes do not get even, or a call is never answered (" +
                     std::to_string(clients_->open_calls()) + " open)");
  }
  // I20: from here on nothing changes any more.
  const Term calm = oracle_.highest_term();
  const std::uint64_t before = oracle_.elections();
  run_until(now_ + 10 * e);
  // One move to a preferred node may be due.
  const std::uint64_t moves = knobs_.features & kPriorities ? 1 : 0;
  if (oracle_.highest_term().value > calm.value + moves || oracle_.elections() > before + moves) {
    broken("I20", "an election without a reason");
  }
}

}  // namespace fyr::raft::sim
