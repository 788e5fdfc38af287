#include "tests/sim/raft/run.h"

#include <cinttypes>

#include "base/check.h"
#include "tests/sim/raft/world.h"

namespace fyr {

// Takes the place of the one in base: here a failed CHECK is a finding among others.
void check_failed(const char* file, int line, const char* condition, std::string_view detail) {
  std::string text = std::string(file) + ":" + std::to_string(line) + ": " + condition;
  if (!detail.empty()) text += " (" + std::string(detail) + ")";
  throw raft::sim::Broken{"CHECK", std::move(text)};
}

}  // namespace fyr

namespace fyr::raft::sim {

RunResult run_seed(const RunOptions& options) {
  RunResult out;
  WorldOptions world_options;
  world_options.seed = options.seed;
  world_options.features = options.features;
  if (options.voters != 0) {
    world_options.knobs = draw_knobs(options.seed, options.features);
    world_options.knobs->voters = options.voters;
  }
  world_options.suppressed = options.suppressed;
  world_options.black = options.black;
  world_options.trace = options.trace;
  world_options.trace_from = options.trace_from;
  World world(std::move(world_options));
  try {
    world.run(options.events);
    world.settle();
  } catch (Broken& broken) {
    out.broken = std::move(broken);
    out.states = world.states();
  }
  out.event = world.events();
  out.events = world.events();
  out.hash = world.hash();
  out.writes = world.history().writes();
  out.reads = world.history().reads();
  out.unknowns = world.history().unknowns();
  out.elections = world.oracle().elections();
  out.decisions = world.faults().decisions();
  out.voters = world.knobs().voters;
  out.nodes = world.nodes();
  out.time = world.now();
  out.features = world.knobs().features;
  out.marks = world.marks();
  out.marks.hit(Mark::UnknownThenCommitted, world.history().unknown_but_committed());
  return out;
}

void report(const RunOptions& options, const RunResult& result) {
  std::printf("seed %" PRIu64 ", event %" PRIu64 ": %s: %s\n", options.seed, result.event,
              result.broken->rule.c_str(), result.broken->what.c_str());
  std::printf("features: %s\n%s", feature_names(result.features).c_str(), result.states.c_str());
  if (options.trace != nullptr) return;
  std::printf("--- the last events\n");
  std::fflush(stdout);
  RunOptions again = options;
  again.trace = stdout;
  again.trace_from = result.event > 200 ? result.event - 200 : 0;
  run_seed(again);
  std::printf("--- raft_sim --seed %" PRIu64 " --events %" PRIu64 "\n", options.seed,
              options.events);
}

void Totals::add(const RunResult& result) {
  ++seeds;
  events += result.events;
  writes += result.writes;
  reads += result.reads;
  unknowns += result.unknowns;
  elections += result.elections;
  if (result.writes < 50) ++void_runs;
  time += static_cast<double>(result.time) * 1e-9;
  marks.add(result.marks);
}

void Totals::add(const Totals& other) {
  seeds += other.seeds;
  events += other.events;
  writes += other.writes;
  reads += other.reads;
  unknowns += other.unknowns;
  elections += other.elections;
  void_runs += other.void_runs;
  time += other.time;
  marks.add(other.marks);
}

std::string Totals::summary(double seconds) const {
  char line[400];
  std::snprintf(line, sizeof line,
                "%" PRIu64 " seeds, %" PRIu64
                " events (%.1f million a core-minute), %.0f simulated "
                "seconds\n%" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64
                " unknown outcomes, %" PRIu64 " elections won, %" PRIu64 " void runs\n",
                seeds, events, seconds > 0 ? static_cast<double>(events) / seconds * 60e-6 : 0.0,
                time, writes, reads, unknowns, elections, void_runs);
  return line;
}

}  // namespace fyr::raft::sim
