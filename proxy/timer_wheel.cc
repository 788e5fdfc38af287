#include "proxy/timer_wheel.h"

#include <algorithm>

namespace fyr::proxy {

void TimerWheel::link(Timed& element) {
  // A deadline inside a tick is due when that tick is over; one in the past, at the next.
  element.slot_ = std::max(tick_of(element.deadline_) + 1, now_tick_ + 1);
  slot(element.slot_).push_back(element);
}

void TimerWheel::set(Timed& element, Instant deadline) {
  element.deadline_ = deadline;
  element.armed_ = true;
  const std::int64_t wanted = std::max(tick_of(deadline) + 1, now_tick_ + 1);
  if (element.linked() && element.slot_ <= wanted) return;
  link(element);
}

void TimerWheel::cancel(Timed& element) {
  element.armed_ = false;  // the link stays until its slot comes up; setting again is then free
}

void TimerWheel::advance(Instant now) {
  const std::int64_t target = tick_of(now);
  // After a long sleep one round sees every slot; more would see the same elements again.
  if (target - now_tick_ > static_cast<std::int64_t>(kSlots)) {
    now_tick_ = target - static_cast<std::int64_t>(kSlots);
  }
  while (now_tick_ < target) {
    ++now_tick_;
    List due;
    List& here = slot(now_tick_);
    while (Timed* element = here.pop_front()) due.push_back(*element);
    while (Timed* element = due.pop_front()) {
      if (!element->armed_) continue;
      if (element->deadline_ > now) {
        link(*element);
        continue;
      }
      element->armed_ = false;
      element->on_deadline(now);
    }
  }
}

std::optional<Instant> TimerWheel::next_deadline() const {
  for (std::size_t i = 1; i <= kSlots; ++i) {
    const auto tick = now_tick_ + static_cast<std::int64_t>(i);
    if (!slots_[static_cast<std::size_t>(tick) % kSlots].empty()) return Instant(kTick * tick);
  }
  return std::nullopt;
}

}  // namespace fyr::proxy
