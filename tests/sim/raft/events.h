// The one queue of a simulation, ordered by true time; events of one instant come in an order
// drawn from the seed.
#pragma once

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "tests/sim/raft/basics.h"

namespace fyr::raft::sim {

enum class EventKind : std::uint8_t {
  Deliver,    // argument: the message
  Step,       // the raft thread of a node runs
  Timer,      // argument: which one
  HardState,  // the hard state of the running write is durable
  Written,    // the running write is in the page cache
  Synced,     // the running write is durable
  Apply,      // the apply thread of a node runs
  Flush,      // the state of a node is flushed in the background
  Fetch,      // entries were read from disk; argument: which
  Snapshot,   // the snapshot thread of a node has something
  Link,       // a node learns about a connection; argument: peer and state
  Client,     // argument: which client
  Decision,   // the next fault or order of an operator
  Start,      // a process starts
  Resume,     // a paused process goes on
  Topology,   // a flapping link changes, a cut ends
  Call,       // argument: a function of the scenario
};

struct Event {
  Nanos at = 0;
  std::uint32_t tie = 0;
  EventKind kind = EventKind::Step;
  std::uint8_t node = 0;
  std::uint32_t life = 0;  // of the node; an event of an earlier life is void
  std::uint64_t argument = 0;
};

class EventQueue {
 public:
  explicit EventQueue(std::uint64_t seed) : random_(seed) {}
  void push(Event event) {
    event.tie = static_cast<std::uint32_t>(random_.next());
    heap_.push_back(event);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  Event pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Event event = heap_.back();
    heap_.pop_back();
    return event;
  }
  bool empty() const { return heap_.empty(); }
  Nanos next() const { return heap_.front().at; }
  std::size_t size() const { return heap_.size(); }

 private:
  static bool later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.tie > b.tie;
  }
  std::vector<Event> heap_;
  Random random_;
};

}  // namespace fyr::raft::sim
