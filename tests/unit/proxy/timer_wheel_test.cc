#include "proxy/timer_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace fyr::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
const Instant kStart{seconds(1000)};

struct Element : Timed {
  explicit Element(std::vector<Element*>& the_fired) : fired(the_fired) {}
  void on_deadline(Instant now) override {
    at = now;
    fired.push_back(this);
    if (then) then();
  }
  std::vector<Element*>& fired;
  Instant at{};
  std::function<void()> then;
};

TEST(TimerWheel, FiresWithinATickAndNeverEarly) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  Element element(fired);
  wheel.set(element, kStart + milliseconds(105));
  for (int ms = 0; ms <= 105; ++ms) wheel.advance(kStart + milliseconds(ms));
  EXPECT_TRUE(fired.empty());
  for (int ms = 106; ms <= 115; ++ms) wheel.advance(kStart + milliseconds(ms));
  EXPECT_EQ(fired.size(), 1u);
  EXPECT_FALSE(element.armed());
}

TEST(TimerWheel, MovedLaterFiresOnceAtTheNewTime) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  Element element(fired);
  for (int i = 0; i < 100; ++i) {
    wheel.set(element, kStart + milliseconds(i * 10) + seconds(5));
    wheel.advance(kStart + milliseconds(i * 10));
  }
  wheel.advance(kStart + milliseconds(5980));
  EXPECT_TRUE(fired.empty());
  wheel.advance(kStart + milliseconds(6010));
  EXPECT_EQ(fired.size(), 1u);
}

TEST(TimerWheel, MovedEarlierFiresEarlier) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  Element element(fired);
  wheel.set(element, kStart + seconds(75));
  wheel.set(element, kStart + milliseconds(500));
  wheel.advance(kStart + milliseconds(520));
  EXPECT_EQ(fired.size(), 1u);
}

TEST(TimerWheel, CancelledDoesNotFire) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  Element element(fired);
  wheel.set(element, kStart + milliseconds(50));
  wheel.cancel(element);
  wheel.advance(kStart + seconds(1));
  EXPECT_TRUE(fired.empty());
  wheel.set(element, kStart + milliseconds(1100));
  wheel.advance(kStart + milliseconds(1120));
  EXPECT_EQ(fired.size(), 1u);
}

TEST(TimerWheel, DestroyedLeavesAndHandlersMayDestroyOthers) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  auto a = std::make_unique<Element>(fired);
  auto b = std::make_unique<Element>(fired);
  wheel.set(*a, kStart + milliseconds(50));
  wheel.set(*b, kStart + milliseconds(50));
  a->then = [&] { b.reset(); };
  wheel.advance(kStart + seconds(1));
  EXPECT_EQ(fired.size(), 1u);
  a.reset();
  EXPECT_FALSE(wheel.next_deadline());
}

TEST(TimerWheel, NextDeadlineIsNeverTooLate) {
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  Element element(fired);
  EXPECT_FALSE(wheel.next_deadline());
  wheel.set(element, kStart + milliseconds(77));
  EXPECT_LE(*wheel.next_deadline(), kStart + milliseconds(90));
  EXPECT_GT(*wheel.next_deadline(), kStart);
  // Far away: woken once a round at most.
  wheel.set(element, kStart + seconds(75));
  wheel.advance(kStart + milliseconds(100));
  EXPECT_TRUE(wheel.next_deadline());
  EXPECT_GT(*wheel.next_deadline(), kStart + seconds(1));
}

TEST(TimerWheel, RandomDeadlinesAllFireInTime) {
  Random random(42);
  TimerWheel wheel(kStart);
  std::vector<Element*> fired;
  std::vector<std::unique_ptr<Element>> elements;
  for (int i = 0; i < 500; ++i) elements.push_back(std::make_unique<Element>(fired));
  std::map<Element*, Instant> due;
  Instant now = kStart;
  for (int step = 0; step < 20000; ++step) {
    now += random.between(Duration::zero(), milliseconds(20));
    auto& element = *elements[random.below(elements.size())];
    const Instant deadline = now + random.between(Duration::zero(), seconds(20));
    wheel.set(element, deadline);
    due[&element] = deadline;
    fired.clear();
    wheel.advance(now);
    for (Element* one : fired) {
      ASSERT_LE(due.at(one), now);
      due.erase(one);
    }
    for (const auto& [one, when] : due) ASSERT_GE(when, now - milliseconds(10));
  }
}

}  // namespace
}  // namespace fyr::proxy
