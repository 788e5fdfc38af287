#include "raft/peer_guard.h"

namespace fyr::raft {

PeerGuard::Known& PeerGuard::known(NodeId peer) {
  // Only strangers without a cluster of ours could fill it, and they do not get this far.
  if (peers_.size() >= kMaxPeers && !peers_.contains(peer)) peers_.erase(peers_.begin());
  return peers_[peer];
}

std::string_view PeerGuard::check_common(const PeerIdentity& self, const Hello& hello) {
  if (hello.protocol_min > kProtocolMax || hello.protocol_max < kProtocolMin) return "protocol";
  if (hello.self.node == self.node) return "own_id";
  if (hello.to != self.node) return "wrong_node";
  if (hello.self.cluster.empty()) return "no_cluster";
  if (self.cluster.empty()) return "adopting";
  if (hello.self.cluster != self.cluster) return "wrong_cluster";
  if (hello.self.recovery_epoch != self.recovery_epoch) return "recovery_epoch";
  Known& peer = known(hello.self.node);
  if (hello.self.incarnation < peer.incarnation) return "rolled_back_disk";
  peer.incarnation = hello.self.incarnation;
  return {};
}

std::string_view PeerGuard::check_opening(const PeerIdentity& self, const Hello& hello,
                                          Instant now) {
  const auto word = check_common(self, hello);
  if (!word.empty()) return word;
  return now < known(hello.self.node).paused_until ? "paused" : std::string_view();
}

std::string_view PeerGuard::check_answer(const PeerIdentity& self, NodeId peer,
                                         const Hello& hello) {
  if (hello.self.node != peer) return "wrong_node";
  return check_common(self, hello);
}

bool PeerGuard::bad_frame(NodeId peer, Instant now) {
  Known& from = known(peer);
  while (!from.bad_frames.empty() && from.bad_frames.front() + kBadFramesWithin <= now) {
    from.bad_frames.pop_front();
  }
  from.bad_frames.push_back(now);
  if (from.bad_frames.size() < static_cast<std::size_t>(kBadFrames)) return false;
  from.bad_frames.clear();
  from.paused_until = now + kPause;
  return true;
}

}  // namespace fyr::raft
