// Who may talk to us (raft.md §1, §10): decides about handshakes, and about peers that send frames
// which cannot be read.
//
// A refusal is a word; it names a metric, stands in the answer to the peer and in both logs:
//   protocol          no version in common
//   wrong_node        meant for another node, often one that had this address before
//   own_id            somebody has our id
//   no_cluster        the peer belongs to no cluster
//   adopting          we belonged to none until now; try again
//   wrong_cluster, recovery_epoch
//   rolled_back_disk  it was started more often before: a restored image of its disk
//   paused            three bad frames in a minute
//
// Pure. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string_view>

#include "base/time.h"
#include "raft/wire.h"

namespace fyr::raft {

class PeerGuard {
 public:
  static constexpr int kBadFrames = 3;
  static constexpr Duration kBadFramesWithin = std::chrono::minutes(1);
  static constexpr Duration kPause = std::chrono::seconds(30);
  static constexpr std::size_t kMaxPeers = 256;  // remembered

  // Of a stream that `hello` opens here; empty: welcome.
  std::string_view check_opening(const PeerIdentity& self, const Hello& hello, Instant now);
  // Of the answer to a stream that we opened to `peer`.
  std::string_view check_answer(const PeerIdentity& self, NodeId peer, const Hello& hello);
  // A frame of this peer could not be read. True: it is paused from now on.
  bool bad_frame(NodeId peer, Instant now);

 private:
  struct Known {
    std::uint64_t incarnation = 0;  // the highest seen
    std::deque<Instant> bad_frames;
    Instant paused_until = Instant::min();
  };
  std::string_view check_common(const PeerIdentity& self, const Hello& hello);
  Known& known(NodeId peer);

  std::map<NodeId, Known> peers_;
};

}  // namespace fyr::raft
