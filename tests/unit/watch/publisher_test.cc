#include "server/watch/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

#include "base/guarded.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ChangeList change(StateIndex index, std::vector<Topic> topics) {
  ChangeList out;
  out.index = index;
  out.topics = std::move(topics);
  return out;
}

class PublisherTest : public testing::Test {
 protected:
  auto record() {
    return [this](StateIndex index) { woken_.push_back(index); };
  }
  Publisher publisher_;
  std::vector<StateIndex> woken_;
};

TEST_F(PublisherTest, AWaiterWakesOnceAndOnlyForItsOwnTopics) {
  auto subscription = publisher_.subscribe({{TopicKind::Service, "web"}}, record());
  publisher_.publish(change(1, {{TopicKind::Service, "api"}, {TopicKind::Node, "web"}}));
  publisher_.publish(change(2, {{TopicKind::KvKey, "web"}}));
  EXPECT_THAT(woken_, IsEmpty());
  publisher_.publish(change(3, {{TopicKind::Service, "web"}}));
  publisher_.publish(change(4, {{TopicKind::Service, "web"}}));
  EXPECT_THAT(woken_, ElementsAre(3));
  EXPECT_EQ(publisher_.size(), 0u);
}

TEST_F(PublisherTest, AFollowerRunsOncePerChangeUntilItIsDropped) {
  auto subscription =
      publisher_.follow({{TopicKind::Service, "web"}, {TopicKind::Nodes, ""}}, record());
  publisher_.publish(change(1, {{TopicKind::Service, "web"}, {TopicKind::Nodes, ""}}));
  publisher_.publish(change(2, {{TopicKind::Nodes, ""}}));
  EXPECT_THAT(woken_, ElementsAre(1, 2)) << "once a change, however many topics it touched";
  subscription = Subscription();
  publisher_.publish(change(3, {{TopicKind::Nodes, ""}}));
  EXPECT_THAT(woken_, ElementsAre(1, 2));
  EXPECT_EQ(publisher_.size(), 0u);
}

TEST_F(PublisherTest, APrefixWakesForEveryKeyUnderItAndForNoOther) {
  const auto wakes = [this](const std::string& prefix, const std::string& key) {
    woken_.clear();
    auto subscription = publisher_.subscribe({{TopicKind::KvPrefix, prefix}}, record());
    auto other =
        publisher_.subscribe({{TopicKind::KvPrefix, "some/longer/one"}}, [](StateIndex) {});
    publisher_.publish(change(1, {{TopicKind::KvKey, key}}));
    return !woken_.empty();
  };
  EXPECT_TRUE(wakes("", "a"));
  EXPECT_TRUE(wakes("a/", "a/b/c"));
  EXPECT_TRUE(wakes("a/b", "a/b"));
  EXPECT_FALSE(wakes("a/b/", "a/b"));
  EXPECT_FALSE(wakes("a/c", "a/b"));
  EXPECT_FALSE(wakes("b", "ab"));
}

TEST_F(PublisherTest, ADroppedSubscriptionIsNeverCalledAndDisturbsNoOther) {
  std::vector<Subscription> subscriptions;
  std::vector<int> calls(50);
  for (int i = 0; i < 50; ++i)
    subscriptions.push_back(publisher_.follow({{TopicKind::Service, "web"}, {TopicKind::Nodes, ""}},
                                              [&calls, i](StateIndex) { ++calls[size_t(i)]; }));
  std::mt19937 random(7);
  std::vector<bool> dropped(50);
  for (int i = 0; i < 30; ++i) {
    const auto at = random() % 50;
    subscriptions[at] = Subscription();
    dropped[at] = true;
    publisher_.publish(change(1, {{TopicKind::Service, "web"}}));
  }
  std::fill(calls.begin(), calls.end(), 0);
  publisher_.publish(change(2, {{TopicKind::Nodes, ""}}));
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(calls[i], dropped[i] ? 0 : 1) << i;
}

TEST_F(PublisherTest, ACallbackMayDropSubscriptionsItsOwnAndOthers) {
  std::optional<Subscription> first, second;
  int calls = 0;
  const auto drop_both = [&](StateIndex) {
    ++calls;
    first.reset();
    second.reset();
  };
  first = publisher_.subscribe({{TopicKind::Nodes, ""}}, drop_both);
  second = publisher_.subscribe({{TopicKind::Nodes, ""}}, drop_both);
  publisher_.publish(change(1, {{TopicKind::Nodes, ""}}));
  EXPECT_EQ(calls, 1) << "the second was gone before its turn";
  EXPECT_EQ(publisher_.size(), 0u);
}

TEST_F(PublisherTest, WhatACallbackOwnsIsReleasedWithoutHoldingTheLock) {
  // The last owner of another subscription goes with the callback.
  auto inner = std::make_shared<Subscription>(
      publisher_.subscribe({{TopicKind::Sessions, ""}}, [](StateIndex) {}));
  auto outer = publisher_.subscribe({{TopicKind::Nodes, ""}}, [inner](StateIndex) {});
  inner.reset();
  publisher_.publish(change(1, {{TopicKind::Nodes, ""}}));
  EXPECT_EQ(publisher_.size(), 0u);
}

// Readers subscribe, read and wait, while a writer changes and publishes: every reader sees every
// last value. Foreign topics wake nobody.
TEST_F(PublisherTest, NoChangeBetweenReadingAndWaitingIsLost) {
  constexpr int kTopics = 4, kChanges = 20'000;
  struct Value {
    std::array<StateIndex, kTopics> of{};
  };
  SharedGuarded<Value> state;
  std::atomic<int> foreign{0};
  const auto topic = [](int i) { return Topic{TopicKind::Service, std::to_string(i)}; };
  auto nobody = publisher_.follow({{TopicKind::Service, "unrelated"}},
                                  [&](StateIndex) { foreign.fetch_add(1); });

  std::vector<std::thread> readers;
  for (int i = 0; i < kTopics; ++i)
    readers.emplace_back([&, i] {
      StateIndex seen = 0;
      while (seen < kChanges * kTopics - kTopics + static_cast<StateIndex>(i) + 1) {
        // Set at the wake; waited for without time-out: a lost wake hangs the test.
        std::atomic<bool> woken{false};
        auto subscription = publisher_.subscribe({topic(i)}, [&](StateIndex) {
          woken.store(true);
          woken.notify_one();
        });
        const StateIndex now = state.read([&](const Value& value) { return value.of[size_t(i)]; });
        if (now != seen) {
          seen = now;
          continue;
        }
        woken.wait(false);
      }
    });
  std::mt19937 random(1);
  StateIndex index = 0;
  for (int n = 0; n < kChanges; ++n)
    for (int i = 0; i < kTopics; ++i) {
      ++index;
      state.write([&](Value& value) { value.of[size_t(i)] = index; });
      publisher_.publish(change(index, {topic(i)}));
      if (random() % 64 == 0) std::this_thread::yield();
    }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(foreign.load(), 0);
  EXPECT_EQ(publisher_.size(), 1u);
}

TEST_F(PublisherTest, SubscribingAndDroppingFromManyThreadsKeepsItsBooks) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::vector<Subscription> held(8);
      for (int n = 0; n < 20'000; ++n) {
        const std::string key(random() % 4, 'a');
        held[random() % held.size()] =
            random() % 2 ? publisher_.subscribe({{TopicKind::KvPrefix, key}}, [](StateIndex) {})
                         : publisher_.follow({{TopicKind::KvKey, key}}, [](StateIndex) {});
      }
    });
  std::thread writer([&] {
    for (StateIndex n = 1; !stop; ++n) publisher_.publish(change(n, {{TopicKind::KvKey, "aa"}}));
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  writer.join();
  EXPECT_EQ(publisher_.size(), 0u);
}

}  // namespace
}  // namespace fyr::server
