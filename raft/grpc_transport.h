// Transport over gRPC (raft.md §11): streams of raft.proto, one of each class to every peer, each
// on a connection of its own. Both sides open streams; a peer answers on those that it opened.
//
// A message is written by the thread that sends it, as long as nothing is on its way already;
// what comes meanwhile waits and leaves as one frame. So a lone message pays for no hop between
// threads, and many at once for few frames.
//
// The listener belongs to somebody else (server/rpc): register service() there before it starts,
// and stop the transport before the listener. The transport outlives the listener.
//
// A connection that is refused or reset means that the peer's process is gone: LinkState::Reset.
// Anything else is Down: silence for four seconds, a refused handshake, a full queue. Up means that
// both streams to the peer stand.
#pragma once

#include <memory>

#include "raft/send_queue.h"
#include "raft/transport.h"

namespace grpc {
class Service;
}

namespace fyr::raft {

struct GrpcTransportOptions {
  Duration reconnect_min = std::chrono::milliseconds(50);
  Duration reconnect_max = std::chrono::seconds(1);
  Duration refused_wait = std::chrono::seconds(5);  // after a refused handshake
  Duration handshake_wait = std::chrono::seconds(2);
  Duration keepalive = std::chrono::seconds(2);  // probe after, and give up after
  SendLimits control{.messages = 1'024, .bytes = 16u << 20};
  SendLimits data{.messages = 65'536, .bytes = 64u << 20};
  std::size_t max_inbound = 96;  // streams of others
  std::size_t snapshot_bytes_per_second = 16u << 20;
  std::size_t snapshot_chunk = 1u << 20;
  Duration snapshot_patience = std::chrono::seconds(30);  // without progress, then it fails
};

class GrpcTransport : public Transport {
 public:
  static std::shared_ptr<GrpcTransport> make(GrpcTransportOptions options = {});
  virtual grpc::Service& service() = 0;
};

}  // namespace fyr::raft
