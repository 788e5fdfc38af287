#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agent/checks/core.h"

namespace fyr::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Instant kStart = Instant(seconds(1000));

CheckRules every(Duration interval) {
  CheckRules rules;
  rules.interval = interval;
  return rules;
}

CheckRules ttl(Duration length) {
  CheckRules rules;
  rules.ttl = length;
  return rules;
}

CheckStart started(double spread = 0, CheckStatus initial = CheckStatus::Critical) {
  CheckStart start;
  start.spread = spread;
  start.initial = initial;
  return start;
}

CheckStatus letter(char c) {
  return c == 'p' ? CheckStatus::Passing : c == 'w' ? CheckStatus::Warning : CheckStatus::Critical;
}

// Runs results through a check and writes what it shows after each.
std::string shown(CheckRules rules, const std::string& results) {
  rules.interval = seconds(10);
  CheckCore core(rules);
  core.step(kStart, started());
  std::string out;
  for (const char c : results) {
    core.step(kStart, CheckResult{letter(c), {}});
    out += to_string(core.status())[0];
  }
  return out;
}

struct Row {
  int success, warning, critical;
  std::string results, expected;
};

TEST(CheckThresholds, DecideWhenAResultShows) {
  const std::vector<Row> rows = {
      {0, 0, 0, "p", "p"},
      {0, 0, 0, "c", "c"},
      {0, 0, 0, "w", "w"},
      {0, 0, 0, "pcpc", "pcpc"},
      {1, 0, 1, "pcpc", "pcpc"},
      // The first result shows at once whatever the thresholds.
      {3, 0, 0, "p", "p"},
      {3, 0, 3, "p", "p"},
      {0, 0, 3, "pc", "pp"},
      {0, 0, 3, "pcc", "ppp"},
      {0, 0, 3, "pccc", "pppc"},
      {0, 0, 3, "pccpccpcc", "ppppppppp"},
      {0, 0, 3, "pcccpccc", "pppcpppc"},
      {3, 0, 0, "cppp", "cccp"},
      {3, 0, 0, "cppcppp", "ccccccp"},
      {3, 0, 0, "pcp", "pcc"},
      {2, 0, 2, "pccpp", "ppccp"},
      {2, 0, 2, "pcpcpc", "pppppp"},
      // A warning counts as a success.
      {0, 0, 3, "pccwcc", "pppwww"},
      {3, 0, 0, "cwww", "cccw"},
      {3, 0, 0, "cwwp", "cccp"},
      {2, 0, 0, "cpw", "ccw"},
      // FailuresBeforeWarning below FailuresBeforeCritical.
      {0, 1, 3, "pccc", "pwwc"},
      {0, 2, 3, "pccc", "ppwc"},
      {0, 2, 4, "pccpcccc", "ppwppwwc"},
      {0, 3, 3, "pccc", "pppc"},
      {2, 1, 3, "pcp", "pww"},
      {2, 1, 3, "pcpp", "pwwp"},
  };
  for (const Row& row : rows) {
    CheckRules rules;
    rules.success_before_passing = row.success;
    rules.failures_before_warning = row.warning;
    rules.failures_before_critical = row.critical;
    EXPECT_EQ(shown(rules, row.results), row.expected)
        << row.results << " with " << row.success << "/" << row.warning << "/" << row.critical;
  }
}

TEST(CheckThresholds, HideTheOutputToo) {
  CheckRules rules = every(seconds(10));
  rules.failures_before_critical = 2;
  CheckCore core(rules);
  core.step(kStart, started());
  core.step(kStart, CheckResult{CheckStatus::Passing, "fine"});
  EXPECT_FALSE(core.step(kStart, CheckResult{CheckStatus::Critical, "bad"}).published);
  const auto out = core.step(kStart, CheckResult{CheckStatus::Critical, "worse"});
  ASSERT_TRUE(out.published);
  EXPECT_EQ(out.published->output, "worse");
}

TEST(CheckSchedule, FirstRunLiesAtThePointOfTheIntervalThatWasDrawn) {
  for (const double spread : {0.0, 0.25, 0.999}) {
    CheckCore core(every(seconds(10)));
    core.step(kStart, started(spread));
    ASSERT_TRUE(core.next_deadline());
    EXPECT_NEAR(static_cast<double>((*core.next_deadline() - kStart).count()), 10e9 * spread, 1e3);
  }
}

TEST(CheckSchedule, RunsAtAFixedRateHoweverLongARunTakes) {
  CheckCore core(every(seconds(1)));
  core.step(kStart, started());
  int runs = 0;
  for (Instant at = kStart; at < kStart + seconds(100); at += milliseconds(10)) {
    if (at < *core.next_deadline()) continue;
    if (core.step(at, CheckTick{}).run) {
      ++runs;
      core.step(at + milliseconds(300), CheckResult{CheckStatus::Passing, {}});
    }
  }
  EXPECT_EQ(runs, 100);
}

TEST(CheckSchedule, NeverRunsTwiceAtOnceAndCountsSkippedSlots) {
  CheckCore core(every(seconds(1)));
  core.step(kStart, started());
  EXPECT_TRUE(core.step(kStart, CheckTick{}).run);
  const auto second = core.step(kStart + seconds(1), CheckTick{});
  EXPECT_FALSE(second.run);
  EXPECT_EQ(second.slots_skipped, 1u);
  core.step(kStart + milliseconds(1500), CheckResult{CheckStatus::Passing, {}});
  EXPECT_EQ(*core.next_deadline(), kStart + seconds(2));
  EXPECT_TRUE(core.step(kStart + seconds(2), CheckTick{}).run);
}

TEST(CheckSchedule, ASleepOfManyIntervalsIsFollowedByOneRun) {
  CheckCore core(every(seconds(1)));
  core.step(kStart, started());
  const auto out = core.step(kStart + milliseconds(60500), CheckTick{});
  EXPECT_TRUE(out.run);
  EXPECT_EQ(out.slots_skipped, 60u);
  EXPECT_EQ(*core.next_deadline(), kStart + seconds(61));
}

TEST(TtlCheck, ExpiresToCriticalAndShowsTheLastNote) {
  CheckCore core(ttl(seconds(10)));
  core.step(kStart, started(0, CheckStatus::Passing));
  EXPECT_EQ(core.status(), CheckStatus::Passing);
  EXPECT_EQ(*core.next_deadline(), kStart + seconds(10));
  auto out = core.step(kStart + seconds(10), CheckTick{});
  ASSERT_TRUE(out.published);
  EXPECT_EQ(out.published->output, "TTL expired");
  core.step(kStart + seconds(11), CheckTold{CheckStatus::Passing, "all good"});
  EXPECT_EQ(core.status(), CheckStatus::Passing);
  EXPECT_FALSE(core.step(kStart + seconds(20), CheckTick{}).published);
  out = core.step(kStart + seconds(21), CheckTick{});
  ASSERT_TRUE(out.published);
  EXPECT_EQ(out.published->status, CheckStatus::Critical);
  EXPECT_EQ(out.published->output, "TTL expired (last output before timeout follows): all good");
  EXPECT_FALSE(core.next_deadline());
}

TEST(TtlCheck, KeepsItsRemainingTimeOverARestart) {
  CheckCore before(ttl(seconds(30)));
  before.step(kStart, started());
  before.step(kStart, CheckTold{CheckStatus::Passing, "ok"});
  CheckMemory memory = before.memory(kStart + seconds(10));
  EXPECT_EQ(memory.ttl_left, seconds(20));

  CheckCore after(ttl(seconds(30)));
  CheckStart start = started();
  memory.age = seconds(5);
  start.memory = memory;
  after.step(kStart, start);
  EXPECT_EQ(after.status(), CheckStatus::Passing);
  EXPECT_EQ(*after.next_deadline(), kStart + seconds(15));

  CheckCore late(ttl(seconds(30)));
  start.memory->age = seconds(21);
  const auto out = late.step(kStart, start);
  ASSERT_TRUE(out.published);
  EXPECT_EQ(out.published->status, CheckStatus::Critical);
  EXPECT_EQ(out.published->output, "TTL expired (last output before timeout follows): ok");
}

TEST(TtlCheck, ThatHadExpiredShowsTheSameAfterARestart) {
  CheckMemory memory;
  memory.status = CheckStatus::Critical;
  memory.output = "TTL expired";
  memory.age = seconds(100);
  CheckStart start = started();
  start.memory = memory;
  CheckCore core(ttl(seconds(30)));
  EXPECT_EQ(core.step(kStart, start).published->output, "TTL expired");
  EXPECT_FALSE(core.next_deadline());
}

TEST(CheckRestart, KeepsAStatusThatIsNotTooOldAndRunsSoon) {
  CheckMemory memory;
  memory.status = CheckStatus::Passing;
  memory.output = "HTTP GET";
  memory.age = seconds(29);
  CheckStart start = started(0.999);
  start.memory = memory;
  CheckCore core(every(seconds(10)));
  core.step(kStart, start);
  EXPECT_EQ(core.status(), CheckStatus::Passing);
  EXPECT_LE(*core.next_deadline(), kStart + seconds(2));

  start.memory->age = seconds(31);
  CheckCore old(every(seconds(10)));
  old.step(kStart, start);
  EXPECT_EQ(old.status(), CheckStatus::Critical);
}

TEST(CheckRestart, GraceIsThreeIntervalsOfSlowChecks) {
  EXPECT_EQ(restart_grace(seconds(1)), seconds(30));
  EXPECT_EQ(restart_grace(minutes(5)), minutes(15));
}

TEST(CheckReaping, RemovesTheServiceAfterTheTimeCriticalAndAsksAgainUntilItIsGone) {
  CheckRules rules = every(seconds(10));
  rules.deregister_after = minutes(1);
  CheckCore core(rules);
  core.step(kStart, started(0.5, CheckStatus::Passing));
  Instant at = kStart + seconds(30);
  core.step(at, CheckResult{CheckStatus::Critical, {}});
  EXPECT_FALSE(core.step(at + seconds(59), CheckTick{}).deregister);
  EXPECT_TRUE(core.step(at + seconds(60), CheckTick{}).deregister);
  EXPECT_FALSE(core.step(at + seconds(61), CheckTick{}).deregister);
  core.step(at + seconds(70), CheckResult{CheckStatus::Critical, {}});
  EXPECT_FALSE(core.step(at + seconds(89), CheckTick{}).deregister);
  EXPECT_TRUE(core.step(at + seconds(90), CheckTick{}).deregister);
  core.step(at + seconds(100), CheckResult{CheckStatus::Passing, {}});
  EXPECT_FALSE(core.step(at + seconds(130), CheckTick{}).deregister);
}

TEST(CheckReaping, ARecoveryStartsTheTimeAnew) {
  CheckRules rules = every(seconds(10));
  rules.deregister_after = minutes(1);
  CheckCore core(rules);
  core.step(kStart, started(0.5));
  core.step(kStart + seconds(50), CheckResult{CheckStatus::Passing, {}});
  core.step(kStart + seconds(55), CheckResult{CheckStatus::Critical, {}});
  EXPECT_FALSE(core.step(kStart + seconds(100), CheckTick{}).deregister);
  EXPECT_TRUE(core.step(kStart + seconds(115), CheckTick{}).deregister);
}

TEST(CheckReaping, TimeCriticalSurvivesARestart) {
  CheckRules rules = every(seconds(10));
  rules.deregister_after = minutes(1);
  CheckCore before(rules);
  before.step(kStart, started(0.5));
  CheckMemory memory = before.memory(kStart + seconds(40));
  EXPECT_EQ(memory.critical_for, seconds(40));
  CheckCore after(rules);
  CheckStart start = started(0.5);
  start.memory = memory;
  after.step(kStart, start);
  EXPECT_FALSE(after.step(kStart + seconds(19), CheckTick{}).deregister);
  EXPECT_TRUE(after.step(kStart + seconds(20), CheckTick{}).deregister);
}

}  // namespace
}  // namespace fyr::agent
