#include "base/io/runtime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace fyr::io {
namespace {

using namespace std::chrono_literals;

TEST(Runtime, RunsATaskOnTheThreadItIsPostedTo) {
  Runtime runtime(2);
  runtime.start();
  for (int i = 0; i < 2; ++i) {
    std::promise<int> where;
    runtime.post(i, [&] { where.set_value(runtime.current()); });
    EXPECT_EQ(where.get_future().get(), i);
  }
  EXPECT_EQ(runtime.current(), -1);
}

TEST(Runtime, KeepsRunningAfterAnException) {
  Runtime runtime(1);
  runtime.start();
  runtime.post(0, [] { throw std::runtime_error("on purpose"); });
  std::promise<void> after;
  runtime.post(0, [&] { after.set_value(); });
  after.get_future().get();
}

TEST(Runtime, SpreadsRoundRobin) {
  Runtime runtime(3);
  const int first = runtime.next();
  EXPECT_NE(runtime.next(), first);
  EXPECT_NE(runtime.next(), first);
  EXPECT_EQ(runtime.next(), first);
}

TEST(Timer, FiresOnceOnItsThread) {
  Runtime runtime(2);
  runtime.start();
  std::promise<int> where;
  const auto began = now();
  const auto timer = runtime.schedule(1, 20ms, [&] { where.set_value(runtime.current()); });
  EXPECT_EQ(where.get_future().get(), 1);
  EXPECT_GE(now() - began, 20ms);
}

TEST(Timer, DoesNotFireOnceCancelled) {
  Runtime runtime(1);
  runtime.start();
  std::atomic<int> fired{0};
  auto cancelled = runtime.schedule(0, 10ms, [&] { ++fired; });
  cancelled.cancel();
  {
    const auto dropped = runtime.schedule(0, 10ms, [&] { ++fired; });
  }
  auto replaced = runtime.schedule(0, 10ms, [&] { ++fired; });
  std::promise<void> later;
  replaced = runtime.schedule(0, 40ms, [&] { later.set_value(); });
  later.get_future().get();
  EXPECT_EQ(fired.load(), 0);
}

TEST(Timer, GivesItsTaskBackWhenCancelled) {
  Runtime runtime(1);
  runtime.start();
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  auto timer = runtime.schedule(0, 1h, [held = std::move(held)] {});
  timer.cancel();
  std::promise<void> after;
  runtime.post(0, [&] { after.set_value(); });
  after.get_future().get();
  EXPECT_TRUE(watch.expired());
}

TEST(Timer, ThatItsOwnTaskHoldsGoesWithTheRuntime) {
  struct Request {
    Timer retry;
  };
  std::weak_ptr<Request> seen;
  {
    Runtime runtime(1);
    runtime.start();
    auto request = std::make_shared<Request>();
    seen = request;
    request->retry = runtime.schedule(0, std::chrono::hours(1), [request] {});
    request.reset();
    runtime.stop();
    EXPECT_FALSE(seen.expired());
  }
  EXPECT_TRUE(seen.expired());
}

TEST(Runtime, StopsWithWorkWaiting) {
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  {
    Runtime runtime(2);
    runtime.start();
    const auto timer = runtime.schedule(0, 1h, [held] {});
    held.reset();
    runtime.stop();
    EXPECT_FALSE(runtime.running());
    runtime.post(0, [] { FAIL() << "ran after stop"; });
  }
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace fyr::io
