#include "server/api/waiters.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace fyr::server {
namespace {

constexpr std::size_t kDeliveredAtOnce = 64;

}  // namespace

struct Waiters::Watch {
  std::string key;
  std::shared_ptr<const ReadPlan> plan;
  bool pretty = false;
  std::atomic<bool> posted{false};  // a change is on its way to our thread
  std::unordered_map<std::uint64_t, Waiter> waiters;
  Waiters* owner = nullptr;  // null once the owner is gone
  Subscription subscription;
};

// Waiters that are due, and how far their delivery got.
struct Waiters::Batch {
  Batch(std::shared_ptr<const ReadPlan> read, AnswerPtr made, std::vector<Waiter> due)
      : plan(std::move(read)), answer(std::move(made)), ready(std::move(due)) {}
  std::shared_ptr<const ReadPlan> plan;
  AnswerPtr answer;
  std::vector<Waiter> ready;
  std::size_t next = 0;
};

Waiters::Waiters(Server& server, AnswerCache& cache, io::Runtime& runtime, int thread,
                 Deliver deliver)
    : server_(server),
      cache_(cache),
      runtime_(runtime),
      thread_(thread),
      deliver_(std::move(deliver)) {}

Waiters::~Waiters() {
  for (auto& [key, watch] : watches_) watch->owner = nullptr;
}

Waiters::WatchPtr Waiters::watch_for(const std::shared_ptr<const ReadPlan>& plan, bool pretty) {
  std::string key = pretty ? plan->key + "p" : plan->key;
  auto& watch = watches_[key];
  if (watch) return watch;
  watch = std::make_shared<Watch>();
  watch->key = std::move(key);
  watch->plan = plan;
  watch->pretty = pretty;
  watch->owner = this;
  // On the apply thread: only post, and only once until we have looked.
  auto on_change = [weak = std::weak_ptr<Watch>(watch), &runtime = runtime_,
                    thread = thread_](StateIndex) {
    auto held = weak.lock();
    if (!held || held->posted.exchange(true)) return;
    runtime.post(thread, [weak] {
      auto here = weak.lock();
      if (here && here->owner != nullptr) here->owner->changed(here);
    });
  };
  watch->subscription = server_.publisher().follow(plan->topics, std::move(on_change));
  return watch;
}

void Waiters::park(io::HttpCallPtr call, std::shared_ptr<const ReadPlan> plan, StateIndex seen,
                   Duration wait, Consistency consistency) {
  const bool pretty = call->pretty();
  auto watch = watch_for(plan, pretty);
  // Subscribed first, read second: a change in between is not lost. An answer that nobody gets is
  // not made: it may be a large tree of keys. A quiet plan's is what later ones are compared with.
  AnswerPtr answer;
  if (plan->quiet || cache_.index(*plan) > seen) answer = cache_.get(*plan, pretty);
  if (answer && answer->index() > seen) {
    drop_if_empty(watch);
    deliver_(call, *plan, answer, consistency);
    return;
  }
  const std::uint64_t id = next_id_++;
  auto& waiter = watch->waiters[id];
  ++count_;
  waiter.call = call;
  waiter.seen = seen;
  waiter.consistency = consistency;
  if (answer && answer->index() == seen) waiter.seen_body = answer->body();
  std::weak_ptr<Watch> weak = watch;
  waiter.timer = runtime_.schedule(thread_, wait, [weak, id] {
    auto here = weak.lock();
    if (here && here->owner != nullptr) here->owner->expired(here, id);
  });
  call->exchange()->on_abandoned([weak, id, &runtime = runtime_, thread = thread_] {
    auto gone = [weak, id] {
      auto here = weak.lock();
      if (here && here->owner != nullptr) here->owner->abandoned(here, id);
    };
    if (runtime.current() == thread) {
      gone();
    } else {
      runtime.post(thread, std::move(gone));
    }
  });
}

void Waiters::changed(const WatchPtr& watch) {
  watch->posted.store(false);
  const auto index = cache_.index(*watch->plan);
  if (std::all_of(watch->waiters.begin(), watch->waiters.end(),
                  [&](const auto& waiter) { return index <= waiter.second.seen; }))
    return drop_if_empty(watch);
  auto answer = cache_.get(*watch->plan, watch->pretty);
  std::vector<Waiter> ready;
  // Waiters that parked together hold the same bytes: compare them once.
  const std::string* compared = nullptr;
  bool same = false;
  for (auto it = watch->waiters.begin(); it != watch->waiters.end();) {
    auto& waiter = it->second;
    if (waiter.seen_body && waiter.seen_body.get() != compared) {
      compared = waiter.seen_body.get();
      same = answer->body() && *compared == *answer->body();
    }
    if (answer->index() <= waiter.seen || (waiter.seen_body && same)) {
      ++it;
      continue;
    }
    ready.push_back(std::move(waiter));
    it = watch->waiters.erase(it);
    --count_;
  }
  drop_if_empty(watch);
  if (ready.empty()) return;
  in_delivery_.push_back(std::make_shared<Batch>(watch->plan, answer, std::move(ready)));
  deliver_batch(in_delivery_.back());
}

// In slices: thousands of answers in one go would hold up everybody else on this thread.
void Waiters::deliver_batch(std::shared_ptr<Batch> batch) {
  const auto end = std::min(batch->ready.size(), batch->next + kDeliveredAtOnce);
  for (; batch->next < end; ++batch->next) {
    const Waiter waiter = std::move(batch->ready[batch->next]);
    deliver_(waiter.call, *batch->plan, batch->answer, waiter.consistency);
  }
  if (batch->next == batch->ready.size()) {
    std::erase(in_delivery_, batch);
    return;
  }
  runtime_.post(thread_, [this, batch] {
    if (batch->next < batch->ready.size()) deliver_batch(batch);
  });
}

void Waiters::expired(const WatchPtr& watch, std::uint64_t id) {
  auto node = watch->waiters.extract(id);
  if (node.empty()) return;
  --count_;
  auto answer = cache_.get(*watch->plan, watch->pretty);
  drop_if_empty(watch);
  deliver_(node.mapped().call, *watch->plan, answer, node.mapped().consistency);
}

void Waiters::abandoned(const WatchPtr& watch, std::uint64_t id) {
  auto node = watch->waiters.extract(id);
  if (node.empty()) return;
  --count_;
  drop_if_empty(watch);
}

void Waiters::drop_if_empty(const WatchPtr& watch) {
  if (!watch->waiters.empty()) return;
  watch->subscription = Subscription();
  watch->owner = nullptr;
  watches_.erase(watch->key);
}

void Waiters::deliver_all() {
  while (!in_delivery_.empty()) deliver_batch(in_delivery_.back());
  while (!watches_.empty()) {
    auto watch = watches_.begin()->second;
    auto answer = cache_.get(*watch->plan, watch->pretty);
    auto waiters = std::move(watch->waiters);
    watch->waiters.clear();
    count_ -= waiters.size();
    drop_if_empty(watch);
    for (const auto& [id, waiter] : waiters) {
      deliver_(waiter.call, *watch->plan, answer, waiter.consistency);
    }
  }
}

}  // namespace fyr::server
