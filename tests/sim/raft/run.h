// One seed from beginning to end, and the totals of many.
#pragma once

#include <cstdio>
#include <optional>
#include <set>
#include <string>

#include "tests/sim/raft/faults.h"
#include "tests/sim/raft/knobs.h"
#include "tests/sim/raft/marks.h"

namespace fyr::raft::sim {

struct RunOptions {
  std::size_t voters = 0;  // instead of those of the seed
  std::uint64_t seed = 1;
  std::uint64_t events = 100'000;
  std::uint32_t features = kAllFeatures;
  std::set<std::uint64_t> suppressed;
  bool black = false;
  std::FILE* trace = nullptr;
  std::uint64_t trace_from = 0;
};

struct RunResult {
  std::optional<Broken> broken;
  std::uint64_t event = 0;  // at which it was noticed
  std::uint64_t hash = 0;
  std::uint64_t events = 0, writes = 0, reads = 0, unknowns = 0, elections = 0;
  std::vector<Decision> decisions;  // those that were carried out
  std::size_t voters = 0, nodes = 0;
  Nanos time = 0;
  std::uint32_t features = 0;
  std::string states;
  Marks marks;
};

RunResult run_seed(const RunOptions& options);
// Says what is broken, how to repeat it, and the last events.
void report(const RunOptions& options, const RunResult& result);

struct Totals {
  std::uint64_t seeds = 0, events = 0, writes = 0, reads = 0, unknowns = 0, elections = 0;
  std::uint64_t void_runs = 0;  // fewer than 50 writes: they prove little
  double time = 0;              // simulated seconds
  Marks marks;
  void add(const RunResult& result);
  void add(const Totals& other);
  std::string summary(double seconds) const;
};

}  // namespace fyr::raft::sim
