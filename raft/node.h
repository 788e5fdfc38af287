// The Raft node: core, storage and threads behind one small face.
//
// A proposal is answered after it was applied on this node (D9), in log order. An outcome that is
// not known is CommitUnknown, never a failure. Callbacks for proposals run on the apply thread, all
// others on a thread of the node or of the transport; they must be short (post onwards). Once the
// node has stopped they run inside the call, with Stopped.
//
// Threads: raft (the core and its timers; never touches the disk), raft-log (append and sync),
// apply, raft-log-read (entries for peers that are far behind), raft-snapshot. Who brings the core
// something while it is idle runs it on the spot (inbox.h): a thread that proposes, one of the
// transport, raft-log. A write error of the log or the hard state is never retried: it ends the
// process (raft.md §10).
//
// A node without a cluster, and without `bootstrap`, waits: until found_cluster(), or until a peer
// that counts it among its members calls.
//
// Threading: every method may be called from any thread, stop() from any but the node's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "raft/configuration.h"
#include "raft/outputs.h"
#include "raft/types.h"

namespace fyr::raft {

// What a proposal's apply returned; opaque to Raft.
using ApplyOutcome = std::shared_ptr<const void>;

class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // Index the durable state had at start; the log is replayed after it.
  virtual Index applied() const = 0;
  // Applies committed application entries in order, at most 1,000 or 4 MiB at once; called on the
  // apply thread only. Effects and the last index are persisted in one atomic write (D6). One
  // outcome for each entry.
  virtual void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) = 0;
  // Highest index that survives a power cut (flushed); the log is kept above it (D7).
  virtual Index durable_applied() const = 0;
  // Makes everything applied so far durable; called when the log wants to shrink.
  virtual void flush() = 0;

  // ---- snapshots (raft.md §8): copies of the whole state -----------------------------------
  // A machine that has none leaves these as they are.

  // Term of the entry applied(); 0: not known.
  virtual Term applied_term() const { return {}; }
  // Copies the state as it is now into `directory`, which must not exist yet. Returns its position
  // as read back from the copy. Apply thread, between batches; files need not be synced.
  virtual Result<LogPosition> checkpoint(const std::filesystem::path& directory) {
    return fail(ErrorCode::Unsupported, directory.string() + ": this state has no snapshots");
  }
  // Opens and checks such a copy as the next state beside the live one, durably, so that after the
  // install in Storage::write either one may be the node's at the next start. Takes long; any
  // thread. The folder may be removed afterwards. A second call forgets the first.
  virtual Result<LogPosition> prepare(const std::filesystem::path& directory) {
    return fail(ErrorCode::Unsupported, directory.string() + ": this state has no snapshots");
  }
  virtual void drop_prepared() {}
  // Of the state as it is: equal states have equal ones, on every server. Apply thread; 0: none.
  virtual std::uint64_t digest() const { return 0; }
  // Most others had another state at the same index: this one must not be used again, but made anew
  // at the next start. Ends the process; any thread but the apply thread.
  virtual void distrust(const std::string& why) { (void)why; }
  // The prepared state, installed durably by now, becomes the live one. Apply thread.
  virtual void activate() {}
};

struct Status {
  Role role = Role::Follower;
  Term term{};
  NodeId id{};
  NodeId leader{};  // 0: none known
  Index commit{}, applied{}, last{}, durable{};
  Duration last_contact{};   // since the last accepted leader message; 0 on the leader
  bool quarantined = false;  // lost acknowledged entries; answers stale reads only
  bool transferring = false;
  // No reader has seen more than this before the start; 0: not known.
  Index seen_before{};
};

class Transport;

// Keeps others out of a Raft folder, from before the state is opened: what an earlier process
// promised is over that much sooner.
struct FolderClaim;
Result<std::shared_ptr<FolderClaim>> claim_folder(const std::filesystem::path& directory);

struct NodeOptions {
  std::filesystem::path directory;  // holds log/, hardstate, watermark, identity, lock
  bool bootstrap = false;           // sole voter of a new cluster if the folder is empty
  std::string address;              // host:port of our RPC, stored in the configuration
  std::string name;
  std::string site;
  std::uint8_t priority = 100;
  Duration election_min = std::chrono::milliseconds(700);
  Duration heartbeat = std::chrono::milliseconds(100);
  CoreConfig limits{};     // the rest; self, incarnation and the two above are not looked at
  std::uint64_t seed = 0;  // 0: one from the system
  Duration check_interval = std::chrono::seconds(60);  // of comparing states; 0: never
  std::shared_ptr<FolderClaim> claim{};                // null: made by open()
  // To the other nodes; null: there are none, ever. The node starts and stops it.
  std::shared_ptr<Transport> transport{};
  // In the node's order, also before open() has returned; not called for a change back to what it
  // was.
  std::function<void(const Status&)> on_role_change;
  // What ends the process after a write error; empty: a log line and _exit(74). For tests.
  std::function<void(const Error&)> on_fatal;
};

class Node {
 public:
  // InvalidArgument: the folder is not ours or cannot be used; Corrupt: it lacks what was
  // acknowledged before, or fails its checks; Conflict: another process uses it. The message
  // names the path. A sole voter leads some milliseconds later: see on_role_change.
  static Result<std::unique_ptr<Node>> open(NodeOptions options, StateMachine& machine);
  virtual ~Node() = default;

  struct Applied {
    Term term{};
    Index index{};
    ApplyOutcome outcome;
  };
  virtual void propose(std::string data, std::function<void(Result<Applied>)> done) = 0;
  // Done with the index the state must have reached; it already has when done runs.
  virtual void read(ReadMode mode, std::function<void(Result<Index>)> done) = 0;
  // True when a default read may be served from local state right now (leader with a valid
  // lease); the fast path of read(), no thread hop.
  virtual bool can_read_now() const = 0;
  virtual Status status() const = 0;
  virtual NodeId id() const = 0;
  virtual std::string cluster() const = 0;  // 32 hex digits; empty: of none yet
  // Everybody in the cluster as our log has it; without voters: we belong to no cluster yet.
  virtual Configuration members() const = 0;
  // What the leader knows of the others, at most 100 ms old; empty elsewhere.
  virtual std::vector<PeerStatus> peers() const = 0;
  // Somebody (gossip) knows where a peer is now.
  virtual void set_peer_address(NodeId peer, const std::string& address) = 0;
  // Founds a cluster of these voters, one of them us; only on a node that belongs to none. Exactly
  // one of them may do it. Done when it is durable here; the others adopt it over the transport.
  virtual void found_cluster(std::vector<Member> voters,
                             std::function<void(Result<void>)> done) = 0;
  // Done when the change is committed. Only a leader: else NotLeader or NoLeader.
  virtual void change_members(ConfigChange change, std::function<void(Result<void>)> done) = 0;
  // To the best voter if `to` is 0. Done when somebody else leads.
  virtual void transfer_leadership(NodeId to, std::function<void(Result<void>)> done) = 0;
  // Waits for the threads. A pending proposal ends as CommitUnknown if it may be in the log, else
  // as Stopped; a pending read as Stopped.
  virtual void stop() = 0;
};

// Before a stop that was planned: if this node leads and somebody else can, that one leads when it
// returns. Blocks; an error says why it still leads, within `patience`.
Result<void> hand_over_leadership(Node& node, Duration patience);

}  // namespace fyr::raft
