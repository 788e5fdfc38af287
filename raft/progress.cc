#include "raft/progress.h"

#include <algorithm>

namespace fyr::raft {

void Progress::sent(Index last, std::size_t bytes, Instant now) {
  if (in_flight.empty()) moved = now;
  in_flight.push_back({last, bytes});
  in_flight_bytes += bytes;
  next = last.next();
}

bool Progress::acknowledge(Index index, Instant now) {
  while (!in_flight.empty() && in_flight.front().last <= index) {
    in_flight_bytes -= in_flight.front().bytes;
    in_flight.pop_front();
  }
  if (index <= match) return false;
  match = index;
  next = std::max(next, match.next());
  moved = now;
  return true;
}

void Progress::probe(Index from) {
  state = State::Probe;
  next = std::max(from, match.next());
  in_flight.clear();
  in_flight_bytes = 0;
  probing = false;
  fetching = Index{};
  snapshot.reset();
  failures = 0;
}

void Progress::replicate() {
  probe(match.next());
  state = State::Replicate;
}

void Progress::await_snapshot() {
  probe(next);
  state = State::Snapshot;
  offered = Instant::min();
}

void Progress::forget_match(Index durable) {
  match = Index{};
  told_commit = Index{};
  probe(durable.next());
}

}  // namespace fyr::raft
