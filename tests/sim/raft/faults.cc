#include "tests/sim/raft/faults.h"

#include <algorithm>
#include <cmath>

#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {

Faults::Faults(World& world, std::uint64_t seed)
    : world_(world), seed_(seed), times_(mix(seed, 77)) {}

const std::vector<Faults::Kind>& Faults::kinds() {
  static const std::vector<Kind> kKinds = {
      {kPartition, 4, &Faults::partition, "partition"},
      {kOneWay, 3, &Faults::one_way, "one way"},
      {kFlapping, 1, &Faults::flap, "flap"},
      {kKill, 4, &Faults::kill, "kill"},
      {kPowerCut, 4, &Faults::power_cut, "power cut"},
      {kPause, 3, &Faults::pause, "pause"},
      {kSlowDisk, 2, &Faults::slow_disk, "slow disk"},
      {kFrozenDisk, 2, &Faults::freeze_disk, "freeze disk"},
      {kDiskErrors, 1, &Faults::disk_error, "disk error"},
      {kNoLease, 1, &Faults::jump_clock, "jump clock"},
      {kTransfer, 3, &Faults::transfer, "transfer"},
      {kMembers, 4, &Faults::change_members, "change members"},
      {kSnapshots, 3, &Faults::flush, "flush"},
      {kSnapshots, 2, &Faults::operator_snapshot, "operator snapshot"},
      {kSnapshots, 1, &Faults::bury, "bury"},
      {kDiskLoss, 2, &Faults::lose_tail, "lose tail"},
      {kKill, 1, &Faults::restart_followers, "restart followers"},
  };
  return kKinds;
}

void Faults::begin() {
  schedule_next();
}

void Faults::schedule_next() {
  const double gap =
      -std::log(1.0 - times_.unit()) * static_cast<double>(world_.knobs().decision_gap);
  world_.schedule({.at = world_.now() + static_cast<Nanos>(gap), .kind = EventKind::Decision});
}

void Faults::decide() {
  if (stopped_) return;
  const std::uint64_t number = next_++;
  Random random(mix(seed_, number));
  unsigned sum = 0;
  for (const Kind& kind : kinds()) sum += kind.weight;
  // A kind that is off leaves a gap: the decisions of the others keep their numbers and times.
  auto dice = static_cast<unsigned>(random.below(sum));
  for (const Kind& kind : kinds()) {
    if (dice >= kind.weight) {
      dice -= kind.weight;
      continue;
    }
    if ((world_.knobs().features & kind.feature) && !suppressed_.contains(number)) {
      if (world_.tracing()) world_.trace("decision " + std::to_string(number) + ": " + kind.name);
      done_.push_back({number, world_.now(), kind.name});
      (this->*kind.act)(random);
    }
    break;
  }
  schedule_next();
}

Nanos Faults::spell(Random& random, Nanos low, Nanos high) {
  const double ratio = static_cast<double>(high) / static_cast<double>(low);
  return static_cast<Nanos>(static_cast<double>(low) * std::pow(ratio, random.unit()));
}

// A third of the time the one that leads: there most can go wrong.
std::size_t Faults::some_node(Random& random) {
  const auto leader = world_.oracle().leader();
  const std::size_t any = random.below(world_.nodes());
  return leader && random.chance(0.33) ? *leader : any;
}

void Faults::cut_pair(std::size_t from, std::size_t to, bool both) {
  world_.set_cut(from, to, true);
  if (both) world_.set_cut(to, from, true);
}

// ---- network ----------------------------------------------------------------------------------

void Faults::partition(Random& random) {
  world_.heal_network();
  const std::size_t n = world_.nodes();
  if (n < 2) return;
  const std::size_t one = some_node(random);
  switch (random.below(5)) {
    case 0:  // one alone
      for (std::size_t i = 0; i < n; ++i) {
        if (i != one) cut_pair(one, i, true);
      }
      break;
    case 1:  // halves
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          if ((a + one) % 2 != (b + one) % 2) cut_pair(a, b, true);
        }
      }
      break;
    case 2:  // a bridge: only `one` sees both sides
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          if (a != one && b != one && (a < n / 2) != (b < n / 2)) cut_pair(a, b, true);
        }
      }
      break;
    case 3:  // a ring
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          if (a - b != 1 && a - b != n - 1) cut_pair(a, b, true);
        }
      }
      break;
    default:  // one pair
      cut_pair(one, (one + 1 + random.below(n - 1)) % n, true);
      break;
  }
  const Nanos hold = spell(random, world_.knobs().hold / 10 + 1, world_.knobs().hold * 2);
  world_.schedule(
      {.at = world_.now() + hold, .kind = EventKind::Topology, .argument = ++topology_ << 1});
}

void Faults::one_way(Random& random) {
  const std::size_t n = world_.nodes();
  if (n < 2) return;
  const std::size_t one = some_node(random);
  const bool outwards = random.chance(0.5);
  const bool all = random.chance(0.5);
  const std::size_t other = (one + 1 + random.below(n - 1)) % n;
  for (std::size_t i = 0; i < n; ++i) {
    if (i == one || (!all && i != other)) continue;
    outwards ? cut_pair(one, i, false) : cut_pair(i, one, false);
  }
  const Nanos hold = spell(random, world_.knobs().hold / 10 + 1, world_.knobs().hold * 2);
  world_.schedule(
      {.at = world_.now() + hold, .kind = EventKind::Topology, .argument = ++topology_ << 1});
}

void Faults::flap(Random& random) {
  const std::size_t n = world_.nodes();
  if (n < 2) return;
  const std::size_t one = some_node(random);
  flapping_ = {one, (one + 1 + random.below(n - 1)) % n};
  const Nanos period = spell(random, 50 * kMilli, 5 * kSecond);
  ++topology_;
  for (std::uint64_t i = 0; i < 20; ++i) {
    world_.schedule({.at = world_.now() + static_cast<Nanos>(i + 1) * period,
                     .kind = EventKind::Topology,
                     .argument = i == 19 ? topology_ << 1 : topology_ << 1 | 1});
  }
}

// The end of a cut, or one more change of a flapping link; void if another one came meanwhile.
void Faults::topology(std::uint64_t argument) {
  if (stopped_ || argument >> 1 != topology_) return;
  if ((argument & 1) == 0) return world_.heal_network();
  const bool cut = !world_.network().cut(flapping_[0], flapping_[1]);
  world_.set_cut(flapping_[0], flapping_[1], cut);
  world_.set_cut(flapping_[1], flapping_[0], cut);
}

// ---- processes and disks ----------------------------------------------------------------------

void Faults::crash(Random& random, bool power) {
  const Nanos down = spell(random, kMilli, 20 * kSecond);
  const double dice = random.unit();
  if (dice < 0.05) {  // everything at once
    for (std::size_t i = 0; i < world_.nodes(); ++i) {
      world_.kill(i, power, static_cast<Nanos>(random.unit() * static_cast<double>(down)));
    }
    return;
  }
  if (dice < 0.1) {  // a site
    const std::size_t site = random.below(world_.knobs().sites);
    for (std::size_t i = site; i < world_.nodes(); i += world_.knobs().sites) {
      world_.kill(i, power, down);
    }
    return;
  }
  world_.kill(some_node(random), power, down);
}

void Faults::kill(Random& random) {
  crash(random, false);
}
void Faults::power_cut(Random& random) {
  crash(random, true);
}

void Faults::pause(Random& random) {
  world_.pause(some_node(random), spell(random, 10 * kMilli, 30 * kSecond));
}

void Faults::slow_disk(Random& random) {
  Node& node = world_.node(some_node(random));
  node.set_slow(spell(random, kMilli, 3 * kSecond));
  const Nanos until = world_.now() + spell(random, 100 * kMilli, 10 * kSecond);
  world_.at(until, [&node] { node.set_slow(0); });
}

void Faults::freeze_disk(Random& random) {
  const std::size_t place = some_node(random);
  if (world_.oracle().leads(place)) world_.marks().hit(Mark::DiskFrozenLeader);
  world_.node(place).freeze_disk(world_.now() + spell(random, kSecond, 60 * kSecond));
}

void Faults::disk_error(Random& random) {
  world_.node(some_node(random)).fail_next_write();
}

// Only without leases, which are safe as long as clocks keep their rate (R4).
void Faults::jump_clock(Random& random) {
  world_.node(some_node(random)).clock().jump(spell(random, 10 * kMilli, 10 * kSecond));
  world_.marks().hit(Mark::ClockJumped);
}

// ---- operators --------------------------------------------------------------------------------

void Faults::transfer(Random& random) {
  Node& node = world_.node(random.chance(0.8) ? world_.oracle().leader().value_or(0)
                                              : random.below(world_.nodes()));
  const NodeId to(random.below(world_.knobs().voters + 1));
  if (!node.alive() || node.paused()) return;
  Marks& marks = world_.marks();
  node.transfer(to, [&marks](Result<void> done) {
    marks.hit(done ? Mark::TransferDone : Mark::TransferFailed);
  });
  // The old leader does not hear what comes of it.
  if (!random.chance(0.3)) return;
  const std::size_t place = node.place();
  world_.at(world_.now() + spell(random, kMilli, 50 * kMilli),
            [this, place] { only_sends(place, 2 * kSecond); });
}

void Faults::only_sends(std::size_t node, Nanos how_long) {
  if (stopped_) return;
  for (std::size_t i = 0; i < world_.nodes(); ++i) {
    if (i != node) cut_pair(i, node, false);
  }
  world_.schedule(
      {.at = world_.now() + how_long, .kind = EventKind::Topology, .argument = ++topology_ << 1});
}

void Faults::change_members(Random& random) {
  Node& node = world_.node(world_.oracle().leader().value_or(0));
  if (!node.alive() || node.paused()) return;
  // Fewer voters may not bear what was lost before.
  if (world_.oracle().damaged()) return;
  const Configuration now = node.core().configuration();
  ConfigChange change;
  const auto pick = [&](const std::vector<NodeId>& from) {
    return from[random.below(from.size())];
  };
  std::vector<NodeId> strangers;
  for (std::size_t i = 0; i < world_.nodes(); ++i) {
    const NodeId id(i + 1);
    if (!now.is_voter(id) && std::ranges::count(now.learners, id) == 0) strangers.push_back(id);
  }
  const double dice = random.unit();
  change.force = random.chance(0.3);
  if (!strangers.empty() && dice < 0.35) {
    const NodeId id = pick(strangers);
    Member joining;
    joining.id = id;
    joining.name = "n" + std::to_string(id.value);
    joining.address = joining.name + ":1";
    change.put.push_back(std::move(joining));
  }
  if (!now.learners.empty() && dice >= 0.25 && dice < 0.75) {
    change.promote.push_back(pick(now.learners));
  }
  if (now.voters.size() > 1 && dice >= 0.5) {
    (random.chance(0.6) ? change.remove : change.demote).push_back(pick(now.voters));
  }
  if (!now.learners.empty() && dice > 0.95) change.remove.push_back(pick(now.learners));
  Marks& marks = world_.marks();
  node.change(std::move(change), [&marks](Result<void> done) {
    if (!done) marks.hit(Mark::ConfigurationRefused);
  });
}

void Faults::flush(Random& random) {
  flush_node(some_node(random));
}

void Faults::flush_node(std::size_t place) {
  Node& node = world_.node(place);
  if (!node.alive()) return;
  world_.schedule({.at = world_.now(),
                   .kind = EventKind::Flush,
                   .node = static_cast<std::uint8_t>(place),
                   .life = node.life()});
}

// One that somebody takes away as a backup; the cluster itself is not told.
void Faults::operator_snapshot(Random& random) {
  Node& node = world_.node(some_node(random));
  if (node.alive() && !node.paused()) node.make_backup();
}

// A leader alone appends much that will never be committed, while the others go on and forget
// what it has: it comes back to a snapshot below the end of its own log.
void Faults::bury(Random& random) {
  const auto leader = world_.oracle().leader();
  if (!leader || world_.nodes() < 3) return;
  const std::size_t old = *leader;
  world_.heal_network();
  for (std::size_t i = 0; i < world_.nodes(); ++i) {
    if (i != old) cut_pair(old, i, true);
  }
  world_.clients().burst(old, 100 + random.below(500));
  const Nanos hold = spell(random, 2 * kSecond, 8 * kSecond);
  world_.schedule(
      {.at = world_.now() + hold, .kind = EventKind::Topology, .argument = ++topology_ << 1});
  for (const Nanos at : {hold / 2, hold - 100 * kMilli, hold}) {
    world_.at(world_.now() + at, [this, old] {
      if (stopped_) return;
      for (std::size_t i = 0; i < world_.nodes(); ++i) {
        if (i != old) flush_node(i);
      }
    });
  }
}

// One disk at a time loses what it had confirmed; the node comes back soon, at times to find the
// others choosing a leader.
void Faults::lose_tail(Random& random) {
  const std::size_t place = some_node(random);
  const Nanos down = spell(random, kMilli, kSecond);
  const bool choosing = random.chance(0.6);
  const std::uint64_t amount = 1 + random.below(1'000);
  const auto leader = world_.oracle().leader();
  // What a leader has sent may still arrive, a change of the voters among it.
  if (!world_.bears_a_loss() || world_.oracle().damaged() || leader == place) return;
  world_.kill(place, true, down);
  world_.node(place).lose_tail(amount);
  if (choosing && leader && *leader != place) world_.kill(*leader, true, 10 * kSecond);
}

// The leader's lease rests on promises of followers; those restart one after the other, while
// somebody who has lost sight of the leader wants their votes.
void Faults::restart_followers(Random& random) {
  const auto leader = world_.oracle().leader();
  const std::size_t n = world_.nodes();
  if (!leader || n < 3) return;
  const std::size_t rival = (*leader + 1 + random.below(n - 1)) % n;
  const Nanos begin = world_.now() + spell(random, 500 * kMilli, 1'500 * kMilli);
  world_.clients().rest(begin + 3 * kSecond);
  world_.heal_network();
  cut_pair(*leader, rival, true);
  world_.schedule(
      {.at = begin + 3 * kSecond, .kind = EventKind::Topology, .argument = ++topology_ << 1});
  for (int round = 0; round < 5; ++round) {
    const Nanos gap = spell(random, 200 * kMilli, 500 * kMilli);
    for (std::size_t i = 0; i < n; ++i) {
      if (i == *leader || i == rival) continue;
      const Nanos down = spell(random, kMilli, 30 * kMilli);
      world_.at(begin + round * gap + static_cast<Nanos>(i) * kMilli, [this, i, down] {
        if (!stopped_) world_.kill(i, false, down);
      });
    }
  }
}

}  // namespace fyr::raft::sim
