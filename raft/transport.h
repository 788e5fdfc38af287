// What the driver needs from the network. grpc_transport.h ships; tests and the simulator bring
// their own.
//
// Sending never blocks and promises nothing: at most once, no order. Each peer has three classes
// of stream (raft.md §11), so that bulk never delays heartbeats: control, data (Append with
// entries), snapshots. Queues are bounded: control 1,024 messages, data 64 MiB; what does not fit
// is dropped and counted, an overflowing data queue is reported as LinkState::Down.
//
// Threading: every method from any thread; the receiver is called on threads of the transport.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "raft/configuration.h"
#include "raft/outputs.h"

namespace fyr::raft {

class Transport {
 public:
  struct Receiver {
    std::function<void(Message)> message;
    std::function<void(NodeId, LinkState)> link;
    // A node without a cluster heard of one from a peer that wants it as member.
    std::function<void(const std::string& cluster, std::uint32_t recovery_epoch)> adopted;
  };

  virtual ~Transport() = default;
  // Once, before anything else.
  virtual void start(Receiver receiver) = 0;
  // The peers to talk to; streams to others are closed.
  virtual void set_peers(std::vector<Member> peers) = 0;
  virtual void send(Message message) = 0;
  // Pulls every file of a peer's snapshot into `directory`, chunk by chunk, each verified;
  // continues where an earlier call ended. `progress` gets (bytes so far, bytes in all).
  virtual void fetch_snapshot(const FetchSnapshot& request, std::filesystem::path directory,
                              std::function<void(std::uint64_t, std::uint64_t)> progress,
                              std::function<void(Result<void>)> done) = 0;
  virtual void cancel_snapshot() = 0;
  virtual void stop() = 0;
};

}  // namespace fyr::raft
