// The safety invariants of raft-verification.md A3, checked as things happen, at a cost in
// proportion to what changed.
//
// The oracle keeps its own opinion of what is committed, from what is on disks and never from what
// nodes claim: entry (i, T) of the leader of T is committed when nodes which accepted it in term T
// hold it durably and are a majority of that leader's configuration (of both sets when joint).
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "raft/core.h"
#include "tests/sim/raft/clock.h"
#include "tests/sim/raft/disk.h"
#include "tests/sim/raft/history.h"
#include "tests/sim/raft/marks.h"

namespace fyr::raft::sim {

class Oracle {
 public:
  Oracle(History& history, Marks& marks) : history_(history), marks_(marks) {}

  // Nodes are known by their place; NodeId(place + 1).
  void add_node(const Disk& disk, const Clock& clock);
  // Every disk that took part in the bootstrap holds this entry.
  void bootstrapped(const Held& first);
  // Without the rules about messages and configurations: faults must show by their consequences.
  void set_black(bool black) { black_ = black; }

  void on_start(std::size_t node);
  void on_crash(std::size_t node);
  // The disk of a node that is down has lost durable entries.
  void on_loss(std::size_t node);
  // Some disk has lost entries and has not been made whole since: no other may be harmed.
  bool damaged() const;
  // Before the batches of the same step.
  void on_role(Nanos now, std::size_t node, const SoftState& soft);
  void on_emit(Nanos now, std::size_t node, const PersistBatch& batch);
  void on_step(Nanos now, std::size_t node, const SoftState& soft, const CoreView& view);
  void on_send(std::size_t node, const Message& message);
  void on_hard_state(std::size_t node, const HardState& before, const HardState& now);
  void on_durable(Nanos now, std::size_t node, const PersistBatch& batch);
  void on_apply(std::size_t node, const Entry& entry, const MachineState& state);
  // A state was made from, or becomes, this snapshot.
  void check_snapshot(const StoredSnapshot& snapshot) const;

  Index committed() const { return Index(committed_.size()); }
  std::uint64_t committed_chain(Index index) const { return committed_[index.value - 1].chain; }
  const LogImage& written(std::size_t node) const { return nodes_[node].log; }
  // The node that leads in the highest term anybody led in, if it still does; else none.
  std::optional<std::size_t> leader() const;
  Term highest_term() const { return highest_term_; }
  std::uint64_t elections() const { return elections_; }
  bool leads(std::size_t node) const { return nodes_[node].role == Role::Leader; }
  const SharedConfiguration& committed_configuration() const { return committed_configuration_; }

 private:
  struct Emitted {
    WriteId id;
    Term term;  // of the node
    Index last;
    Term last_term;
  };
  struct Asked {
    std::uint64_t round = 0;
    Nanos at = 0;
    Index last;
    Term last_term;
  };
  struct Node {
    std::deque<Asked> asked;  // its last questions for pre-votes
    HardState at_start;       // as found on disk
    Nanos log_changed = 0;
    bool lost = false;                                 // entries that it had acknowledged
    std::vector<std::pair<Index, std::uint64_t>> cut;  // in this life, with what they followed
    const Disk* disk = nullptr;
    const Clock* clock = nullptr;
    LogImage log;  // as written by this life
    HardState hard;
    std::optional<LogBase> installing;  // written, not yet durable
    WriteId durable_write{};
    std::deque<Emitted> emitted;
    Role role = Role::Follower;
    Term role_term{};
    Index commit{}, applied{}, durable_applied{};
    Nanos lease = 0;  // in true time
    Term lease_term{};
    bool alive = false;
  };
  struct Committed {
    Term term;
    std::uint64_t chain;
    Term by;           // of the leader that committed it
    bool application;  // and not one of Raft itself
  };
  struct Reign {
    NodeId leader{};
    SharedConfiguration configuration;
    std::vector<Index> accepted;  // by node: durable entries of this term
    std::vector<NodeId> granted;  // by node: whom it sent its vote
    bool split = false;
  };

  Reign& reign(Term term);
  void note_chain(const Held& held);
  void cut(Node& node, std::size_t place, Index from);
  void finish_install(Node& node);
  void evaluate(Nanos now, Term term);
  void extend(Nanos now, Index upto, Term by);
  void check_leader(std::size_t place, Term term);
  void check_lease(Nanos now, std::size_t place, const SoftState& soft);
  void check_configuration(std::size_t place, Index index);
  void check_vote(std::size_t place, const Message& message, const VoteReply& reply);
  void check_pre_vote(std::size_t place, const Message& message, const PreVoteReply& reply);
  void note_split(Term term);
  void check_append_reply(std::size_t place, const Message& message, const AppendReply& reply);

  History& history_;
  Marks& marks_;
  bool black_ = false;
  Nanos now_ = 0;  // of the newest step
  std::vector<Node> nodes_;
  std::vector<Committed> committed_;
  SharedConfiguration committed_configuration_;
  std::map<Term, Reign> reigns_;
  // Per index: the histories that ever ended there, one a term (I4).
  std::vector<std::vector<std::pair<Term, std::uint64_t>>> chains_;
  std::vector<std::uint64_t> digests_;  // of the state, by index; 0: not applied anywhere yet
  Term highest_term_{};
  std::uint64_t elections_ = 0;
};

}  // namespace fyr::raft::sim
