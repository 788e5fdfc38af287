#include "server/applied_waiters.h"

#include <gtest/gtest.h>

namespace fyr::server {
namespace {

struct Waited {
  AppliedWaiters waiters;
  std::vector<int> done;
  void wait(StateIndex index, int name) {
    waiters.wait(index, [this, name] { done.push_back(name); });
  }
};

TEST(AppliedWaiters, AreToldInOrderOnceTheirIndexIsApplied) {
  Waited w;
  w.wait(5, 5);
  w.wait(3, 3);
  w.waiters.advance(2);
  EXPECT_TRUE(w.done.empty());
  w.waiters.advance(5);
  EXPECT_EQ(w.done, (std::vector<int>{3, 5}));
  w.wait(4, 4);  // reached already
  EXPECT_EQ(w.done.back(), 4);
}

TEST(AppliedWaiters, AreToldAtOnceWhenNobodyKnowsHowLongItTakes) {
  Waited w;
  w.wait(5, 5);
  w.waiters.release();
  EXPECT_EQ(w.done, (std::vector<int>{5}));
  w.wait(6, 6);
  EXPECT_EQ(w.done.size(), 1u);
  w.waiters.close();
  w.wait(7, 7);
  EXPECT_EQ(w.done, (std::vector<int>{5, 6, 7}));
}

TEST(AppliedWaiters, MoreThanTheLimitDoNotWait) {
  Waited w;
  for (std::size_t i = 0; i < AppliedWaiters::kMax; ++i) w.wait(1, 0);
  EXPECT_TRUE(w.done.empty());
  w.wait(1, 1);
  EXPECT_EQ(w.done.size(), 1u);
}

}  // namespace
}  // namespace fyr::server
