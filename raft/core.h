// The Raft state machine (Ongaro, Ousterhout 2014; raft.md §2-§8): inputs are methods, what has to
// be done about them is collected until take().
//
// No I/O, clock, thread or logging; randomness comes from the seed. Time is what is passed in; a
// step backwards is clamped and counted. The order in which outputs must be performed is raft.md
// §3. The rules of raft.md are named at the lines that keep them: core.cc (inputs, outputs),
// election.cc, replication.cc, reads.cc, membership.cc, transfer.cc, snapshots.cc.
//
// A node that is a quorum by itself campaigns as soon as it is told the time. A node without a
// configuration waits for a leader.
//
// A leader announces a commit only when its own state has it. So no follower's state is ever
// ahead of the leader's, and a read under the lease needs nothing but that state.
//
// Owner: the raft thread. Invariants: see invariants.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/disk_watch.h"
#include "raft/outputs.h"
#include "raft/progress.h"
#include "raft/rounds.h"

namespace fyr::raft {

// Everything an invariant may look at.
struct CoreView {
  Role role = Role::Follower;
  HardState hard;          // volatile
  HardState durable_hard;  // would survive a power cut now
  NodeId leader{};
  Index base{}, last{}, durable{}, commit{}, applied{}, durable_applied{}, handed{};
  Term last_term{};
  std::vector<TermRun> runs;
  std::size_t unapplied_bytes = 0;
  std::size_t waiting_reads = 0;
  std::uint64_t clock_steps_back = 0;
  std::uint64_t protocol_errors = 0;  // messages that no correct peer sends; ignored
  Instant promise_until = Instant::min();
  Instant readable_until = Instant::min();
  Index activating{};     // a snapshot is installed up to here, the state machine is not told yet
  Index first_own{};      // the no-op with which our leadership began
  Index configuration{};  // where the newest one is
  bool quarantined = false;
  bool installing = false;
  bool pre_campaigning = false;
  bool transferring = false;
};

class Core {
 public:
  Core(const CoreConfig& config, RecoveredState recovered, std::uint64_t seed = 0);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

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
  // There is little room left on our disk, or enough again (raft.md §10).
  void on_disk_low(Instant now, bool low);
  void change_configuration(Instant now, const ConfigChange& change);
  void transfer(Instant now, const TransferRequest& request);
  // Begins a cluster of these voters, one of them us; ends like a ConfigChange, when it is durable
  // here. Refused if this node belongs to one or may have before. Exactly one of the voters may do
  // it.
  void found(Instant now, std::uint64_t id, const Configuration& configuration);

  // What is to be done since the last call.
  Outputs take();

  // Entries for applying, as far as they are still in memory (else read them from disk).
  std::optional<std::vector<Entry>> cached(IndexRange range) const { return log_.cached(range); }
  std::optional<Term> term_at(Index index) const { return log_.term_at(index); }
  const Configuration& configuration() const { return configurations_.back().second; }
  // The applied index that would release something that waits; max if nothing does.
  Index wanted_applied() const;
  // The other members, as their leader sees them; empty unless we are it.
  std::vector<PeerStatus> peers() const;
  CoreView view() const;

 private:
  struct WaitingRead {
    ReadRequest request;  // id: of ours, or the sequence number of the follower that asks
    Instant deadline;
    Index index{};            // 0: not registered yet
    std::uint64_t round = 0;  // leader: confirmed by its echo; follower: our question's number
    NodeId origin{};          // who asks; 0: we ourselves
    std::uint64_t incarnation = 0;
    bool confirmed = false;
  };
  struct PreCampaign {
    std::uint64_t round;
    Term campaign;
  };
  struct Transfer {
    std::uint64_t id;
    NodeId to;
    Instant deadline;
    bool by_request = false;
    bool told = false;  // TimeoutNow has left
  };
  struct Install {
    LogBase base;
    std::string id;
    NodeId from;
    WriteId write;  // 0: waits until what was handed out before is applied
  };
  using Outcome = std::pair<std::uint64_t, std::optional<Error>>;

  // ---- core.cc
  void advance(Instant now);
  PersistBatch& batch();
  PersistBatch& new_batch();
  void write_hard(HardState hard);
  WriteId write_of_term() const;
  void send(NodeId to, MessageBody body, WriteId after = {}, std::uint64_t to_incarnation = 0);
  void reply(const Message& to, MessageBody body, WriteId after = {});
  bool admit(const Message& message);
  void consider_compaction();
  void compact(Index index);
  void trim_cache();
  std::optional<Instant> wake_at() const;
  SoftState soft() const;

  // ---- election.cc
  bool is_voter() const { return configuration().is_voter(config_.self); }
  bool decides_alone() const;
  bool has_promised() const { return now_ < promise_until_; }
  std::size_t count_better() const;
  Duration random_part(Duration most);
  Duration election_timeout();
  Duration retry_timeout();
  bool may_stand() const;
  bool may_campaign() const;
  std::optional<Instant> election_due() const;
  void consider_election();
  void pre_campaign();
  void campaign(NodeId from_leader = {}, Term from_term = {});
  void count_votes();
  void become_leader();
  void step_down(Term term);
  void set_leader(NodeId leader);
  bool follow(const Message& message);
  bool log_is_current(Index last, Term last_term) const;
  void check_quorum();
  void hasten_election();
  void handle(const Message& message, const PreVote& body);
  void handle(const Message& message, const PreVoteReply& body);
  void handle(const Message& message, const Vote& body);
  void handle(const Message& message, const VoteReply& body);

  // ---- replication.cc
  void append(EntryType type, std::shared_ptr<const std::string> data);
  void append_entry(Entry entry);
  void truncate_from(Index index);
  std::optional<Error> not_leading() const;
  std::optional<Error> refusal(const Proposal& proposal) const;
  Progress* peer(NodeId id);
  const Progress* peer(NodeId id) const;
  Index match_of(NodeId member) const;
  Index announced() const { return std::min(commit_, applied_); }
  Index held_by_all() const;
  void advance_commit();
  void commit_to(Index index);
  void replicate();
  void replicate_to(Progress& peer);
  void send_entries(Progress& peer, std::vector<Entry> entries);
  void send_probe(Progress& peer);
  void fetch_for(Progress& peer);
  void start_round();
  void send_heartbeat(Progress& peer);
  void beat();
  void plan_commit_notice();
  void rearm(Progress& peer, std::uint64_t echoed);
  void heard(Progress& peer, const Message& message, std::uint64_t round, Index durable_last,
             DiskState disk, bool quarantined);
  Progress* replying_peer(const Message& message);
  bool well_formed(const Append& body, Term term) const;
  AppendReply append_reply(const Append& body) const;
  void accept_entries(const Message& message, Append& body);
  void reject(const Message& message, const Append& body);
  void end_quarantine_if_whole();
  void handle(const Message& message, Append& body);
  void handle(const Message& message, const AppendReply& body);
  void handle(const Message& message, const Heartbeat& body);
  void handle(const Message& message, const HeartbeatReply& body);
  void rejected(Progress& peer, const AppendReply& body);

  // ---- reads.cc
  bool leads_with_commit() const;
  Instant lease_until() const;
  Instant readable_until() const;
  void add_read(WaitingRead read);
  void refuse_read(const WaitingRead& read, const Error& error);
  void register_reads();
  void forward_reads();
  void confirm_reads();
  void grant_reads();
  void expire_reads();
  void unregister_reads();
  void handle(const Message& message, const ReadIndex& body);
  void handle(const Message& message, const ReadIndexReply& body);

  // ---- membership.cc
  void configuration_changed();
  void keep_peers();
  void append_configuration(const Configuration& configuration);
  std::optional<Error> refuse_change(const ConfigChange& change, const Configuration& wanted) const;
  void consider_leave();
  void finish_change();
  void drop_removed_peers();
  void leave_leadership();

  // ---- transfer.cc
  std::optional<Error> refuse_target(NodeId to) const;
  std::optional<NodeId> best_target(bool better_than_us) const;
  void begin_transfer(NodeId to, std::uint64_t id, bool by_request);
  void consider_transfer();
  void abort_transfer(const Error& reason);
  void end_transfers_elsewhere();
  void watch_disk();
  void rebalance();
  void note_well(Progress& peer);
  void handle(const Message& message, const TimeoutNow& body);

  // ---- snapshots.cc
  void consider_snapshots();
  Index pinned_from() const;
  void offer(Progress& peer);
  void prepared(SnapshotEvent& event);
  void consider_install();
  void installed();
  void report_position(const Message& offer, const std::string& id);
  void drop_fetch();
  void handle(const Message& message, const SnapshotOffer& body);
  void handle(const Message& message, const SnapshotDone& body);

  const CoreConfig config_;
  Random random_;
  Instant now_ = Instant::min();
  std::uint64_t clock_steps_back_ = 0;
  std::uint64_t protocol_errors_ = 0;
  std::map<NodeId, std::uint64_t> incarnations_;  // the highest one of each sender

  Role role_ = Role::Follower;
  HardState hard_;
  HardState durable_hard_;
  std::deque<std::pair<WriteId, HardState>> hard_writes_;  // under way
  NodeId leader_{};
  NodeId last_leader_{};  // whoever led when it was last known

  std::size_t rank_ = 0;  // distinct higher priorities among the voters
  // Elections. promise_until_ is a variable of its own (raft.md §5, "Promise"): nothing but time
  // ends it.
  Instant promise_until_ = Instant::max();
  Instant election_at_ = Instant::max();
  Instant leader_contact_ = Instant::min();
  Instant alone_since_;                   // nothing was promised after that before the start
  Instant eager_until_ = Instant::min();  // after a start: soon tried again
  bool promised_nothing_;                 // at start
  std::vector<NodeId> votes_;             // for us, in this term
  std::uint64_t pre_round_ = 0;           // counts our pre-campaigns
  std::optional<PreCampaign> pre_;
  std::vector<NodeId> pre_votes_;
  std::deque<Instant> leader_changes_;  // the last few

  Log log_;
  Retention retention_;
  // (index, configuration), the first one in force at the base of the log; the last one counts.
  std::deque<std::pair<Index, Configuration>> configurations_;
  Index commit_, applied_, durable_applied_;
  Index handed_;         // given out for applying
  Index verified_{};     // known to be equal to the log of this term's leader
  Index flush_asked_{};  // a flush of the state up to here was asked for
  Index held_by_all_{};  // as a leader said
  // Costs of the entries from unapplied_from_ on, and their sum.
  Index unapplied_from_;
  std::deque<std::size_t> unapplied_;
  std::size_t unapplied_bytes_ = 0;
  std::optional<LogPosition> quarantine_;  // up to where entries may be lost
  WriteId quarantine_ends_{};              // with this write

  // Leadership.
  Index first_own_{};  // the no-op with which it began
  std::vector<Progress> peers_;
  Rounds rounds_;
  bool round_is_new_ = false;  // nothing of the newest round was taken yet
  Instant beat_at_ = Instant::min();
  std::optional<Instant> notice_at_;
  std::optional<std::uint64_t> change_;    // id of the ConfigChange under way
  std::optional<std::uint64_t> founding_;  // id of the request
  bool founded_ = false;                   // this cluster, in this life
  std::optional<Transfer> transfer_;
  std::optional<Transfer> transferred_;  // we lead no more; who does?
  bool lease_void_ = false;              // a TimeoutNow may be under way
  Index lease_void_until_{};             // committed: no TimeoutNow can win any more
  Duration rebalance_backoff_{};
  Instant rebalance_after_ = Instant::min();
  Instant make_room_after_ = Instant::min();  // a disk that is low: the next attempt to hand over

  std::deque<WaitingRead> reads_;          // our own, by deadline
  std::deque<WaitingRead> asked_reads_;    // of followers
  std::deque<std::uint64_t> read_rounds_;  // started for reads, not confirmed; at most two
  std::uint64_t read_sequence_ = 0;        // of our questions to the leader
  std::uint64_t read_replied_ = 0;         // the newest one answered
  Instant read_asked_ = Instant::min();

  std::optional<SnapshotMeta> snapshot_;  // the newest one made here
  std::optional<Index> making_snapshot_;  // at this index or behind it
  Instant make_snapshot_after_ = Instant::min();
  std::optional<FetchSnapshot> fetching_;
  std::optional<Install> installing_;
  Index activating_{};

  Index check_{};  // digest of our state, as last reported
  std::uint64_t digest_ = 0;

  DiskWatch disk_{config_};
  WriteId next_write_{1};
  std::vector<PersistBatch> pending_;
  std::vector<Outgoing> sends_;
  std::vector<FetchLog> fetches_;
  std::vector<ProposalResult> results_;
  std::vector<Outcome> changes_;
  std::vector<Outcome> transfers_;
  std::vector<ReadGrant> grants_;
  std::optional<LogBase> compact_;
  std::optional<LogPosition> activate_;
  std::optional<FetchSnapshot> fetch_snapshot_;
  bool drop_snapshot_ = false;
  bool make_snapshot_ = false;
  bool flush_state_ = false;
};

}  // namespace fyr::raft
