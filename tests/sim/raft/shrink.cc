#include "tests/sim/raft/shrink.h"

#include <algorithm>
#include <cinttypes>
#include <vector>

namespace fyr::raft::sim {
namespace {

class Shrinker {
 public:
  Shrinker(const RunOptions& options, unsigned runs) : best_(options), runs_(runs) {
    best_.trace = nullptr;
    result_ = run_seed(best_);
  }

  RunOptions run() {
    if (!result_.broken) return best_;
    rule_ = result_.broken->rule;
    features();
    nodes();
    length();
    std::size_t before = 0;
    do {
      before = result_.decisions.size();
      decisions();
      features();
      length();
    } while (result_.decisions.size() < before && runs_ > 0);
    return best_;
  }

  const RunResult& result() const { return result_; }

 private:
  // Takes `candidate` if the same rule still breaks.
  bool try_it(RunOptions candidate) {
    if (runs_ == 0) return false;
    --runs_;
    RunResult result = run_seed(candidate);
    if (!result.broken || result.broken->rule != rule_) return false;
    best_ = std::move(candidate);
    result_ = std::move(result);
    // What comes after it needs no more time.
    if (result_.event < best_.events) best_.events = result_.event;
    return true;
  }

  void features() {
    for (unsigned bit = 0; bit < 32; ++bit) {
      const std::uint32_t feature = 1u << bit;
      if (!(result_.features & feature)) continue;
      RunOptions candidate = best_;
      candidate.features = result_.features & ~feature;
      try_it(std::move(candidate));
    }
  }

  // Another number of nodes is another world: it may fail for another seed of times as well.
  void nodes() {
    for (const std::size_t voters : {1u, 2u, 3u, 4u, 5u, 6u}) {
      if (voters >= result_.voters) return;
      RunOptions candidate = best_;
      candidate.voters = voters;
      if (try_it(std::move(candidate))) return;
    }
  }

  // For what only shows in the second phase: less of the first.
  void length() {
    while (best_.events > 100 && result_.event >= best_.events) {
      RunOptions candidate = best_;
      candidate.events /= 2;
      if (!try_it(std::move(candidate))) return;
    }
  }

  // Delta debugging: without halves, quarters, ... of what was decided, down to single decisions.
  void decisions() {
    std::vector<std::uint64_t> kept;
    for (const Decision& decision : result_.decisions) kept.push_back(decision.number);
    for (std::size_t size = kept.size(); size >= 1 && runs_ > 0; size /= 2) {
      for (std::size_t from = 0; from < kept.size();) {
        const auto begin = kept.begin() + static_cast<std::ptrdiff_t>(from);
        const auto end =
            kept.begin() + static_cast<std::ptrdiff_t>(std::min(from + size, kept.size()));
        RunOptions candidate = best_;
        candidate.suppressed.insert(begin, end);
        if (try_it(std::move(candidate))) {
          kept.erase(begin, end);
        } else {
          from += size;
        }
      }
    }
  }

  RunOptions best_;
  unsigned runs_;
  RunResult result_;
  std::string rule_;
};

}  // namespace

Shrunk shrink(const RunOptions& options, unsigned runs) {
  Shrinker shrinker(options, runs);
  const RunOptions out = shrinker.run();
  const RunResult& result = shrinker.result();
  if (!result.broken) {
    std::printf("seed %" PRIu64 " breaks no rule\n", options.seed);
    return {out, result};
  }
  std::printf("seed %" PRIu64 ", %zu nodes, %" PRIu64 " events, features: %s\n", out.seed,
              result.nodes, result.event, feature_names(result.features).c_str());
  for (const Decision& decision : result.decisions) {
    std::printf("  %12.6f  %" PRIu64 " %s\n", static_cast<double>(decision.at) * 1e-9,
                decision.number, decision.what);
  }
  std::printf("  %12.6f  %s: %s\n", static_cast<double>(result.time) * 1e-9,
              result.broken->rule.c_str(), result.broken->what.c_str());
  return {out, result};
}

}  // namespace fyr::raft::sim
