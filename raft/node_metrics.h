// What a node shows of itself (raft.md §14), as metrics of the process. Names are Consul's where
// one exists.
//
// Owner: who has the turn of the core.
#pragma once

#include <span>

#include "raft/outputs.h"

namespace fyr::raft {

class NodeMetrics {
 public:
  // Role, term or leader became another.
  void changed(const SoftState& before, const SoftState& after);
  // Five times a second at most; cheap before that.
  bool due(Instant at) const { return at >= next_; }
  // `peers`: as their leader knows them.
  void show(Instant at, const SoftState& soft, std::span<const PeerStatus> peers);

 private:
  Instant next_ = Instant::min();
};

}  // namespace fyr::raft
