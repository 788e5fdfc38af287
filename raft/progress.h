// What a leader knows of one peer (raft.md §4): how far its log agrees, what is under way to it,
// when it was heard.
//
// Probe: one append at a time until the logs are known to agree somewhere. Replicate: a window of
// appends. Snapshot: its log ends before ours begins.
//
// Owner: the core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/outputs.h"

namespace fyr::raft {

struct Progress {
  enum class State { Probe, Replicate, Snapshot };

  NodeId id{};
  State state = State::Probe;
  Index match{};        // acknowledged: durable there, and equal to ours
  Index next{};         // first entry that was not sent yet; > match
  Index told_commit{};  // the highest commit it was told

  // ---- what is under way
  struct InFlight {
    Index last{};
    std::size_t bytes = 0;
  };
  std::deque<InFlight> in_flight;
  std::size_t in_flight_bytes = 0;
  Instant moved = Instant::min();  // match rose, or the window was re-armed
  bool probing = false;            // the one probe is under way
  std::uint64_t probe_round = 0;   // when it left
  Index fetching{};                // entries from here on are read from disk; 0: none are

  // ---- contact
  Instant contact = Instant::min();     // last reply; receipt, so never used for leases (R4)
  std::uint64_t acked_round = 0;        // the newest round it echoed
  Instant acked_sent = Instant::min();  // when that round left
  std::uint64_t incarnation = 0;        // of its last reply
  DiskState disk = DiskState::Good;
  Index check{};  // see PeerStatus
  std::uint64_t digest = 0;
  bool quarantined = false;
  bool regressed = false;               // see PeerStatus
  Instant stalled_at = Instant::min();  // its disk, last
  Instant well_since = Instant::max();  // could take over the leadership

  // ---- snapshot
  std::optional<SnapshotMeta> snapshot;  // pinned for it
  Instant offered = Instant::min();
  int failures = 0;  // of fetching it

  // Not a member any more; kept until it holds the entry that says so, or until then.
  std::optional<Instant> leaves;
  Index leaves_with{};

  bool window_full(const CoreConfig& config) const {
    return in_flight.size() >= config.window_messages || in_flight_bytes >= config.window_bytes;
  }
  void sent(Index last, std::size_t bytes, Instant now);
  // Everything up to `index` is acknowledged; true: that is more than before.
  bool acknowledge(Index index, Instant now);
  // One append at a time from `from` on, which stays above the acknowledged match.
  void probe(Index from);
  void replicate();
  void await_snapshot();
  // It came back with less than it had acknowledged: nothing of that counts any more.
  void forget_match(Index durable);
};

}  // namespace fyr::raft
