#include "tests/sim/raft/mutants.h"

#include <cinttypes>
#include <cstdio>

#include "raft/mutation.h"
#include "tests/sim/raft/run.h"
#include "tests/sim/raft/shrink.h"

namespace fyr::raft::sim {
namespace {

struct Mutant {
  const char* name;
  Mutation mutation;
  unsigned white, black;  // seeds
};

// The seeds that the plan grants, with all rules and without those about messages.
constexpr Mutant kMutants[] = {
    {"M01", Mutation::M01, 2, 150},   {"M02", Mutation::M02, 2, 100},
    {"M03", Mutation::M03, 5, 300},   {"M04", Mutation::M04, 2, 50},
    {"M05", Mutation::M05, 5, 100},   {"M06", Mutation::M06, 20, 500},
    {"M07", Mutation::M07, 10, 50},   {"M08", Mutation::M08, 10, 100},
    {"M09", Mutation::M09, 20, 300},  {"M10", Mutation::M10, 50, 2000},
    {"M11", Mutation::M11, 50, 1000}, {"M12", Mutation::M12, 20, 50},
    {"M13", Mutation::M13, 10, 30},   {"M14", Mutation::M14, 10, 50},
    {"M15", Mutation::M15, 5, 20},    {"M16", Mutation::M16, 100, 100},
    {"M17", Mutation::M17, 10, 20},   {"M18", Mutation::M18, 50, 100},
    {"M19", Mutation::M19, 200, 300}, {"M20", Mutation::M20, 50, 300},
    {"M21", Mutation::M21, 50, 300},  {"M22", Mutation::M22, 100, 500},
    {"M23", Mutation::M23, 100, 50},  {"M24", Mutation::M24, 10, 50},
    {"M25", Mutation::M25, 10, 20},   {"M26", Mutation::M26, 20, 50},
    {"M27", Mutation::M27, 100, 100}, {"M28", Mutation::M28, 300, 2000},
    {"M29", Mutation::M29, 10, 50},   {"M30", Mutation::M30, 20, 20},
    {"M31", Mutation::M31, 20, 20},   {"M32", Mutation::M32, 20, 200},
    {"M33", Mutation::M33, 100, 100}, {"M34", Mutation::M34, 20, 20},
    {"M35", Mutation::M35, 5, 5},     {"M36", Mutation::M36, 20, 100},
};

bool hunt(const Mutant& mutant, const MutantOptions& options) {
  const unsigned budget = options.black ? mutant.black : mutant.white;
  active_mutation = mutant.mutation;
  bool caught = false;
  for (unsigned i = 0; i < budget && !caught; ++i) {
    RunOptions run;
    run.seed = options.first_seed + i;
    run.events = options.events;
    run.black = options.black;
    const RunResult result = run_seed(run);
    if (!result.broken) continue;
    caught = true;
    std::printf("%s caught by seed %u of %u: %s: %.90s\n", mutant.name, i + 1, budget,
                result.broken->rule.c_str(), result.broken->what.c_str());
    // The plan's limit for a schedule that somebody can read.
    if (options.shrink && shrink(run).result.decisions.size() > 40) caught = false;
  }
  active_mutation = Mutation::None;
  if (!caught) std::printf("%s NOT caught within %u seeds\n", mutant.name, budget);
  return caught;
}

// The budget is for the median of five hunts, each with seeds of its own.
bool caught_in_the_middle(const Mutant& mutant, const MutantOptions& options) {
  if (hunt(mutant, options)) return true;
  int caught = 0;
  for (unsigned repetition = 1; repetition < 5; ++repetition) {
    MutantOptions again = options;
    again.first_seed += std::uint64_t{1000} * repetition;
    caught += hunt(mutant, again) ? 1 : 0;
  }
  return caught >= 3;
}

}  // namespace

bool run_mutants(std::string_view name, const MutantOptions& options) {
  bool all = true;
  bool any = false;
  for (const Mutant& mutant : kMutants) {
    if (name != mutant.name && name != "all") continue;
    any = true;
    all = caught_in_the_middle(mutant, options) && all;
  }
  return any && all;
}

}  // namespace fyr::raft::sim
