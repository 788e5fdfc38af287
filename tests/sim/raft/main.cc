// raft_sim: runs seeds of the deterministic simulator.
//
//   raft_sim [--seed S] [--seeds N] [--events N] [--trace FILE] [--twice] [--marks] [--black]
//            [--without FEATURE]...
//
// A failure prints the seed, the rule that is broken, the number of the event and the last events.
// --mutate M04 (or all) turns on a deliberate bug and runs seeds until it is seen; --black without
// the rules about messages and configurations.
// --twice runs each seed two times and compares the traces' hashes.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "base/check.h"
#include "tests/sim/raft/mutants.h"
#include "tests/sim/raft/run.h"

namespace fyr::raft::sim {
namespace {

struct Arguments {
  std::uint64_t seed = 1, seeds = 1, events = 100'000;
  const char* trace = nullptr;
  const char* mutate = nullptr;
  std::uint32_t without = 0;
  bool twice = false, marks = false, black = false, quiet = false;
};

bool number(std::string_view text, std::uint64_t& out) {
  return std::from_chars(text.data(), text.data() + text.size(), out).ec == std::errc{};
}

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--twice") {
      out.twice = true;
    } else if (name == "--marks") {
      out.marks = true;
    } else if (name == "--black") {
      out.black = true;
    } else if (i + 1 >= argc) {
      return false;
    } else if (name == "--trace") {
      out.trace = argv[++i];
    } else if (name == "--mutate") {
      out.mutate = argv[++i];
    } else if (name == "--without") {
      out.without |= feature_named(argv[++i]);
    } else if (name == "--seed") {
      if (!number(argv[++i], out.seed)) return false;
    } else if (name == "--seeds") {
      if (!number(argv[++i], out.seeds)) return false;
    } else if (name == "--events") {
      if (!number(argv[++i], out.events)) return false;
    } else {
      return false;
    }
  }
  return true;
}

int run(const Arguments& arguments) {
  if (arguments.mutate != nullptr) {
    const MutantOptions options{arguments.seed, arguments.events, arguments.black};
    return run_mutants(arguments.mutate, options) ? 0 : 1;
  }
  Totals totals;
  const std::clock_t began = std::clock();
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.seeds; ++seed) {
    RunOptions options;
    options.seed = seed;
    options.events = arguments.events;
    options.black = arguments.black;
    options.features = kAllFeatures & ~arguments.without;
    if (arguments.trace != nullptr) options.trace = std::fopen(arguments.trace, "w");
    const RunResult result = run_seed(options);
    if (options.trace != nullptr) std::fclose(options.trace);
    totals.add(result);
    if (result.broken) {
      report(options, result);
      return 1;
    }
    if (arguments.twice && run_seed(options).hash != result.hash) {
      std::printf("seed %llu: two runs differ\n", static_cast<unsigned long long>(seed));
      return 1;
    }
  }
  const double seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  std::printf("%s", totals.summary(seconds).c_str());
  if (arguments.marks) std::printf("%s", totals.marks.table().c_str());
  return 0;
}

}  // namespace
}  // namespace fyr::raft::sim

int main(int argc, char** argv) {
  fyr::raft::sim::Arguments arguments;
  if (!fyr::raft::sim::parse(argc, argv, arguments)) {
    std::fprintf(stderr, "raft_sim: see the head of tests/sim/raft/main.cc\n");
    return 64;
  }
  return fyr::raft::sim::run(arguments);
}
