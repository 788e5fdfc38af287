// raft_sim: runs seeds of the deterministic simulator.
//
//   raft_sim [--seed S] [--seeds N] [--jobs N] [--events N] [--trace FILE] [--twice] [--marks]
//            [--black] [--shrink] [--mutate Mnn] [--without FEATURE]...
//
// A failure prints the seed, the rule that is broken, the number of the event, the last events and
// the command that repeats it: equal seed and events, equal run, event for event.
//   --trace FILE    one line an event
//   --without F     the same seed without a feature ("kill", "members", ...)
//   --shrink        looks for fewer features, nodes, faults and events that break the same rule,
//                   and prints the faults that are left, with their times
//   --twice         runs each seed two times and compares the traces' hashes
//   --marks         prints how often each named state was reached; with 2,000 seeds or more a
//                   state that was never reached is a failure
//   --mutate M04    (or all) turns on a deliberate bug (raft/mutation.h) and runs seeds until it
//                   is seen or its budget is spent; with --shrink that one seed is shrunk
//   --black         without the rules about messages and configurations
// Every night: raft_sim --seeds 10000 --jobs 2 --marks, from a fresh --seed.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "tests/sim/raft/mutants.h"
#include "tests/sim/raft/run.h"
#include "tests/sim/raft/shrink.h"

namespace fyr::raft::sim {
namespace {

struct Arguments {
  std::uint64_t seed = 1, seeds = 1, events = 100'000, jobs = 1;
  const char* trace = nullptr;
  const char* mutate = nullptr;
  std::uint32_t without = 0;
  bool twice = false, marks = false, black = false, shrink = false;
};

constexpr std::uint64_t kSeedsForMarks = 2'000;

// Of the processor, by all jobs that have ended.
double children_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

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
    } else if (name == "--shrink") {
      out.shrink = true;
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
    } else if (name == "--jobs") {
      if (!number(argv[++i], out.jobs)) return false;
    } else if (name == "--events") {
      if (!number(argv[++i], out.events)) return false;
    } else {
      return false;
    }
  }
  return out.jobs > 0;
}

RunOptions options_of(const Arguments& arguments) {
  RunOptions out;
  out.seed = arguments.seed;
  out.events = arguments.events;
  out.black = arguments.black;
  out.features = kAllFeatures & ~arguments.without;
  return out;
}

// Every `jobs`-th seed, beginning with the one at `job`. False: a rule was broken.
bool run_share(const Arguments& arguments, std::uint64_t job, Totals& totals) {
  for (std::uint64_t i = job; i < arguments.seeds; i += arguments.jobs) {
    RunOptions options = options_of(arguments);
    options.seed += i;
    if (arguments.trace != nullptr) options.trace = std::fopen(arguments.trace, "w");
    const RunResult result = run_seed(options);
    if (options.trace != nullptr) std::fclose(options.trace);
    totals.add(result);
    if (result.broken) {
      report(options, result);
      return false;
    }
    if (arguments.twice && run_seed(options).hash != result.hash) {
      std::printf("seed %llu: two runs differ\n", static_cast<unsigned long long>(options.seed));
      return false;
    }
  }
  return true;
}

// In processes of their own; each hands its totals, which are plain numbers, through a pipe.
bool run_jobs(const Arguments& arguments, Totals& totals) {
  struct Job {
    pid_t pid;
    int pipe;
  };
  static_assert(std::is_trivially_copyable_v<Totals>);
  std::vector<Job> jobs;
  for (std::uint64_t job = 0; job < arguments.jobs; ++job) {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    const pid_t pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      Totals own;
      const bool well = run_share(arguments, job, own);
      std::fflush(stdout);
      const bool told = ::write(ends[1], &own, sizeof own) == static_cast<ssize_t>(sizeof own);
      ::_exit(well && told ? 0 : 1);
    }
    ::close(ends[1]);
    jobs.push_back({pid, ends[0]});
  }
  bool well = true;
  for (const Job& job : jobs) {
    Totals own;
    int status = 0;
    if (::read(job.pipe, &own, sizeof own) == static_cast<ssize_t>(sizeof own)) totals.add(own);
    ::close(job.pipe);
    well = ::waitpid(job.pid, &status, 0) == job.pid && status == 0 && well;
  }
  return well;
}

int run(const Arguments& arguments) {
  if (arguments.mutate != nullptr) {
    const MutantOptions options{arguments.seed, arguments.events, arguments.black,
                                arguments.shrink};
    return run_mutants(arguments.mutate, options) ? 0 : 1;
  }
  if (arguments.shrink) {
    shrink(options_of(arguments));
    return 0;
  }
  Totals totals;
  const std::clock_t began = std::clock();
  const bool well =
      arguments.jobs > 1 ? run_jobs(arguments, totals) : run_share(arguments, 0, totals);
  double seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  if (arguments.jobs > 1) seconds = children_seconds();
  std::printf("%s", totals.summary(seconds).c_str());
  if (!arguments.marks) return well ? 0 : 1;
  std::printf("%s", totals.marks.table().c_str());
  const std::string missing = totals.marks.missing();
  if (!missing.empty()) std::printf("never reached: %s\n", missing.c_str());
  return well && (missing.empty() || arguments.seeds < kSeedsForMarks) ? 0 : 1;
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
