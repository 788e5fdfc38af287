// Which messages arrive, and when. Each ordered pair of nodes is a link of its own with its own
// randomness, so that a change somewhere leaves the fate of other links' messages alone.
#pragma once

#include <vector>

#include "base/random.h"
#include "tests/sim/raft/knobs.h"

namespace fyr::raft::sim {

class Network {
 public:
  Network(std::uint64_t seed, const Knobs& knobs, std::vector<std::size_t> site_of);

  // When the copies of a message sent now arrive: none, one or two moments.
  struct Fate {
    Nanos first = kNever, second = kNever;
  };
  Fate send(Nanos now, std::size_t from, std::size_t to);
  Nanos delay(std::size_t from, std::size_t to);

  bool cut(std::size_t from, std::size_t to) const { return link(from, to).cut; }
  void set_cut(std::size_t from, std::size_t to, bool cut) { link(from, to).cut = cut; }
  void heal();
  // From now on nothing is lost, doubled, reordered or late.
  void calm_down() { calm_ = true; }

 private:
  struct Link {
    bool cut = false;
    Nanos last = 0;  // arrival of the message before
    Random random;
    Nanos base = 0;
  };
  Link& link(std::size_t from, std::size_t to) { return links_[from * nodes_ + to]; }
  const Link& link(std::size_t from, std::size_t to) const { return links_[from * nodes_ + to]; }

  const Knobs& knobs_;
  std::size_t nodes_;
  std::vector<Link> links_;
  bool calm_ = false;
};

}  // namespace fyr::raft::sim
