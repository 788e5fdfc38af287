// What goes wrong in a run, and what operators do: a list of decisions in time, drawn from the
// seed. Each decision has randomness of its own, so leaving one out (shrinking) does not change
// the others.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/raft/basics.h"
#include "tests/sim/raft/knobs.h"

namespace fyr::raft::sim {

class World;

// One that was carried out.
struct Decision {
  std::uint64_t number = 0;
  Nanos at = 0;
  const char* what = "";
};

class Faults {
 public:
  Faults(World& world, std::uint64_t seed);

  void begin();
  void decide();  // its event came
  void topology(std::uint64_t argument);
  void stop() { stopped_ = true; }
  // Decisions by number that are left out.
  void suppress(std::set<std::uint64_t> numbers) { suppressed_ = std::move(numbers); }
  const std::vector<Decision>& decisions() const { return done_; }

 private:
  using Act = void (Faults::*)(Random&);
  struct Kind {
    Feature feature;
    unsigned weight;
    Act act;
    const char* name;
  };
  static const std::vector<Kind>& kinds();

  void schedule_next();
  void cut_pair(std::size_t from, std::size_t to, bool both);
  void partition(Random& random);
  void one_way(Random& random);
  void flap(Random& random);
  void kill(Random& random);
  void power_cut(Random& random);
  void pause(Random& random);
  void slow_disk(Random& random);
  void freeze_disk(Random& random);
  void disk_error(Random& random);
  void jump_clock(Random& random);
  void transfer(Random& random);
  void change_members(Random& random);
  void flush(Random& random);
  void flush_node(std::size_t node);
  void operator_snapshot(Random& random);
  void bury(Random& random);
  void lose_tail(Random& random);
  void restart_followers(Random& random);
  void only_sends(std::size_t node, Nanos how_long);
  void crash(Random& random, bool power);
  Nanos spell(Random& random, Nanos low, Nanos high);
  std::size_t some_node(Random& random);

  World& world_;
  const std::uint64_t seed_;
  Random times_;
  std::uint64_t next_ = 0;
  std::vector<Decision> done_;
  std::uint64_t topology_ = 0;  // number of the cut in force
  bool stopped_ = false;
  std::set<std::uint64_t> suppressed_;
  std::vector<std::size_t> flapping_;  // from, to
};

}  // namespace fyr::raft::sim
