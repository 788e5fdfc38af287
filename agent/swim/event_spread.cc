#include "agent/swim/event_spread.h"

namespace fyr::agent {

swim::Event EventSpread::fire(std::string payload, std::uint64_t nonce) {
  swim::Event event{time_ + 1, nonce, std::move(payload)};
  receive(event);
  return event;
}

bool EventSpread::receive(const swim::Event& event) {
  if (event.time + kWindow < time_) return false;
  if (!seen_.emplace(event.time, event.nonce).second) return false;
  witness(event.time);
  while (!seen_.empty() && seen_.begin()->first + kWindow < time_) seen_.erase(seen_.begin());
  // A sender may use one time as often as it likes.
  while (seen_.size() > 4 * kWindow) seen_.erase(seen_.begin());
  push(event);
  return true;
}

void EventSpread::push(const swim::Event& event) {
  const std::string key = std::to_string(event.time) + "/" + std::to_string(event.nonce);
  while (!order_.empty() && (order_.size() >= kMaxQueued || !queue_.contains(order_.front()))) {
    queue_.drop(order_.front());
    order_.pop_front();
  }
  queue_.push(key, swim::encode_message(event));
  order_.push_back(key);
}

void EventSpread::drop_queued() {
  queue_ = BroadcastQueue();
  order_.clear();
}

}  // namespace fyr::agent
