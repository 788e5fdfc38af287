#include "tests/sim/raft/network.h"

#include <cmath>

namespace fyr::raft::sim {

Network::Network(std::uint64_t seed, const Knobs& knobs, std::vector<std::size_t> site_of)
    : knobs_(knobs), nodes_(site_of.size()) {
  for (std::size_t from = 0; from < nodes_; ++from) {
    for (std::size_t to = 0; to < nodes_; ++to) {
      const bool near = site_of[from] == site_of[to];
      links_.push_back({.random = Random(mix(seed, from * 64 + to + 1)),
                        .base = near ? knobs.delay_in_site : knobs.delay_between});
    }
  }
}

Nanos Network::delay(std::size_t from, std::size_t to) {
  Link& at = link(from, to);
  const Nanos jitter = static_cast<Nanos>(at.random.unit() * static_cast<double>(at.base) / 4);
  return at.base + jitter;
}

Network::Fate Network::send(Nanos now, std::size_t from, std::size_t to) {
  Link& at = link(from, to);
  Fate out;
  if (at.cut) return out;
  Nanos arrival = now + delay(from, to);
  if (calm_) {
    at.last = std::max(at.last, arrival);
    out.first = at.last;
    return out;
  }
  if (knobs_.drop > 0 && at.random.chance(knobs_.drop)) return out;
  if (knobs_.heavy_tail > 0 && at.random.chance(knobs_.heavy_tail)) {
    arrival += static_cast<Nanos>(at.random.unit() * 3.0 * static_cast<double>(kSecond));
  } else if (!(knobs_.reorder > 0 && at.random.chance(knobs_.reorder))) {
    arrival = std::max(arrival, at.last);
    at.last = arrival;
  } else {
    arrival += static_cast<Nanos>(at.random.unit() * 4.0 * static_cast<double>(at.base));
  }
  out.first = arrival;
  if (knobs_.duplicate > 0 && at.random.chance(knobs_.duplicate)) {
    // Mostly soon, at times a minute later.
    const double later = std::pow(6e4, at.random.unit()) * 1e6;
    out.second = arrival + static_cast<Nanos>(later);
  }
  return out;
}

void Network::heal() {
  for (Link& at : links_) at.cut = false;
}

}  // namespace fyr::raft::sim
