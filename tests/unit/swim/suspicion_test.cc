#include "agent/swim/suspicion.h"

#include <gtest/gtest.h>

#include "agent/swim/awareness.h"

namespace fyr::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kStart{seconds(100)};

TEST(Suspicion, StartsLongAndShrinksWithEveryConfirmationToTheMinimum) {
  Suspicion suspicion({}, 10, kStart, "a");
  EXPECT_EQ(suspicion.deadline() - kStart, seconds(12));
  EXPECT_TRUE(suspicion.confirm("b"));
  EXPECT_GT(suspicion.deadline() - kStart, seconds(2));
  EXPECT_LT(suspicion.deadline() - kStart, seconds(12));
  EXPECT_TRUE(suspicion.confirm("c"));
  EXPECT_EQ(suspicion.deadline() - kStart, seconds(2));
}

TEST(Suspicion, CountsAVoiceOnceAndNoMoreThanWanted) {
  Suspicion suspicion({}, 10, kStart, "a");
  EXPECT_FALSE(suspicion.confirm("a"));
  EXPECT_TRUE(suspicion.confirm("b"));
  EXPECT_FALSE(suspicion.confirm("b"));
  EXPECT_TRUE(suspicion.confirm("c"));
  EXPECT_FALSE(suspicion.confirm("d"));
  EXPECT_EQ(suspicion.confirmations(), 2);
}

TEST(Suspicion, DoesNotWaitForConfirmationsThatCannotCome) {
  Suspicion pair({}, 2, kStart, "a");
  EXPECT_EQ(pair.deadline() - kStart, seconds(2));
  Suspicion three({}, 3, kStart, "a");
  EXPECT_EQ(three.deadline() - kStart, seconds(2));
  Suspicion four({}, 4, kStart, "a");
  EXPECT_EQ(four.deadline() - kStart, seconds(12));
}

TEST(Suspicion, GrowsWithTheLogarithmOfTheCluster) {
  Suspicion suspicion({}, 1000, kStart, "a");
  suspicion.confirm("b");
  suspicion.confirm("c");
  EXPECT_EQ(suspicion.deadline() - kStart, seconds(6));
}

TEST(Suspicion, IsPostponedByThePauseOfItsOwner) {
  Suspicion suspicion({}, 2, kStart, "a");
  suspicion.delay(seconds(5));
  EXPECT_EQ(suspicion.deadline() - kStart, seconds(7));
}

TEST(Awareness, StaysWithinItsBoundsAndStretchesTheInterval) {
  Awareness awareness;
  awareness.add(-3);
  EXPECT_EQ(awareness.score(), 0);
  EXPECT_EQ(awareness.scale(milliseconds(500)), milliseconds(500));
  awareness.add(20);
  EXPECT_EQ(awareness.score(), 7);
  EXPECT_EQ(awareness.scale(milliseconds(500)), seconds(4));
}

}  // namespace
}  // namespace fyr::agent
