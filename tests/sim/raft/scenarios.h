// The named scenarios of raft-verification.md C, by their names there.
#pragma once

#include <vector>

#include "tests/sim/raft/stage.h"

namespace fyr::raft::sim {

std::vector<Scenario> election_scenarios();
std::vector<Scenario> replication_scenarios();
std::vector<Scenario> membership_scenarios();
std::vector<Scenario> snapshot_scenarios();
std::vector<Scenario> read_scenarios();
std::vector<Scenario> fault_scenarios();

}  // namespace fyr::raft::sim
