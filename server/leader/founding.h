// Who founds a new cluster, and with whom (raft.md §7, bootstrap of N).
//
// Each of the N servers was told how many there shall be (bootstrap_expect). The one with the
// lowest id asks all others for their consent; a server gives it to one founder only, so that two
// founders who see different servers cannot both succeed.
//
// Pure. Owner: whoever holds it; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "raft/configuration.h"

namespace fyr::server {

// A server as gossip knows it.
struct ServerFact {
  raft::Member member;
  int expect = 0;           // its bootstrap_expect
  bool in_cluster = false;  // it has a log
  bool alive = true;
  bool left = false;  // by its own will
};

// The voters if `self` is the one to found a cluster of them now.
std::optional<std::vector<raft::Member>> voters_to_found(raft::NodeId self, int expect,
                                                         const std::vector<ServerFact>& servers);

// To whom we gave our word. It binds for kWord: a founder who has not got everybody's by then
// starts anew.
class Consent {
 public:
  static constexpr Duration kWord = std::chrono::seconds(10);
  bool give(raft::NodeId founder, Instant now);

 private:
  raft::NodeId founder_{};
  Instant given_{};
};

}  // namespace fyr::server
