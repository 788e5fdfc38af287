#include "server/watch/publisher.h"

#include <algorithm>
#include <map>
// tidy: arrows: watchers come and go on the threads of those who wait
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace fyr::server {

namespace {

struct TopicView {
  TopicKind kind;
  std::string_view key;
};
struct TopicHash {
  using is_transparent = void;
  template <class T>
  std::size_t operator()(const T& topic) const {
    return std::hash<std::string_view>{}(topic.key) * 31 + static_cast<std::size_t>(topic.kind);
  }
};
struct TopicEqual {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    return a.kind == b.kind && std::string_view(a.key) == std::string_view(b.key);
  }
};

struct Watcher;

// A watcher's place in the list of one of its topics.
struct Slot {
  Watcher* watcher;
  std::size_t topic;  // which of the watcher's topics
};
struct TopicWatchers {
  std::vector<Slot> slots;
};
using TopicMap = std::unordered_map<Topic, TopicWatchers, TopicHash, TopicEqual>;

struct Watcher {
  struct Place {
    TopicMap::pointer topic;
    std::size_t slot;
  };
  std::uint64_t id = 0;
  bool once = true;
  std::uint64_t round = 0;  // of publish(), in which it was last collected
  std::function<void(StateIndex)> call;
  std::vector<Place> places;
};

}  // namespace

struct Publisher::Impl {
  // Recursive: a callback may drop subscriptions, though not wait for anything.
  mutable std::recursive_mutex mutex;
  std::unordered_map<std::uint64_t, std::unique_ptr<Watcher>> watchers;
  TopicMap topics;
  std::map<std::size_t, std::size_t> prefix_lengths;  // of watched prefixes, and how many topics
  std::uint64_t next_id = 1, round = 0;

  // Watchers that were told; destroyed outside the lock.
  using Ended = std::vector<std::unique_ptr<Watcher>>;

  std::uint64_t add(std::vector<Topic> wanted, std::function<void(StateIndex)> call, bool once) {
    auto watcher = std::make_unique<Watcher>();
    watcher->once = once;
    watcher->call = std::move(call);
    std::lock_guard lock(mutex);
    watcher->id = next_id++;
    for (Topic& topic : wanted) {
      const bool is_prefix = topic.kind == TopicKind::KvPrefix;
      auto [it, is_new] = topics.try_emplace(std::move(topic));
      if (is_new && is_prefix) ++prefix_lengths[it->first.key.size()];
      auto& slots = it->second.slots;
      watcher->places.push_back({&*it, slots.size()});
      slots.push_back({watcher.get(), watcher->places.size() - 1});
    }
    const std::uint64_t id = watcher->id;
    watchers.emplace(id, std::move(watcher));
    return id;
  }

  // Returns the watcher so that its callback is destroyed outside the lock: it may own anything.
  std::unique_ptr<Watcher> remove(std::uint64_t id) {
    auto it = watchers.find(id);
    if (it == watchers.end()) return nullptr;
    std::unique_ptr<Watcher> watcher = std::move(it->second);
    watchers.erase(it);
    for (const Watcher::Place& place : watcher->places) leave(place);
    return watcher;
  }

  void leave(const Watcher::Place& place) {
    auto& slots = place.topic->second.slots;
    if (place.slot + 1 != slots.size()) {
      slots[place.slot] = slots.back();
      slots[place.slot].watcher->places[slots[place.slot].topic].slot = place.slot;
    }
    slots.pop_back();
    if (!slots.empty()) return;
    const Topic& topic = place.topic->first;
    if (topic.kind == TopicKind::KvPrefix) {
      auto length = prefix_lengths.find(topic.key.size());
      if (--length->second == 0) prefix_lengths.erase(length);
    }
    topics.erase(topics.find(topic));
  }

  void collect(TopicView topic, std::vector<std::uint64_t>& due) {
    auto it = topics.find(topic);
    if (it == topics.end()) return;
    for (const Slot& slot : it->second.slots) {
      if (slot.watcher->round == round) continue;
      slot.watcher->round = round;
      due.push_back(slot.watcher->id);
    }
  }

  void call(const std::vector<std::uint64_t>& due, StateIndex index, Ended& ended) {
    for (const std::uint64_t id : due) {
      // An earlier callback may have dropped it.
      auto it = watchers.find(id);
      if (it == watchers.end()) continue;
      if (!it->second->once) {
        it->second->call(index);
        continue;
      }
      ended.push_back(remove(id));
      ended.back()->call(index);
    }
  }

  void collect_all(const ChangeList& changes, std::vector<std::uint64_t>& due) {
    for (const Topic& topic : changes.topics) {
      collect({topic.kind, topic.key}, due);
      if (topic.kind != TopicKind::KvKey) continue;
      const std::string_view key = topic.key;
      for (const auto& [length, count] : prefix_lengths) {
        if (length > key.size()) break;
        collect({TopicKind::KvPrefix, key.substr(0, length)}, due);
      }
    }
  }
};

Publisher::Publisher() : impl_(std::make_unique<Impl>()) {}
Publisher::~Publisher() = default;

Subscription Publisher::subscribe(std::vector<Topic> topics, std::function<void(StateIndex)> wake) {
  return Subscription(this, impl_->add(std::move(topics), std::move(wake), true));
}

Subscription Publisher::follow(std::vector<Topic> topics,
                               std::function<void(StateIndex)> on_change) {
  return Subscription(this, impl_->add(std::move(topics), std::move(on_change), false));
}

void Publisher::publish(const ChangeList& changes) {
  if (changes.everything) return publish_all(changes.index);
  if (changes.topics.empty()) return;
  Impl::Ended ended;
  std::lock_guard lock(impl_->mutex);
  if (impl_->watchers.empty()) return;
  ++impl_->round;
  std::vector<std::uint64_t> due;
  impl_->collect_all(changes, due);
  impl_->call(due, changes.index, ended);
}

void Publisher::publish_all(StateIndex index) {
  Impl::Ended ended;
  std::lock_guard lock(impl_->mutex);
  std::vector<std::uint64_t> due;
  // tidy: hash-order: sorted below
  for (const auto& [id, watcher] : impl_->watchers) due.push_back(id);
  std::sort(due.begin(), due.end());
  impl_->call(due, index, ended);
}

std::size_t Publisher::size() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->watchers.size();
}

void Publisher::unsubscribe(std::uint64_t id) {
  std::unique_ptr<Watcher> removed;
  std::lock_guard lock(impl_->mutex);
  removed = impl_->remove(id);
}

Subscription::Subscription(Subscription&& other) noexcept
    : publisher_(std::exchange(other.publisher_, nullptr)), id_(other.id_) {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    if (publisher_) publisher_->unsubscribe(id_);
    publisher_ = std::exchange(other.publisher_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Subscription::~Subscription() {
  if (publisher_) publisher_->unsubscribe(id_);
}

}  // namespace fyr::server
