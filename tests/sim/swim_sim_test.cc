// Behaviour of whole gossip clusters. Every test runs over several seeds and names the one that
// failed. FYR_SIM_SEEDS raises the number of seeds, FYR_SIM_FIRST_SEED picks the first.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/sim/swim_simulator.h"

namespace fyr::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

template <class F>
void for_seeds(int count, F&& f) {
  const std::uint64_t first = number_from_environment("FYR_SIM_FIRST_SEED", 1);
  const std::uint64_t seeds =
      number_from_environment("FYR_SIM_SEEDS", static_cast<std::uint64_t>(count));
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    f(seed);
    if (::testing::Test::HasFailure()) return;
  }
}

SwimSimulator cluster(std::uint64_t seed, int n, SimNetwork network) {
  SwimSimulator sim(seed, network);
  for (int i = 0; i < n; ++i) sim.start(i);
  sim.run(seconds(20));
  return sim;
}

SimNetwork lossy(double loss) {
  SimNetwork network;
  network.loss = loss;
  return network;
}

// Seconds from the death of one node until the last other knows, sorted, one per seed.
std::vector<double> detection_times(int n, double loss, int seeds) {
  std::vector<double> times;
  for_seeds(seeds, [&](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, n, lossy(loss));
    EXPECT_TRUE(sim.views_equal());
    const int victim = static_cast<int>(seed) % n;
    sim.run(milliseconds(37 * (seed % 29)));
    const Instant died = sim.now();
    sim.kill(victim);
    while (!sim.all_see(victim, MemberState::Failed) && sim.now() - died < minutes(1)) {
      sim.run(milliseconds(10));
    }
    EXPECT_TRUE(sim.all_see(victim, MemberState::Failed));
    EXPECT_EQ(sim.false_deaths(), 0);
    times.push_back(std::chrono::duration<double>(sim.now() - died).count());
  });
  std::sort(times.begin(), times.end());
  return times;
}

// The figures of the specification, section 11, plus 15 %.
void expect_figures(const std::vector<double>& times, double p50, double p99) {
  ASSERT_FALSE(times.empty());
  const double median = times[times.size() / 2];
  const double last = times[times.size() * 99 / 100];
  std::printf("    %zu deaths: p50 %.1f s, p99 %.1f s\n", times.size(), median, last);
  EXPECT_LE(median, p50 * 1.15);
  EXPECT_LE(last, p99 * 1.15);
}

TEST(SwimSim, TenNodesAllLearnOfADeathInTime) {
  expect_figures(detection_times(10, 0, 40), 3.9, 5.5);
}

TEST(SwimSim, TenNodesAllLearnOfADeathInTimeWithLoss) {
  expect_figures(detection_times(10, 0.05, 40), 4.1, 5.4);
  expect_figures(detection_times(10, 0.20, 40), 5.2, 6.5);
}

TEST(SwimSim, AHundredNodesAllLearnOfADeathInTime) {
  expect_figures(detection_times(100, 0.05, 3), 6.1, 7.5);
}

TEST(SwimSim, OfTwoNodesTheOtherLearnsWithinFourSeconds) {
  const auto times = detection_times(2, 0, 40);
  EXPECT_LE(times.back(), 4.0);
}

TEST(SwimSim, NobodyIsFalselyDeclaredDeadInTenMinutes) {
  for_seeds(4, [](std::uint64_t seed) {
    for (const double loss : {0.0, 0.05, 0.20}) {
      SwimSimulator sim = cluster(seed, 10, lossy(loss));
      sim.run(minutes(10));
      EXPECT_EQ(sim.deaths().size(), 0u) << "loss " << loss;
      for (int i = 0; i < 10; ++i) EXPECT_TRUE(sim.up(i));
    }
  });
}

TEST(SwimSim, SteadyTrafficStaysSmall) {
  SwimSimulator sim = cluster(1, 10, {});
  const auto packets = sim.packets();
  const auto bytes = sim.bytes();
  sim.run(minutes(1));
  EXPECT_LE((sim.packets() - packets) / 600.0, 6.1);
  EXPECT_LE((sim.bytes() - bytes) / 600.0, 5000.0);
}

TEST(SwimSim, ASuspectedNodeRefutesAndIsAliveEverywhere) {
  for_seeds(5, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 10, lossy(0.05));
    const auto before = sim.core(3).incarnation();
    const swim::Suspect claim{"n3", before, "n7"};
    const std::string packet = swim::encode_packet(swim::cluster_hash("dc1"), swim::Message(claim));
    for (int i : {1, 2, 4}) sim.command(i, PacketArrived{{}, packet});
    sim.run(seconds(10));
    EXPECT_GT(sim.core(3).incarnation(), before);
    EXPECT_TRUE(sim.all_see(3, MemberState::Alive));
    EXPECT_EQ(sim.deaths().size(), 0u);
  });
}

TEST(SwimSim, APartitionHealsWithinAMinuteAndViewsAreEqual) {
  for_seeds(5, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 10, lossy(0.01));
    sim.partition({{0, 1, 2, 3}, {4, 5, 6, 7, 8, 9}});
    sim.run(seconds(60));
    EXPECT_EQ(sim.view(0, 5), MemberState::Failed);
    EXPECT_EQ(sim.view(5, 0), MemberState::Failed);
    EXPECT_EQ(sim.view(5, 9), MemberState::Alive);
    sim.partition({});
    sim.run(seconds(60));
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(sim.all_see(i, MemberState::Alive)) << i;
    EXPECT_TRUE(sim.views_equal());
  });
}

TEST(SwimSim, TwoNodesFindEachOtherAgainAfterAPartition) {
  for_seeds(10, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 2, {});
    sim.partition({{0}, {1}});
    sim.run(minutes(5));
    EXPECT_EQ(sim.view(0, 1), MemberState::Failed);
    sim.partition({});
    sim.run(seconds(60));
    EXPECT_EQ(sim.view(0, 1), MemberState::Alive);
    EXPECT_EQ(sim.view(1, 0), MemberState::Alive);
  });
}

TEST(SwimSim, APausedNodeRefutesItsDeathAndKillsNobody) {
  for_seeds(10, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 10, {});
    sim.pause(4, seconds(20));
    sim.run(seconds(15));
    EXPECT_EQ(sim.view(0, 4), MemberState::Failed);
    sim.run(seconds(15));
    EXPECT_TRUE(sim.all_see(4, MemberState::Alive));
    for (const auto& death : sim.deaths()) EXPECT_EQ(death.who, 4);
  });
}

TEST(SwimSim, AQuicklyRestartedNodeIsBackUnderAHigherIncarnation) {
  for_seeds(10, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 5, lossy(0.05));
    for (int round = 0; round < 3; ++round) {
      sim.kill(2);
      sim.run(milliseconds(300 + 2500 * round));
      sim.start(2);
      sim.run(seconds(10));
      EXPECT_TRUE(sim.all_see(2, MemberState::Alive));
      EXPECT_TRUE(sim.views_equal());
      EXPECT_EQ(sim.core(2).members().size(), 5u);
    }
  });
}

TEST(SwimSim, ASeedThatRestartsIsFoundByTheOthersWithoutJoining) {
  for_seeds(10, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 5, {});
    sim.kill(0);
    sim.run(milliseconds(500));
    sim.start(0);
    sim.run(seconds(8));
    EXPECT_EQ(sim.core(0).members().size(), 5u);
    EXPECT_TRUE(sim.all_see(0, MemberState::Alive));
  });
}

TEST(SwimSim, ALeavingNodeIsLeftEverywhereAndNeverFailed) {
  for_seeds(10, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 10, lossy(0.05));
    sim.leave(6);
    sim.run(seconds(10));
    EXPECT_FALSE(sim.up(6));
    EXPECT_TRUE(sim.all_see(6, MemberState::Left));
    EXPECT_EQ(sim.deaths().size(), 0u);
  });
}

TEST(SwimSim, ForceLeaveOfADeadNodeReachesEveryViewAndItStaysGone) {
  for_seeds(5, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 10, lossy(0.05));
    sim.kill(9);
    sim.run(seconds(15));
    sim.command(1, ForceLeaveCommand{"n9", true});
    sim.run(seconds(10));
    for (int i = 0; i < 9; ++i) EXPECT_EQ(sim.view(i, 9), std::nullopt);
    sim.run(minutes(5));
    for (int i = 0; i < 9; ++i) EXPECT_EQ(sim.view(i, 9), std::nullopt);
  });
}

TEST(SwimSim, AMemberReachedOverTcpOnlyStaysAlive) {
  for_seeds(3, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 5, {});
    for (int i = 0; i < 4; ++i) {
      sim.block_udp(i, 4);
      sim.block_udp(4, i);
    }
    sim.run(minutes(3));
    EXPECT_TRUE(sim.all_see(4, MemberState::Alive));
    EXPECT_EQ(sim.deaths().size(), 0u);
  });
}

TEST(SwimSim, AStarvedMemberCausesNoFalseFailureOfOthers) {
  for_seeds(1, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 50, {});
    Random random(seed);
    for (int burst = 0; burst < 30; ++burst) {
      sim.pause(7, random.between(seconds(1), seconds(4)));
      sim.run(seconds(5));
    }
    for (const auto& death : sim.deaths()) EXPECT_EQ(death.who, 7);
  });
}

TEST(SwimSim, ManyComeAndGoAndTheRestAgree) {
  for_seeds(3, [](std::uint64_t seed) {
    SwimSimulator sim = cluster(seed, 8, lossy(0.05));
    Random random(seed);
    for (int round = 0; round < 60; ++round) {
      const int i = 1 + static_cast<int>(random.below(15));
      if (!sim.up(i)) {
        sim.start(i);
      } else if (random.chance(0.5)) {
        sim.kill(i);
      } else {
        sim.leave(i);
      }
      sim.run(milliseconds(300));
    }
    sim.run(seconds(90));
    EXPECT_TRUE(sim.views_equal());
    for (int i = 0; i < 16; ++i) {
      EXPECT_TRUE(!sim.up(i) || sim.all_see(i, MemberState::Alive)) << i;
    }
  });
}

TEST(SwimSim, TheSameSeedGivesTheSameTranscript) {
  const auto transcript = [](std::uint64_t seed) {
    SimNetwork network = lossy(0.1);
    network.duplication = 0.05;
    SwimSimulator sim = cluster(seed, 8, network);
    sim.kill(3);
    sim.run(seconds(20));
    return sim.transcript();
  };
  EXPECT_EQ(transcript(7), transcript(7));
  EXPECT_NE(transcript(7), transcript(8));
}

}  // namespace
}  // namespace fyr::agent
