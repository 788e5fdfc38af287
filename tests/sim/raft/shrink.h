// Makes a failing seed small: fewer features, fewer faults, fewer events (raft-verification.md A6).
#pragma once

#include "tests/sim/raft/run.h"

namespace fyr::raft::sim {

// Options under which the same rule still breaks; prints what is left as it goes. The seed must
// fail with `options`. `runs`: how often it may be tried.
struct Shrunk {
  RunOptions options;
  RunResult result;
};

Shrunk shrink(const RunOptions& options, unsigned runs = 2'000);

}  // namespace fyr::raft::sim
