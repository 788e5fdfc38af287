#include "agent/local/sync_core.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

using Action = SyncCore::Action;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));

SyncCore make(std::uint64_t seed = 1) {
  SyncCore core(SyncTimes{}, Random(seed));
  core.compare_now(kNow);
  return core;
}

// Past the first comparison.
SyncCore compared() {
  SyncCore core = make();
  EXPECT_EQ(core.next(kNow, false, false), Action::Compare);
  core.done(kNow, Action::Compare, false);
  return core;
}

TEST(SyncCore, ComparesBeforeAnythingElse) {
  SyncCore core = make();
  core.item_changed(kNow);
  EXPECT_EQ(core.next(kNow, false, true), Action::Compare);
  EXPECT_EQ(core.next(kNow + seconds(1), false, true), Action::None) << "one request at a time";
}

TEST(SyncCore, TheFirstChangeGoesAtOnceABurstIsGathered) {
  SyncCore core = compared();
  core.item_changed(kNow);
  EXPECT_EQ(core.next(kNow, true, true), Action::Push);
  core.done(kNow + milliseconds(1), Action::Push, false);
  core.item_changed(kNow + milliseconds(1));
  EXPECT_EQ(core.next(kNow + milliseconds(2), true, true), Action::None);
  EXPECT_EQ(*core.next_deadline(), kNow + milliseconds(5));
  EXPECT_EQ(core.next(kNow + milliseconds(5), true, true), Action::Push);
}

TEST(SyncCore, FailuresBackOffFrom200MillisecondsTo15Seconds) {
  SyncCore core = compared();
  core.item_changed(kNow);
  Instant at = kNow;
  Duration longest{};
  for (int i = 0; i < 12; ++i) {
    ASSERT_EQ(core.next(at, true, true), Action::Push);
    core.done(at, Action::Push, true);
    const Duration wait = *core.next_deadline() - at;
    if (i == 0) {
      EXPECT_GE(wait, milliseconds(100));
      EXPECT_LE(wait, milliseconds(300));
    }
    longest = std::max(longest, wait);
    at += wait;
  }
  EXPECT_GE(longest, milliseconds(7500));
  EXPECT_LE(longest, milliseconds(22500));
}

TEST(SyncCore, ASignOfLifeFromTheServersEndsTheWaiting) {
  SyncCore core = compared();
  core.item_changed(kNow);
  ASSERT_EQ(core.next(kNow, true, true), Action::Push);
  core.done(kNow, Action::Push, true);
  EXPECT_EQ(core.next(kNow + milliseconds(1), true, true), Action::None);
  core.servers_changed(kNow + milliseconds(1));
  EXPECT_NE(core.next(kNow + milliseconds(1), true, true), Action::None);
}

TEST(SyncCore, ComparesEveryOneToTwoMinutes) {
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    SyncCore core = make(seed);
    ASSERT_EQ(core.next(kNow, false, false), Action::Compare);
    core.done(kNow, Action::Compare, false);
    const Duration wait = *core.next_deadline() - kNow;
    EXPECT_GE(wait, minutes(1));
    EXPECT_LE(wait, minutes(2));
    EXPECT_EQ(core.next(kNow + wait, true, false), Action::Compare);
  }
}

TEST(SyncCore, DeferredItemsWakeIt) {
  SyncCore core = compared();
  core.due_at(kNow + seconds(7));
  EXPECT_EQ(*core.next_deadline(), kNow + seconds(7));
  EXPECT_EQ(core.next(kNow + seconds(7), true, true), Action::Push);
}

TEST(SyncCore, AWakeUpWithNothingToSendSendsNothing) {
  SyncCore core = compared();
  core.item_changed(kNow);
  EXPECT_EQ(core.next(kNow, true, false), Action::None);
}

TEST(SyncScale, GrowsWithTheLogarithmOfTheCluster) {
  EXPECT_EQ(sync_scale(1), 1);
  EXPECT_EQ(sync_scale(128), 1);
  EXPECT_EQ(sync_scale(129), 2);
  EXPECT_EQ(sync_scale(256), 2);
  EXPECT_EQ(sync_scale(8192), 7);
}

}  // namespace
}  // namespace fyr::agent
