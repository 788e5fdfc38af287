// Coarse deadlines for many connections: a hashed wheel of 10 ms slots. Moving a deadline later,
// what every request does, only writes a number; the element is moved when its old slot comes up.
//
// Pure: time is an argument. One thread. Deadlines fire up to one slot late, never early.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/time.h"
#include "proxy/intrusive_list.h"

namespace fyr::proxy {

struct TimerTag {};

// Derive from it to have a deadline. Leaves the wheel when destroyed.
class Timed : public ListLink<TimerTag> {
 public:
  virtual ~Timed() = default;
  virtual void on_deadline(Instant now) = 0;
  Instant deadline() const { return deadline_; }
  bool armed() const { return armed_; }

 protected:
  Timed() = default;

 private:
  friend class TimerWheel;
  Instant deadline_{};
  std::int64_t slot_ = 0;  // tick under which it is linked
  bool armed_ = false;
};

class TimerWheel {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(10);

  explicit TimerWheel(Instant now) : now_tick_(tick_of(now)) {}
  void set(Timed& element, Instant deadline);
  void cancel(Timed& element);
  // Calls on_deadline of everything due; elements may set, cancel and destroy freely in it.
  void advance(Instant now);
  // When advance() should next be called; it may then find nothing to do.
  std::optional<Instant> next_deadline() const;

 private:
  static constexpr std::size_t kSlots = 512;
  using List = IntrusiveList<Timed, TimerTag>;
  static std::int64_t tick_of(Instant when) { return when.time_since_epoch() / kTick; }
  List& slot(std::int64_t tick) { return slots_[static_cast<std::size_t>(tick) % kSlots]; }
  void link(Timed& element);

  std::int64_t now_tick_;  // everything up to here has been handled
  mutable std::array<List, kSlots> slots_;
};

}  // namespace fyr::proxy
