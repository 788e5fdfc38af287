// Only for the files of this folder. The streams that peers open to us: shakes hands, reads frames
// and hands their messages on; serves the files of snapshots.
//
// Threading: any thread. stop() waits until nobody is called any more.
#pragma once

#include <memory>
#include <string>

#include "raft/transport_context.h"

namespace grpc {
class Service;
}

namespace fyr::raft {

class PeerServer {
 public:
  // A peer whose streams we accepted, and where it says it can be reached; +1 and -1.
  using Visit = std::function<void(NodeId, const std::string& address, int change)>;
  PeerServer(TransportContext& context, Visit visit);
  ~PeerServer();

  grpc::Service& service();
  void serve_snapshots(SnapshotSource* source);
  // Ends streams that have not said who they are for too long; when to come again.
  std::optional<Instant> tick(Instant now);
  // Ends all streams and refuses new ones.
  void stop();

 private:
  class Stream;
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::raft
