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
  Random random(mix(options_.seed, 6));
  if (options_.faults && random.chance(0.5) && !oracle_.damaged()) check_core(random);
  check_progress();
}

// True if these nodes alone are a majority of every set that anybody may have to ask.
bool World::suffice(const std::vector<bool>& outside) const {
  const auto majority = [&](const std::vector<NodeId>& voters) {
    const auto inside = [&](NodeId id) { return !outside[id.value - 1]; };
    const auto there = static_cast<std::size_t>(std::ranges::count_if(voters, inside));
    return voters.empty() || there > voters.size() / 2;
  };
  for (const auto& node : nodes_) {
    for (const auto& [index, configuration] : node->disk().log().configurations()) {
      if (!majority(configuration->voters) || !majority(configuration->outgoing)) return false;
    }
  }
  return true;
}

// A new write waits behind what is not committed yet; small windows carry an entry a round trip.
Nanos World::backlog_time() const {
  const auto leader = oracle_.leader();
  if (!leader || !(knobs_.features & kSmallWindows)) return 0;
  const std::uint64_t last = oracle_.written(*leader).last().value;
  const std::uint64_t waiting = last - std::min(last, oracle_.committed().value);
  return static_cast<Nanos>(waiting) * (3 * knobs_.delay_between + 4 * knobs_.sync_time);
}

void World::freeze_outsider(std::size_t place, std::uint64_t how) {
  const auto apart = [&](bool hears) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (i == place) continue;
      set_cut(i, place, true);
      if (!hears) set_cut(place, i, true);
    }
  };
  if (tracing()) {
    constexpr const char* kHow[] = {"dead", "paused", "unreachable", "only sends", "disk frozen"};
    trace("outside: n" + std::to_string(place + 1) + " " + kHow[how]);
  }
  switch (how) {
    case 0:
      return kill(place, true, kNever);
    case 1:
      return pause(place, 3'600 * kSecond);
    case 2:
      return apart(false);
    case 3:
      return apart(true);
    default:
      return nodes_[place]->freeze_disk(now_ + 3'600 * kSecond);
  }
}

// A majority is well, everybody else stands still in one way or other: the majority goes on.
void World::check_core(Random& random) {
  run_until(now_ + 2 * kSecond);  // of connections that come up again
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < nodes_.size(); ++i) order.push_back(i);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  if (const auto leader = oracle_.leader(); leader && random.chance(0.7)) {
    order.insert(order.begin(), *leader);
  }
  std::vector<bool> outside(nodes_.size());
  for (const std::size_t place : order) {
    const std::uint64_t how = random.below(5);
    if (outside[place]) continue;
    outside[place] = true;
    if (suffice(outside)) {
      freeze_outsider(place, how);
    } else {
      outside[place] = false;
    }
  }
  const Nanos e = in_nanos(knobs_.core.election_min);
  const bool stalled = (knobs_.features & (kFrozenDisk | kSlowDisk)) != 0;
  const Nanos slack = 4 * knobs_.sync_time + 8 * knobs_.delay_between + 5 * kSecond +
                      (stalled ? in_nanos(knobs_.core.disk_clean) : 0);
  const Nanos begin = now_;
  const auto led = [&] {
    const auto leader = oracle_.leader();
    return leader && !outside[*leader];
  };
  if (!led() && !run_until(begin + 10 * e + slack, led)) {
    broken("L1", "no leader among a healthy majority within 10 E");
  }
  // What outsiders answer is not meant.
  const std::uint64_t written = history_.writes();
  const auto wrote = [&] { return history_.writes() > written + 5; };
  if (!run_until(begin + 12 * e + slack + 5 * kSecond + backlog_time(), wrote)) {
    broken("L2", "a healthy majority commits no write within 12 E");
  }
  heal_everything();
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
  if (!run_until(begin + 12 * e + slack + 2 * kSecond + backlog_time(), wrote)) {
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
