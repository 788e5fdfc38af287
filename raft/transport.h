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
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "raft/configuration.h"
#include "raft/outputs.h"

namespace fyr::raft {

// Reads files of our snapshots for peers that pull them. Called on a thread of the transport that
// may block.
class SnapshotSource {
 public:
  struct Part {
    std::string bytes;
    std::uint64_t file_size = 0;
  };
  virtual ~SnapshotSource() = default;
  // Bytes of a file from `offset` on, at most max_bytes; an empty name is the manifest. NotFound:
  // there is no such snapshot (any more), or no such file in it.
  virtual Result<Part> read(const std::string& id, const std::string& file, std::uint64_t offset,
                            std::size_t max_bytes) = 0;
};

// Takes a snapshot that is pulled from a peer. Called on one thread of the transport that may
// block. It checks what it gets, and continues where an earlier pull ended.
class SnapshotSink {
 public:
  struct Part {
    std::string file;  // empty: the manifest, which is asked for first
    std::uint64_t offset = 0;
    std::size_t max_bytes = 0;
  };
  virtual ~SnapshotSink() = default;
  // What is wanted next; none: everything is there.
  virtual Result<std::optional<Part>> next() = 0;
  // Corrupt: these bytes are not what the manifest says; they may be asked for again.
  virtual Result<void> put(const Part& part, SnapshotSource::Part got) = 0;
};

class Transport {
 public:
  struct Receiver {
    // All of one frame, in order; nothing in it is to be believed but who sent it.
    std::function<void(std::vector<Message>)> messages;
    std::function<void(NodeId, LinkState)> link;
    // A node without a cluster heard of one from a peer that wants it as member. The peer is told
    // to try again; adopt() makes it welcome.
    std::function<void(const std::string& cluster, std::uint32_t recovery_epoch)> adopted;
  };

  virtual ~Transport() = default;
  // Once, before anything else. `address` is where peers reach us: they learn it from the
  // handshake, because a new member has no log to find it in.
  virtual void start(const PeerIdentity& self, const std::string& address, Receiver receiver) = 0;
  // We belong to this cluster from now on.
  virtual void adopt(const std::string& cluster, std::uint32_t recovery_epoch) = 0;
  // What peers get who pull a snapshot of ours; null: nothing. Outlives the transport's stop().
  virtual void serve_snapshots(SnapshotSource* source) = 0;
  // The peers to talk to. Streams to others are closed, except to those who opened one to us.
  virtual void set_peers(std::vector<Member> peers) = 0;
  // Somebody (gossip) says where a peer is now; it may have moved since the log was written.
  virtual void set_address(NodeId peer, const std::string& address) = 0;
  virtual void send(std::vector<Message> messages) = 0;
  // Pulls from the peer until `sink` has everything; gives up after `patience` without progress.
  // One at a time: a later call cancels an earlier one. `done` on a thread of the transport.
  virtual void fetch_snapshot(const FetchSnapshot& request, std::shared_ptr<SnapshotSink> sink,
                              std::function<void(Result<void>)> done) = 0;
  virtual void cancel_snapshot() = 0;  // its `done` gets Stopped
  // The receiver is not called any more when it returns.
  virtual void stop() = 0;
};

}  // namespace fyr::raft
