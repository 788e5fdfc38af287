#include "proxy/outlier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace fyr::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A detector with a clock: runs it to a moment, answering its probes as told.
class Board {
 public:
  explicit Board(HealthCheckConfig check = {}, OutlierConfig outlier = {}, bool http = true)
      : detector(check, outlier, StallConfig{}, http, 1) {}

  void endpoints(std::vector<std::string> keys) { take(detector.set_endpoints(now, keys)); }

  void take(HealthOutput output) {
    for (auto& verdict : output.verdicts) verdicts.push_back(verdict);
    for (auto& probe : output.probes) {
      ++probe_count;
      last_probe = probe;
      Outcome outcome = answer(probe);
      if (outcome.delay) {
        pending.push_back({now + *outcome.delay, probe, outcome});
      }
    }
  }

  void run_until(Instant end) {
    while (true) {
      auto next = detector.next_deadline();
      for (const auto& p : pending) next = next ? std::min(*next, p.at) : p.at;
      if (!next || *next > end) break;
      now = std::max(now, *next);
      auto due = std::find_if(pending.begin(), pending.end(),
                              [&](const Pending& p) { return p.at <= now; });
      if (due != pending.end()) {
        const Pending p = *due;
        pending.erase(due);
        take(detector.probe_done(now, p.probe, p.outcome.outcome, p.outcome.status));
      } else {
        take(detector.tick(now));
      }
    }
    now = end;
  }
  void run_for(Duration duration) { run_until(now + duration); }

  const EndpointHealth& health(const std::string& key) { return *detector.find(key); }
  LocalState state(const std::string& key) { return health(key).state; }

  struct Outcome {
    ProbeOutcome outcome = ProbeOutcome::Passed;
    int status = 200;
    std::optional<Duration> delay = milliseconds(1);
  };
  struct Pending {
    Instant at;
    Probe probe;
    Outcome outcome;
  };
  std::function<Outcome(const Probe&)> answer = [](const Probe&) { return Outcome{}; };
  Instant now{seconds(1000)};
  OutlierDetector detector;
  std::vector<Verdict> verdicts;
  std::vector<Pending> pending;
  int probe_count = 0;
  Probe last_probe;
};

Board::Outcome refused() {
  return {ProbeOutcome::Refused, 0, milliseconds(1)};
}

TEST(OutlierDetector, NewEndpointIsUsableAndUpAfterItsFirstCheck) {
  Board board;
  board.endpoints({"a"});
  EXPECT_EQ(board.state("a"), LocalState::Unknown);
  board.run_for(milliseconds(200));
  EXPECT_EQ(board.state("a"), LocalState::Up);
}

TEST(OutlierDetector, fall_rise) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(3));
  int failures = 0;
  bool failing = true;
  board.answer = [&](const Probe& probe) {
    if (probe.key != "a" || !failing) return Board::Outcome{};
    ++failures;
    return refused();
  };
  board.run_for(seconds(5));
  EXPECT_EQ(board.state("a"), LocalState::Down);
  EXPECT_TRUE(board.health("a").unreachable);
  ASSERT_FALSE(board.verdicts.empty());
  EXPECT_EQ(board.verdicts.back().key, "a");
  EXPECT_GE(failures, 3);
  EXPECT_EQ(board.verdicts.back().abandon, Abandon::No);  // refused: accepted requests may finish
  const auto before = board.probe_count;
  failing = false;
  while (board.state("a") != LocalState::Up) board.run_for(milliseconds(10));
  EXPECT_GE(board.probe_count - before, 2);
  EXPECT_EQ(board.state("b"), LocalState::Up);
}

TEST(OutlierDetector, TwoFailuresAreNotEnough) {
  Board board;
  board.endpoints({"a"});
  board.run_for(seconds(1));
  int failures = 0;
  board.answer = [&](const Probe&) { return ++failures <= 2 ? refused() : Board::Outcome{}; };
  board.run_for(seconds(10));
  EXPECT_EQ(board.state("a"), LocalState::Up);
}

TEST(OutlierDetector, check_own_timeout) {
  Board board;
  board.endpoints({"a"});
  board.run_for(seconds(1));
  board.answer = [](const Probe& probe) {
    return Board::Outcome{ProbeOutcome::NoAnswer, 0, probe.timeout};
  };
  const Instant frozen = board.now;
  while (board.state("a") != LocalState::Down) board.run_for(milliseconds(10));
  // Interval, then three timeouts of 1 s with short pauses between.
  EXPECT_LE(board.now - frozen, milliseconds(5500));
}

TEST(OutlierDetector, adaptive) {
  Board board;
  board.endpoints({"a"});
  board.run_for(seconds(1));
  const int before = board.probe_count;
  for (int i = 0; i < 100; ++i) {
    board.take(board.detector.request_succeeded(board.now, "a", board.now));
    board.run_for(milliseconds(100));
  }
  EXPECT_EQ(board.probe_count, before);  // busy endpoint gets 0 probes
  board.run_for(seconds(5));
  EXPECT_GT(board.probe_count, before);
}

TEST(OutlierDetector, check_404_all) {
  Board board;
  board.endpoints({"a", "b"});
  board.answer = [](const Probe& probe) {
    return probe.type == CheckType::Http
               ? Board::Outcome{ProbeOutcome::BadStatus, 404, milliseconds(1)}
               : Board::Outcome{};
  };
  board.run_for(seconds(20));
  EXPECT_TRUE(board.detector.check_misconfigured());
  EXPECT_EQ(board.state("a"), LocalState::Up);
  EXPECT_EQ(board.state("b"), LocalState::Up);
  EXPECT_EQ(board.last_probe.type, CheckType::Tcp);
}

TEST(OutlierDetector, OneEndpointThatAnswers404AloneIsDown) {
  Board board;
  board.endpoints({"a", "b"});
  board.answer = [](const Probe& probe) {
    return probe.key == "a" ? Board::Outcome{ProbeOutcome::BadStatus, 404, milliseconds(1)}
                            : Board::Outcome{};
  };
  board.run_for(seconds(20));
  EXPECT_FALSE(board.detector.check_misconfigured());
  EXPECT_EQ(board.state("a"), LocalState::Down);
  EXPECT_FALSE(board.health("a").unreachable);  // L7: a last resort remains
}

TEST(OutlierDetector, eject_two_connects) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.answer = [](const Probe& probe) { return probe.key == "a" ? refused() : Board::Outcome{}; };
  board.take(board.detector.connect_failed(board.now, "a"));
  EXPECT_FALSE(board.health("a").ejected());
  board.take(board.detector.connect_failed(board.now, "a"));
  EXPECT_TRUE(board.health("a").ejected());
  ASSERT_FALSE(board.verdicts.empty());
  EXPECT_TRUE(board.verdicts.back().ejected);
  const int before = board.probe_count;
  board.run_for(milliseconds(450));
  EXPECT_GE(board.probe_count - before, 2);  // every 200 ms
}

TEST(OutlierDetector, SuccessInBetweenStartsTheCountAgain) {
  Board board;
  board.endpoints({"a", "b"});
  board.take(board.detector.connect_failed(board.now, "a"));
  board.take(board.detector.connect_succeeded(board.now, "a"));
  board.take(board.detector.connect_failed(board.now, "a"));
  EXPECT_FALSE(board.health("a").ejected());
}

TEST(OutlierDetector, RestartedEndpointIsBackAfterTwoProbes) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.take(board.detector.connect_failed(board.now, "a"));
  board.take(board.detector.connect_failed(board.now, "a"));
  ASSERT_TRUE(board.health("a").ejected());
  board.run_for(milliseconds(600));
  EXPECT_FALSE(board.health("a").ejected());
  EXPECT_EQ(board.state("a"), LocalState::Up);
}

TEST(OutlierDetector, eject_cap) {
  Board board({}, OutlierConfig{});
  board.endpoints({"a", "b", "c"});
  board.run_for(seconds(1));
  board.answer = [](const Probe&) { return Board::Outcome{ProbeOutcome::Passed, 200, {}}; };
  for (const char* key : {"a", "b", "c"}) {
    for (int i = 0; i < 5; ++i) board.take(board.detector.gateway_error(board.now, key));
  }
  EXPECT_TRUE(board.health("a").ejected());
  EXPECT_FALSE(board.health("b").ejected());  // 50 % of 3
  Board single;
  single.endpoints({"a"});
  for (int i = 0; i < 50; ++i) single.take(single.detector.gateway_error(single.now, "a"));
  EXPECT_FALSE(single.health("a").ejected());
  Board pair({}, [] {
    OutlierConfig config;
    config.max_percent = 100;
    return config;
  }());
  pair.endpoints({"a", "b"});
  for (const char* key : {"a", "b"}) {
    for (int i = 0; i < 5; ++i) pair.take(pair.detector.gateway_error(pair.now, key));
  }
  EXPECT_FALSE(pair.health("b").ejected());  // never the last one
}

TEST(OutlierDetector, eject_backoff) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  for (const int expected : {5, 10, 15}) {
    for (int i = 0; i < 5; ++i) board.take(board.detector.gateway_error(board.now, "a"));
    ASSERT_TRUE(board.health("a").ejected());
    const Duration length = *board.health("a").ejected_until - board.now;
    EXPECT_EQ(length, seconds(expected));
    board.run_until(*board.health("a").ejected_until);
    EXPECT_FALSE(board.health("a").ejected());
  }
}

TEST(OutlierDetector, EjectionCountDecaysWithHealthyTime) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 5; ++i) board.take(board.detector.gateway_error(board.now, "a"));
    board.run_until(*board.health("a").ejected_until);
  }
  board.run_for(seconds(30));
  EXPECT_EQ(board.health("a").ejections, 0);
}

TEST(OutlierDetector, stall_frozen) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.answer = [](const Probe& probe) {
    if (probe.key != "a") return Board::Outcome{};
    return Board::Outcome{ProbeOutcome::NoAnswer, 0, probe.timeout};
  };
  board.verdicts.clear();
  const Instant suspected = board.now;
  board.take(board.detector.stall_suspected(board.now, "a"));
  EXPECT_EQ(board.state("a"), LocalState::Suspect);
  EXPECT_EQ(board.last_probe.type, CheckType::Http);
  while (board.state("a") != LocalState::Down) board.run_for(milliseconds(1));
  EXPECT_LE(board.now - suspected, milliseconds(501));
  EXPECT_EQ(board.verdicts.back().abandon, Abandon::Repeatable);
  EXPECT_FALSE(board.health("a").unreachable);
  // The next silent probe ends the wait of what cannot be repeated.
  board.run_for(milliseconds(1300));
  EXPECT_EQ(board.verdicts.back().abandon, Abandon::All);
  const auto told = board.verdicts.size();
  board.run_for(seconds(20));
  EXPECT_EQ(board.verdicts.size(), told);  // once
}

TEST(OutlierDetector, stall_slow_alive) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.verdicts.clear();
  board.take(board.detector.stall_suspected(board.now, "a"));
  board.run_for(milliseconds(10));
  EXPECT_EQ(board.state("a"), LocalState::Up);
  for (const auto& verdict : board.verdicts) EXPECT_EQ(verdict.abandon, Abandon::No);
  // Not asked again at once for the same slow request.
  const int before = board.probe_count;
  board.take(board.detector.stall_suspected(board.now, "a"));
  EXPECT_EQ(board.probe_count, before);
}

TEST(OutlierDetector, StalledEndpointWithTcpChecksComesBackOnlyWithAnAnswer) {
  HealthCheckConfig tcp;
  tcp.type = CheckType::Tcp;
  Board board(tcp);
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  bool frozen = true;
  board.answer = [&](const Probe& probe) {
    if (probe.key != "a" || !frozen || probe.type == CheckType::Tcp) {
      return probe.type == CheckType::Http
                 ? Board::Outcome{ProbeOutcome::BadStatus, 404, milliseconds(1)}
                 : Board::Outcome{};  // the kernel accepts for a frozen process
    }
    return Board::Outcome{ProbeOutcome::NoAnswer, 0, probe.timeout};
  };
  board.take(board.detector.stall_suspected(board.now, "a", true));
  board.run_for(seconds(20));
  EXPECT_EQ(board.state("a"), LocalState::Down);
  frozen = false;
  board.run_for(seconds(10));
  EXPECT_EQ(board.state("a"), LocalState::Up);
  EXPECT_EQ(board.last_probe.type, CheckType::Tcp);
}

TEST(OutlierDetector, SilenceIsProbedWithLessPatience) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.take(board.detector.stall_suspected(board.now, "a", true));
  EXPECT_EQ(board.last_probe.timeout, milliseconds(250));
}

TEST(OutlierDetector, AnAnswerOf500ShowsALivingProcess) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.answer = [](const Probe&) {
    return Board::Outcome{ProbeOutcome::BadStatus, 500, milliseconds(1)};
  };
  board.take(board.detector.stall_suspected(board.now, "a"));
  board.run_for(milliseconds(5));
  EXPECT_EQ(board.state("a"), LocalState::Up);
}

TEST(OutlierDetector, HostThatVanishesIsAbandoned) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.answer = [](const Probe& probe) {
    return probe.key == "a" ? Board::Outcome{ProbeOutcome::Unreachable, 0, probe.timeout}
                            : Board::Outcome{};
  };
  board.run_for(seconds(10));
  EXPECT_EQ(board.state("a"), LocalState::Down);
  EXPECT_TRUE(std::any_of(board.verdicts.begin(), board.verdicts.end(), [](const Verdict& v) {
    return v.key == "a" && v.abandon == Abandon::All;
  }));
}

TEST(OutlierDetector, RemovedEndpointsAreForgottenOthersKeepTheirState) {
  Board board;
  board.endpoints({"a", "b"});
  board.run_for(seconds(1));
  board.take(board.detector.connect_failed(board.now, "b"));
  board.endpoints({"b", "c"});
  EXPECT_EQ(board.detector.find("a"), nullptr);
  EXPECT_EQ(board.health("b").connect_failures, 1);
  EXPECT_EQ(board.state("b"), LocalState::Up);
  EXPECT_EQ(board.state("c"), LocalState::Unknown);
  // A probe of before the removal means nothing any more.
  board.take(board.detector.probe_done(board.now, Probe{"a", 1, CheckType::Http, {}},
                                       ProbeOutcome::Refused, 0));
}

TEST(OutlierDetector, WithoutChecksAnEjectedEndpointStillComesBack) {
  HealthCheckConfig none;
  none.type = CheckType::None;
  Board board(none);
  board.endpoints({"a", "b"});
  board.run_for(seconds(10));
  EXPECT_EQ(board.probe_count, 0);
  board.take(board.detector.connect_failed(board.now, "a"));
  board.take(board.detector.connect_failed(board.now, "a"));
  ASSERT_TRUE(board.health("a").ejected());
  board.run_for(seconds(1));
  EXPECT_FALSE(board.health("a").ejected());
  EXPECT_EQ(board.last_probe.type, CheckType::Tcp);
}

}  // namespace
}  // namespace fyr::proxy
