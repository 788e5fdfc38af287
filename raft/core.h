// The Raft state machine (Ongaro, Ousterhout 2014; raft.md §2-§6): inputs are methods, what has
// to be done about them is collected until take().
//
// No I/O, clock, thread, randomness or logging. Time is what is passed in; a step backwards is
// clamped and counted. The order in which outputs must be performed is raft.md §3: the rules D1,
// D2, D4, D5, D7 and R1, R3, R6 are named at the lines that keep them.
//
// A node that is a quorum by itself campaigns as soon as it is told the time: it promised nothing
// to anybody (raft.md §5). Any other node waits for a leader.
//
// Owner: the raft thread. Invariants: see invariants.h.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "raft/outputs.h"

namespace fyr::raft {

// Everything an invariant may look at.
struct CoreView {
  Role role = Role::Follower;
  HardState hard;          // volatile
  HardState durable_hard;  // would survive a power cut now
  Index base{}, last{}, durable{}, commit{}, applied{}, durable_applied{}, handed{};
  Term last_term{};
  std::vector<TermRun> runs;
  std::size_t unapplied_bytes = 0;
  std::size_t waiting_reads = 0;
  std::uint64_t clock_steps_back = 0;
};

class Core {
 public:
  Core(const CoreConfig& config, RecoveredState recovered, std::uint64_t seed = 0);

  void on_time(Instant now);
  void propose(Instant now, std::span<const Proposal> proposals);
  void read(Instant now, const ReadRequest& request);
  // Cumulative: everything up to `upto` is durable.
  void on_written(Instant now, WriteId upto);
  // State has reached `applied`, and would be at `durable_applied` after a power cut.
  void on_applied(Instant now, Index applied, Index durable_applied);
  void on_message(Instant now, Message message);
  void on_log_fetched(Instant now, FetchedLog fetched);
  void on_snapshot(Instant now, SnapshotEvent event);
  void on_link(Instant now, NodeId peer, LinkState state);
  void on_digest(Instant now, Index check, std::uint64_t digest);
  void change_configuration(Instant now, const ConfigChange& change);
  void transfer(Instant now, const TransferRequest& request);

  // What is to be done since the last call.
  Outputs take();

  // Entries for applying, as far as they are still in memory (else read them from disk).
  std::optional<std::vector<Entry>> cached(IndexRange range) const { return log_.cached(range); }
  std::optional<Term> term_at(Index index) const { return log_.term_at(index); }
  const Configuration& configuration() const { return configurations_.back().second; }
  // The applied index that would release something that waits; max if nothing does.
  Index wanted_applied() const;
  CoreView view() const;

 private:
  struct WaitingRead {
    ReadRequest request;
    Instant deadline;
    Index index;  // 0: not registered yet, the leader has committed nothing of its term (R1)
  };

  void advance(Instant now);
  bool decides_alone() const;
  void campaign();
  void count_votes();
  void become_leader();
  void append(EntryType type, std::shared_ptr<const std::string> data);
  void advance_commit();
  std::optional<Error> refusal(const Proposal& proposal) const;
  std::optional<Error> not_leading() const;
  void register_reads();
  void grant_reads();
  void expire_reads();
  void consider_compaction();
  void compact(Index index);
  bool leads_with_commit() const;
  Index match_of(NodeId voter) const;
  Instant contact_of(NodeId voter) const;
  Instant readable_until() const;
  std::optional<Instant> wake_at() const;
  PersistBatch& batch();
  SoftState soft() const;

  const CoreConfig config_;
  Instant now_ = Instant::min();
  std::uint64_t clock_steps_back_ = 0;

  Role role_ = Role::Follower;
  HardState hard_;
  HardState durable_hard_;
  std::deque<std::pair<WriteId, HardState>> hard_writes_;  // under way
  NodeId leader_{};
  std::vector<NodeId> votes_;  // for us, in this term

  Log log_;
  Retention retention_;
  // (index, configuration), the first one in force at the base of the log; the last one counts.
  std::deque<std::pair<Index, Configuration>> configurations_;
  Index commit_, applied_, durable_applied_;
  Index handed_;         // given out for applying
  Index first_own_{};    // the no-op with which our leadership began
  Index flush_asked_{};  // a flush of the state up to here was asked for
  std::size_t unapplied_bytes_ = 0;

  std::deque<WaitingRead> reads_;  // by registration, so by deadline and by index

  WriteId next_write_{1};
  std::vector<PersistBatch> pending_;  // at most one
  std::vector<ProposalResult> results_;
  std::vector<ReadGrant> grants_;
  std::optional<LogBase> compact_;
  bool flush_state_ = false;
};

}  // namespace fyr::raft
