// What nodes say to each other (raft.md §2, §4-§8), as values. wire.h turns them into bytes.
//
// Delivery is at most once, in any order; a message may be replayed much later. Everything a
// receiver needs in order to tell a late message from a fresh one is in it: the sender's term and
// incarnation, the round or the position it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "raft/types.h"

namespace fyr::raft {

// Would you vote for me in `campaign`? Changes nothing at the receiver (thesis §9.6).
struct PreVote {
  Term campaign;
  std::uint64_t round = 0;  // of the asker, to match replies with
  Index last{};
  Term last_term{};
};
struct PreVoteReply {
  Term campaign;  // as asked
  std::uint64_t round = 0;
  bool granted = false;
};

// The header's term is the candidate's new one.
struct Vote {
  Index last{};
  Term last_term{};
  // Handed over by the leader of that term (TimeoutNow): voters still with it need not keep their
  // promise to it.
  NodeId from_leader{};
  Term from_term{};
};
struct VoteReply {
  bool granted = false;
};

// What the sender's disk is like (raft.md §5, §10), said in every reply to a leader. Low: little
// room is left.
enum class DiskState : std::uint8_t { Good = 0, Slow = 1, Stalled = 2, Low = 3 };

struct Append {
  Index prev{};
  Term prev_term{};
  std::vector<Entry> entries;
  Index commit{};           // the leader's; the receiver takes what this message verified of it
  std::uint64_t round = 0;  // of the leader's term: echoes prove contact (R2)
  Index held_by_all{};      // every data server has entries up to here: a witness may forget them
};
struct AppendReply {
  bool success = false;
  Index match{};  // success: durable as now written up to here (D3)
  Index prev{};   // of the append this answers; a rejection of an older probe is ignored
  // Rejection: the largest position of the follower whose term is <= prev_term, and that term.
  Index hint{};
  Term hint_term{};
  std::uint64_t round = 0;
  Index durable_last{};  // of the follower's log: below an earlier match means lost data
  DiskState disk = DiskState::Good;
  bool quarantined = false;
};

// The leader's sign of life; commit = min(its commit, what this peer acknowledged).
struct Heartbeat {
  std::uint64_t round = 0;
  Index commit{};
  Index held_by_all{};
};
struct HeartbeatReply {
  std::uint64_t round = 0;
  Index durable_last{};
  DiskState disk = DiskState::Good;
  bool quarantined = false;
  // Digest of the state at a Check entry (raft.md §9); 0: nothing to report.
  Index check{};
  std::uint64_t digest = 0;
};

// A follower asks up to where its state must be to answer a read; (origin, incarnation, sequence)
// come from the header and here (R7).
struct ReadIndex {
  std::uint64_t sequence = 0;
  ReadMode mode = ReadMode::Consistent;
};
struct ReadIndexReply {
  std::uint64_t sequence = 0;
  bool granted = false;
  Index index{};
};

// Campaign now, without pre-vote, if your log ends exactly here.
struct TimeoutNow {
  Index last{};
  Term last_term{};
};

struct SnapshotMeta {
  std::string id;  // names it at the node that made it
  Index index{};
  Term term{};
  std::string manifest_hash;  // of its list of files
  bool operator==(const SnapshotMeta&) const = default;
};
// Your log ends before mine begins: fetch this (the receiver pulls it from the sender).
struct SnapshotOffer {
  SnapshotMeta snapshot;
  std::uint64_t round = 0;
};
// installed: the receiver's state and log durably continue after (index, term).
struct SnapshotDone {
  std::string id;
  bool installed = false;
  Index index{};
  Term term{};
};

using MessageBody = std::variant<PreVote, PreVoteReply, Vote, VoteReply, Append, AppendReply,
                                 Heartbeat, HeartbeatReply, ReadIndex, ReadIndexReply, TimeoutNow,
                                 SnapshotOffer, SnapshotDone>;

struct Message {
  NodeId from{}, to{};
  std::uint64_t from_incarnation = 0;
  std::uint64_t to_incarnation = 0;  // in a reply: of the request's sender; 0: any
  Term term{};                       // the sender's
  MessageBody body;
};

// Said at the start of each stream; anything that does not fit closes it by name (raft.md §1).
struct PeerIdentity {
  std::string cluster;  // empty: belongs to none yet
  std::uint32_t recovery_epoch = 0;
  NodeId node{};
  std::uint64_t incarnation = 0;
};

}  // namespace fyr::raft
