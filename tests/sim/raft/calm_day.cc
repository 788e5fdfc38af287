// How often a healthy cluster of three across two cities changes its leader: 30 ms round trips,
// 5 ms of jitter, 1 % of all messages lost. The answer has to be never.
//
//   raft_calm_day [hours] [election_min in ms]
//
// A lost message stays lost here; over TCP it would only be late.
#include <cstdio>
#include <cstdlib>

#include "tests/sim/raft/stage.h"

namespace {

using namespace fyr::raft::sim;

constexpr Nanos kMinute = 60 * kSecond;

}  // namespace

int main(int argc, char** argv) {
  const double hours = argc > 1 ? std::atof(argv[1]) : 24;
  const int election_ms = argc > 2 ? std::atoi(argv[2]) : 0;
  const auto cities = [&](Knobs& knobs) {
    knobs.sites = 3;  // no pair is near: every message crosses the distance
    knobs.delay_between = 15 * kMilli;
    knobs.drop = 0.01;
    knobs.clock_rate = 500;  // parts per million
    if (election_ms > 0) knobs.core.election_min = std::chrono::milliseconds(election_ms);
  };
  try {
    Stage stage(3, cities);
    stage.leader();
    stage.run(10 * kSecond);
    const std::uint64_t before = stage.elections();
    const auto term = stage.term();
    for (Nanos left = static_cast<Nanos>(hours * 60) * kMinute; left > 0; left -= kMinute) {
      stage.run(kMinute);
      stage.write_some();
    }
    const auto elections = static_cast<unsigned long long>(stage.elections() - before);
    std::printf("%.1f hours at election_min %.0f ms: %llu elections, term %llu -> %llu\n", hours,
                static_cast<double>(stage.e()) / 1e6, elections,
                static_cast<unsigned long long>(term.value),
                static_cast<unsigned long long>(stage.term().value));
    return elections == 0 && stage.term() == term ? 0 : 1;
  } catch (const Broken& broken) {
    std::printf("%s: %s\n", broken.rule.c_str(), broken.what.c_str());
    return 1;
  }
}
