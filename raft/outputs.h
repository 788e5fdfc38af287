// What goes into the core and what comes out of it, as values (raft.md §2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "raft/configuration.h"
#include "raft/log.h"
#include "raft/message.h"
#include "raft/retention.h"
#include "raft/types.h"

namespace fyr::raft {

struct CoreConfig {
  NodeId self{};
  std::uint64_t incarnation = 1;
  Duration heartbeat = std::chrono::milliseconds(100);
  Duration election_min = std::chrono::milliseconds(700);     // E of raft.md §5
  Duration election_rank = std::chrono::milliseconds(400);    // more for each higher priority
  Duration election_jitter = std::chrono::milliseconds(400);  // more at random
  bool lease_reads = true;
  std::size_t window_messages = 256;  // appends in flight to one peer
  std::size_t window_bytes = 16u << 20;
  std::size_t max_append_bytes = 1u << 20;      // or one entry
  std::size_t max_entry_bytes = 4u << 20;       // refused at propose
  std::size_t max_unapplied_bytes = 64u << 20;  // appended here, not yet applied
  std::uint64_t max_apply_lag = 100'000;        // entries
  std::size_t max_waiting_reads = 10'000;
  Duration read_wait = std::chrono::seconds(2);
  std::size_t cache_bytes = 64u << 20;  // entries kept in memory by a leader; others a 16th of it
  // How long news of a commit waits for an append that could carry it.
  Duration commit_notice = std::chrono::milliseconds(2);
  // Age of the oldest write that the disk has not finished (raft.md §5, "Disk stall").
  Duration disk_slow = std::chrono::milliseconds(500);
  Duration disk_stalled = std::chrono::seconds(2);
  Duration disk_given_up = std::chrono::seconds(3);  // a leader steps down
  Duration disk_clean = std::chrono::seconds(10);    // without a stall: trusted again
  Duration removed_linger = std::chrono::seconds(10);
  Duration snapshot_unpin = std::chrono::minutes(10);  // without contact
  std::uint64_t log_hard_cap = 1ull << 30;             // bytes kept behind a snapshot under way
  std::uint64_t promote_lag = 64;                      // entries: C4, and a leadership's new holder
  std::size_t max_voters = 7;
  std::size_t max_learners = 16;
  // Leadership goes to a better-ranked voter that was well for so long (raft.md §5).
  Duration rebalance_after = std::chrono::seconds(30);
  Duration rebalance_backoff = std::chrono::seconds(60);
  Duration rebalance_backoff_max = std::chrono::hours(1);
  Duration rebalance_calm = std::chrono::minutes(10);  // at most 3 changes of leader in it
  RetentionLimits retention{};
};

// The log up to `index` is gone; what must be known of it stays.
struct LogBase {
  Index index{};
  Term term{};
  Configuration configuration;  // in force at index
};

// What was found on disk at start; all of it is durable.
struct RecoveredState {
  HardState hard;
  LogBase base;
  Index last{};
  std::vector<TermRun> runs;
  std::vector<std::pair<Index, Configuration>> configurations;  // after base, by index
  std::vector<std::uint64_t> entry_bytes;                       // from base.index + 1 to last
  Index applied{};
  Index durable_applied{};
  // Known to be committed, if the log holds it: applied at once, whoever leads.
  LogPosition committed{};
  // Since when no earlier life of this node can have promised anything; min: not known.
  Instant alone_since = Instant::min();
  // Acknowledged entries were lost up to this watermark (raft.md §10); none: the log is whole.
  std::optional<LogPosition> quarantine;
  bool ever_voted = true;  // false: an empty node that promised nothing to anybody
};

// Executed strictly in order, exactly once. Within one batch: hard state, install,
// end of quarantine, truncation, entries.
struct PersistBatch {
  WriteId id{};  // 1, 2, 3... since start
  std::optional<HardState> hard;
  // The prepared state of this snapshot becomes the node's, and the log continues after it: what
  // the log holds behind (index, term) stays if it holds that entry, else the whole log goes.
  std::optional<LogBase> install;
  bool end_quarantine = false;
  Index truncate_from{};  // 0: none; entries >= this vanish
  std::vector<Entry> entries;
};

struct Proposal {
  std::uint64_t id = 0;
  EntryType type = EntryType::App;
  std::shared_ptr<const std::string> data;
};

// Where a proposal went in the log, or why it did not.
struct ProposalResult {
  std::uint64_t id = 0;
  std::optional<Error> refused;
  Term term{};
  Index index{};
};

struct ReadRequest {
  std::uint64_t id = 0;
  ReadMode mode = ReadMode::Default;
};

// Local state, which has reached `index`, answers the read; or the reason why not.
struct ReadGrant {
  std::uint64_t id = 0;
  std::optional<Error> refused;
  Index index{};
};

// A change of the members (raft.md §7), applied to the newest configuration as one step.
struct ConfigChange {
  std::uint64_t id = 0;
  std::vector<Member> put;  // new ones become learners; known ones get these fields
  std::vector<NodeId> promote, demote, remove;
  bool force = false;  // without C5: even if the new voters cannot be reached
};

// The leadership shall move; to = 0: to the best voter.
struct TransferRequest {
  std::uint64_t id = 0;
  NodeId to{};
};

// Must not leave before the write `after` is durable (0: at once).
struct Outgoing {
  Message message;
  WriteId after{};
};

// Entries for a peer which are no longer in memory.
struct FetchLog {
  NodeId peer{};
  IndexRange range{};
  std::size_t max_bytes = 0;
};
struct FetchedLog {
  NodeId peer{};
  IndexRange range{};          // as asked
  std::vector<Entry> entries;  // from range.first on, maybe fewer; empty: compacted meanwhile
};

// What happened to snapshots outside of the core.
struct SnapshotEvent {
  enum class Kind {
    Made,      // here, in answer to Outputs::make_snapshot; can be offered
    Prepared,  // fetched, verified and opened beside the state; can be installed
    Failed,    // making or fetching it failed
  };
  Kind kind = Kind::Failed;
  SnapshotMeta snapshot;
  Configuration configuration;  // in force at its index (Prepared)
};

struct FetchSnapshot {
  NodeId from{};
  SnapshotMeta snapshot;
};

enum class LinkState { Down, Up, Reset };  // Reset: refused at once, its process is gone

// A peer as its leader sees it.
struct PeerStatus {
  NodeId id{};
  Index match{};
  Instant last_contact = Instant::min();
  bool snapshot = false;  // is sent one
  bool quarantined = false;
  bool regressed = false;  // lost entries it had acknowledged, and did not notice: not counted
  DiskState disk = DiskState::Good;
  Index check{};  // the Check entry at which its state was looked at last; 0: none yet
  std::uint64_t digest = 0;
};

// Facts for status and metrics; nothing here has to be durable.
struct SoftState {
  Role role = Role::Follower;
  Term term{};
  NodeId leader{};  // 0: none known
  Index commit{}, applied{}, last{}, durable{};
  // A default read may be served from local state before this instant; min(): not now.
  Instant readable_until = Instant::min();
  Instant leader_contact = Instant::min();  // last accepted message of the leader; followers
  bool quarantined = false;
  bool transferring = false;
  bool operator==(const SoftState&) const = default;
};

struct Outputs {
  std::vector<PersistBatch> persist;
  std::vector<Outgoing> send;
  std::vector<FetchLog> fetch;
  bool make_snapshot = false;                   // a peer needs one: at `applied` or later
  std::optional<FetchSnapshot> fetch_snapshot;  // replaces an earlier one
  bool drop_snapshot = false;                   // stop fetching, forget what was prepared
  // The installed snapshot's state takes effect here, before `apply`.
  std::optional<LogPosition> activate;
  std::optional<IndexRange> apply;      // committed and locally durable (D5); each index once
  std::vector<ProposalResult> results;  // of proposals, in their order
  // Of ConfigChanges and TransferRequests that came to their end, by request id. A change has
  // ended when its last entry is committed.
  std::vector<std::pair<std::uint64_t, std::optional<Error>>> changes;
  std::vector<std::pair<std::uint64_t, std::optional<Error>>> transfers;
  std::vector<ReadGrant> reads;
  std::optional<LogBase> compact;  // entries up to its index may be deleted from disk
  bool flush_state = false;        // the log wants to shrink: make the state durable (D7)
  SoftState soft;
  std::optional<Instant> wake_at;  // call on_time() then; none: nothing is due
};

}  // namespace fyr::raft
