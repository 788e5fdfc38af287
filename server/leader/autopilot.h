// What the leader does about its cluster's members by itself (raft.md §7): servers that gossip
// knows and the cluster does not become learners; learners that keep up become voters; a server
// that left goes, one that died goes when enough voters stay.
//
// Pure: decide() is given all it needs, remembers since when each server has been well or dead,
// and says at most one change of the members. The caller proposes it and asks again later.
//
// Owner: the leader; not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/time.h"
#include "raft/outputs.h"
#include "server/leader/founding.h"

namespace fyr::server {

struct AutopilotSettings {
  bool cleanup_dead_servers = true;
  Duration last_contact_threshold = std::chrono::milliseconds(200);
  std::uint64_t max_trailing_logs = 250;
  std::uint32_t min_quorum = 0;
  Duration stabilization = std::chrono::seconds(10);
};

struct AutopilotView {
  Instant now{};
  raft::NodeId self{};
  raft::Configuration members;
  std::vector<raft::PeerStatus> peers;  // without ourselves
  raft::Index last{};
  std::vector<ServerFact> servers;  // from gossip, ourselves included
  AutopilotSettings settings;
};

struct ServerHealth {
  raft::Member member;
  bool voter = false;
  bool leader = false;
  bool healthy = false;
  bool alive = false;  // for gossip
  Duration last_contact{};
  raft::Index match{};
  Instant stable_since{};
};

class Autopilot {
 public:
  // A cluster is not made smaller than this for dead servers.
  static constexpr std::size_t kMinVoters = 3;
  static constexpr std::size_t kMaxVoters = 7, kMaxLearners = 16;
  static constexpr std::uint64_t kMaxLag = 64;  // entries, of a learner that may vote
  // A threshold below this would take the jitter of a link between cities for illness.
  static constexpr Duration kLeastThreshold = std::chrono::seconds(1);

  std::optional<raft::ConfigChange> decide(const AutopilotView& view);
  // As of the last decide().
  const std::vector<ServerHealth>& health() const { return health_; }
  // How many voters may fail before writes stop; 0 when one is enough, or none is left.
  std::size_t failure_tolerance() const;
  void reset();  // leadership is new: nothing is known about the past

 private:
  struct Known {
    std::optional<Instant> well_since, dead_since;
  };
  void observe(const AutopilotView& view);
  void take_in(const AutopilotView& view, raft::ConfigChange& change) const;
  void promote(const AutopilotView& view, raft::ConfigChange& change) const;
  void clean_up(const AutopilotView& view, raft::ConfigChange& change) const;

  std::map<raft::NodeId, Known> known_;
  std::vector<ServerHealth> health_;
};

}  // namespace fyr::server
