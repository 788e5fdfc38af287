// Only for the files of this folder. Pulls one snapshot from a peer: asks for part after part, on a
// connection of its own, not faster than allowed; opens it again when it fails, until no part came
// for too long.
//
// Threading: has a thread of its own, on which the sink is called; any thread may cancel.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "raft/transport_context.h"

namespace fyr::raft {

class SnapshotPull {
 public:
  SnapshotPull(TransportContext& context, FetchSnapshot request, std::string address,
               std::shared_ptr<SnapshotSink> sink, std::function<void(Result<void>)> done);
  ~SnapshotPull();  // cancels and waits; not on the thread on which `done` runs
  void cancel();    // `done` gets Stopped, unless it has been called

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::raft
