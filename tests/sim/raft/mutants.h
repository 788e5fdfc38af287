// Deliberate bugs and how many seeds it may take to see them (raft-verification.md B).
#pragma once

#include <cstdint>
#include <string_view>

namespace fyr::raft::sim {

struct MutantOptions {
  std::uint64_t first_seed = 1;
  std::uint64_t events = 100'000;
  bool black = false;   // without the rules about messages and configurations
  bool shrink = false;  // the seed that shows it
};

// "M04" or "all": runs seeds until each is caught; prints one line each. False: one was not caught
// within its budget, or there is none of this name.
bool run_mutants(std::string_view name, const MutantOptions& options);

}  // namespace fyr::raft::sim
