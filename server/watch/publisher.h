// Wakes waiters exactly when their own data changed.
//
// Pattern of every waiter: subscribe, read the state, and only then wait; a change between the
// read and the wait is not lost because the subscription was there first. publish() is called by
// the apply thread after the new state is readable.
//
// Threading: subscribe and unsubscribe from any thread. Callbacks run on the apply thread, once
// per subscription, and must only post.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "server/state/store.h"

namespace fyr::server {

class Publisher;

// Ends the subscription when destroyed; after that the callback never runs.
class Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();

 private:
  friend class Publisher;
  Subscription(Publisher* publisher, std::uint64_t id) : publisher_(publisher), id_(id) {}
  Publisher* publisher_ = nullptr;
  std::uint64_t id_ = 0;
};

class Publisher {
 public:
  Publisher();
  ~Publisher();
  // `wake` gets the index of the change that woke it.
  [[nodiscard]] Subscription subscribe(std::vector<Topic> topics,
                                       std::function<void(StateIndex)> wake);
  // As subscribe, but stays until dropped and runs for every change that touches a topic: streams.
  [[nodiscard]] Subscription follow(std::vector<Topic> topics,
                                    std::function<void(StateIndex)> on_change);
  void publish(const ChangeList& changes);
  // Everything may have changed, as of `index`: the state was replaced as a whole.
  void publish_all(StateIndex index);
  std::size_t size() const;  // live subscriptions

 private:
  friend class Subscription;
  void unsubscribe(std::uint64_t id);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
