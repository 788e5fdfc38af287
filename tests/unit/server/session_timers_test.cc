#include "server/leader/session_timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fyr::server {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

const Instant kStart = Instant(seconds(1000));

TEST(SessionTimers, ASessionEndsAfterTwiceItsTtlAndNotBefore) {
  SessionTimers timers;
  timers.set_sessions({{"a", seconds(10)}, {"b", seconds(15)}}, kStart);
  EXPECT_EQ(timers.next_deadline(), kStart + seconds(20));
  EXPECT_THAT(timers.take_expired(kStart + seconds(20) - Duration(1)), IsEmpty());
  EXPECT_THAT(timers.take_expired(kStart + seconds(20)), ElementsAre("a"));
  EXPECT_THAT(timers.take_expired(kStart + seconds(20)), IsEmpty());
}

TEST(SessionTimers, RenewingStartsTheTtlAnew) {
  SessionTimers timers;
  timers.set_sessions({{"a", seconds(10)}}, kStart);
  EXPECT_TRUE(timers.renew("a", kStart + seconds(19)));
  EXPECT_THAT(timers.take_expired(kStart + seconds(38)), IsEmpty());
  EXPECT_THAT(timers.take_expired(kStart + seconds(39)), ElementsAre("a"));
  EXPECT_FALSE(timers.renew("unknown", kStart));
}

TEST(SessionTimers, ASessionThatIsEndingCannotBeRenewedAndIsTriedAgainWithGrowingDelay) {
  SessionTimers timers;
  timers.set_sessions({{"a", seconds(10)}}, kStart);
  Instant time = kStart + seconds(20);
  EXPECT_THAT(timers.take_expired(time), ElementsAre("a"));
  EXPECT_FALSE(timers.renew("a", time));
  for (const int delay : {1, 2, 4, 8, 16, 30, 30}) {
    EXPECT_EQ(timers.next_deadline(), time + seconds(delay));
    time += seconds(delay);
    EXPECT_THAT(timers.take_expired(time), ElementsAre("a"));
  }
  timers.set_sessions({}, time);
  EXPECT_EQ(timers.next_deadline(), std::nullopt);
  EXPECT_EQ(timers.size(), 0u);
}

TEST(SessionTimers, NewsAboutOtherSessionsMoveNoTimer) {
  SessionTimers timers;
  timers.set_sessions({{"a", seconds(10)}}, kStart);
  timers.set_sessions({{"a", seconds(10)}, {"b", seconds(10)}}, kStart + seconds(5));
  EXPECT_THAT(timers.take_expired(kStart + seconds(20)), ElementsAre("a"));
  EXPECT_THAT(timers.take_expired(kStart + seconds(25)), ElementsAre("a", "b"))
      << "a again, b in its turn";
}

TEST(SessionTimers, ANewLeaderStartsEveryTimerFromZero) {
  SessionTimers timers;
  timers.set_sessions({{"a", seconds(10)}}, kStart);
  EXPECT_THAT(timers.take_expired(kStart + seconds(20)), ElementsAre("a"));
  timers.restart(kStart + seconds(20));
  EXPECT_EQ(timers.next_deadline(), kStart + seconds(40));
  EXPECT_TRUE(timers.renew("a", kStart + seconds(21)));
  timers.clear();
  EXPECT_EQ(timers.next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace fyr::server
