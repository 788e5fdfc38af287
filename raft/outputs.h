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
#include "raft/retention.h"
#include "raft/types.h"

namespace fyr::raft {

struct CoreConfig {
  NodeId self{};
  std::size_t max_entry_bytes = 4u << 20;       // refused at propose
  std::size_t max_unapplied_bytes = 64u << 20;  // appended here, not yet applied
  std::uint64_t max_apply_lag = 100'000;        // entries
  std::size_t max_waiting_reads = 10'000;
  Duration read_wait = std::chrono::seconds(2);
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
};

// Executed strictly in order, exactly once. Within one batch: hard state, truncation, entries.
struct PersistBatch {
  WriteId id{};  // 1, 2, 3... since start
  std::optional<HardState> hard;
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

// Facts for status and metrics; nothing here has to be durable.
struct SoftState {
  Role role = Role::Follower;
  Term term{};
  NodeId leader{};  // 0: none known
  Index commit{}, applied{}, last{}, durable{};
  // A default read may be served from local state before this instant; min(): not now.
  Instant readable_until = Instant::min();
  bool operator==(const SoftState&) const = default;
};

struct Outputs {
  std::vector<PersistBatch> persist;
  std::optional<IndexRange> apply;  // committed and locally durable (D5); each index once
  std::vector<ProposalResult> results;
  std::vector<ReadGrant> reads;
  std::optional<LogBase> compact;  // entries up to its index may be deleted from disk
  bool flush_state = false;        // the log wants to shrink: make the state durable (D7)
  SoftState soft;
  std::optional<Instant> wake_at;  // call on_time() then; none: nothing is due
};

}  // namespace fyr::raft
