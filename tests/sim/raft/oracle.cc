#include "tests/sim/raft/oracle.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::raft::sim {
namespace {

std::string name(std::size_t place) {
  return "n" + std::to_string(place + 1);
}
std::string text(Index index) {
  return std::to_string(index.value);
}

// By definition and not by raft/quorum.h: the highest index that more than half have reached.
Index reached_by_majority(const std::vector<NodeId>& voters, const std::vector<Index>& of) {
  std::vector<Index> sorted;
  for (const NodeId id : voters) sorted.push_back(of[id.value - 1]);
  std::ranges::sort(sorted);
  // With n values, the one at (n - 1) / 2 has n / 2 + 1 at or above it.
  return sorted.empty() ? Index{} : sorted[(sorted.size() - 1) / 2];
}

}  // namespace

void Oracle::add_node(const Disk& disk, const Clock& clock) {
  nodes_.emplace_back();
  nodes_.back().disk = &disk;
  nodes_.back().clock = &clock;
}

void Oracle::bootstrapped(const Held& first) {
  committed_.push_back({first.entry.term, first.chain, first.entry.term, false});
  committed_configuration_ =
      std::make_shared<const Configuration>(*decode_configuration(*first.entry.data));
  note_chain(first);
}

void Oracle::on_start(std::size_t place) {
  Node& node = nodes_[place];
  const Disk& disk = *node.disk;
  const Index before = node.applied;
  const Index kept = node.durable_applied;
  const Clock& clock = *node.clock;
  const bool lost = node.lost;
  node = {};
  node.lost = lost;
  node.disk = &disk;
  node.clock = &clock;
  node.alive = true;
  node.log = disk.log();
  node.log.forget_writes();
  node.hard = node.at_start = disk.hard();
  const Index applied = disk.durable_state().applied;
  if (applied < kept) broken("I9", name(place) + ": durable state fell while it was dead");
  CHECK(applied <= std::max(before, applied));
  node.commit = node.applied = node.durable_applied = applied;
  if (node.log.last_term() > node.hard.term) {
    broken("I10", name(place) + ": the log on disk is of a later term than the hard state");
  }
  if (applied < node.log.base()) broken("I10", name(place) + ": the log begins behind the state");
}

void Oracle::on_crash(std::size_t place) {
  Node& node = nodes_[place];
  node.alive = false;
  node.role = Role::Follower;
  node.lease = 0;
}

void Oracle::on_loss(std::size_t place) {
  nodes_[place].lost = true;
}

bool Oracle::damaged() const {
  return std::ranges::any_of(nodes_, &Node::lost);
}

std::optional<std::size_t> Oracle::leader() const {
  const auto found = reigns_.find(highest_term_);
  if (found == reigns_.end() || found->second.leader == NodeId{}) return std::nullopt;
  const std::size_t place = found->second.leader.value - 1;
  if (nodes_[place].role != Role::Leader || nodes_[place].role_term != highest_term_) {
    return std::nullopt;
  }
  return place;
}

Oracle::Reign& Oracle::reign(Term term) {
  Reign& at = reigns_[term];
  if (at.accepted.size() < nodes_.size()) {
    at.accepted.resize(nodes_.size());
    at.granted.resize(nodes_.size());
  }
  return at;
}

// I4: equal (index, term), equal history.
void Oracle::note_chain(const Held& held) {
  const std::size_t at = held.entry.index.value;
  if (chains_.size() <= at) chains_.resize(at + 64);
  for (const auto& [term, chain] : chains_[at]) {
    if (term != held.entry.term) continue;
    if (chain != held.chain) {
      broken("I4", "two histories end in (" + text(held.entry.index) + ", term " +
                       std::to_string(term.value) + ")");
    }
    return;
  }
  chains_[at].emplace_back(held.entry.term, held.chain);
}

void Oracle::on_role(Nanos now, std::size_t place, const SoftState& soft) {
  Node& node = nodes_[place];
  now_ = now;
  if (soft.role == Role::Leader && (node.role != Role::Leader || node.role_term != soft.term)) {
    Reign& at = reign(soft.term);
    if (at.leader != NodeId{}) {
      broken("I1", name(at.leader.value - 1) + " and " + name(place) + " both led in term " +
                       std::to_string(soft.term.value));
    }
    at.leader = NodeId(place + 1);
    at.configuration = node.log.configuration().second;
    highest_term_ = std::max(highest_term_, soft.term);
    ++elections_;
    marks_.hit(Mark::ElectionWon);
    node.role = soft.role;
    node.role_term = soft.term;
    if (at.configuration->is_joint()) marks_.hit(Mark::JointInherited);
    const Member* self = at.configuration->find(NodeId(place + 1));
    if (self != nullptr && self->priority == 0) marks_.hit(Mark::PriorityZeroLeads);
    check_leader(place, soft.term);
    evaluate(now, soft.term);
  } else if (node.role == Role::Leader && soft.role != Role::Leader) {
    marks_.hit(Mark::StepDown);
  }
  node.role = soft.role;
  node.role_term = soft.term;
}

// I5: whatever an earlier leader committed is in the log of a new one.
void Oracle::check_leader(std::size_t place, Term term) {
  const Node& node = nodes_[place];
  // Figure 8: an old entry on a majority is not committed by being there.
  const std::uint64_t tail = node.log.last() > committed() ? node.log.chain_at(node.log.last()) : 0;
  const auto holds = [&](NodeId id) {
    const LogImage& log = nodes_[id.value - 1].disk->log();
    return tail != 0 && log.chain_at(node.log.last()) == tail;
  };
  const auto& voters = reign(term).configuration->voters;
  if (static_cast<std::size_t>(std::ranges::count_if(voters, holds)) > voters.size() / 2) {
    marks_.hit(Mark::OldTermOnMajority);
  }
  const auto later = std::ranges::lower_bound(committed_, term, {}, &Committed::by);
  const Index last(static_cast<std::uint64_t>(later - committed_.begin()));
  if (last == Index{} || last <= node.log.base()) return;
  if (node.log.chain_at(last) != committed_[last.value - 1].chain) {
    broken("I5", name(place) + " leads in term " + std::to_string(term.value) +
                     " without committed entry " + text(last));
  }
}

void Oracle::cut(Node& node, std::size_t place, Index from) {
  if (from <= committed() && from > node.log.base() && from <= node.log.last() &&
      node.log.chain_at(from) == committed_[from.value - 1].chain) {
    broken("I7", name(place) + " cuts committed entry " + text(from) + " from its log");
  }
  if (node.role == Role::Leader && node.role_term == node.hard.term) {
    broken("I3", name(place) + " cuts its log while it leads");
  }
  marks_.hit(Mark::ConflictTruncation);
  if (node.log.term_at(from) != node.log.last_term()) marks_.hit(Mark::ConflictOverTwoTerms);
  if (node.log.configuration().first >= from && node.log.configuration().second->is_joint()) {
    marks_.hit(Mark::JointTruncated);
  }
  if (node.cut.size() > 64) node.cut.clear();
  for (Index i = from; i <= node.log.last() && i.value < from.value + 16; i = i.next()) {
    node.cut.emplace_back(i, node.log.chain_at(i));
  }
  node.log.truncate_from(from);
}

void Oracle::on_emit(Nanos now, std::size_t place, const PersistBatch& batch) {
  Node& node = nodes_[place];
  if (batch.hard) {
    if (batch.hard->term < node.hard.term) broken("I9", name(place) + ": the term fell");
    if (batch.hard->term == node.hard.term && node.hard.voted_for != NodeId{} &&
        batch.hard->voted_for != node.hard.voted_for) {
      broken("I2",
             name(place) + " changed its vote in term " + std::to_string(batch.hard->term.value));
    }
    node.hard = *batch.hard;
  }
  if (batch.install) {
    if (batch.install->index > committed()) broken("I16", "a snapshot of uncommitted entries");
    node.installing = batch.install;
  }
  if (!batch.entries.empty() || batch.truncate_from != Index{}) node.log_changed = now;
  if (batch.truncate_from != Index{}) cut(node, place, batch.truncate_from);
  bool configured = false;
  for (const Entry& entry : batch.entries) {
    const Held& held = node.log.append(entry, batch.id);
    note_chain(held);
    if (!node.cut.empty() && std::ranges::count(node.cut, std::pair{entry.index, held.chain}) > 0) {
      marks_.hit(Mark::AppendedTwice);
    }
    if (entry.type != EntryType::Config) continue;
    configured = true;
    check_configuration(place, entry.index);
  }
  node.emitted.push_back({batch.id, node.hard.term, node.log.last(), node.log.last_term()});
  if (configured && node.role == Role::Leader) {
    reign(node.role_term).configuration = node.log.configuration().second;
    evaluate(now, node.role_term);
  }
}

// The core takes an install for done once it is durable; nothing is appended before.
void Oracle::finish_install(Node& node) {
  const LogBase base = *node.installing;
  node.installing.reset();
  const Index last = node.log.last();
  const bool had = node.log.holds(base.index);
  node.log.install(base, committed_[base.index.value - 1].chain);
  marks_.hit(Mark::SnapshotInstalled);
  if (had)
    marks_.hit(node.log.last() == last ? Mark::SnapshotKeptSuffix : Mark::SnapshotOverConflict);
}

void Oracle::on_hard_state(std::size_t place, const HardState& before, const HardState& now) {
  if (now.term < before.term) broken("I9", name(place) + ": the durable term fell");
  if (now.term == before.term && before.voted_for != NodeId{} &&
      now.voted_for != before.voted_for) {
    broken("I2", name(place) + ": the durable vote changed within a term");
  }
}

void Oracle::on_durable(Nanos now, std::size_t place, const PersistBatch& batch) {
  Node& node = nodes_[place];
  CHECK(!node.emitted.empty() && node.emitted.front().id == batch.id);
  const Emitted emitted = node.emitted.front();
  node.emitted.pop_front();
  node.durable_write = batch.id;
  if (batch.end_quarantine && node.lost) {
    node.lost = false;
    marks_.hit(Mark::QuarantineEnded);
  }
  if (emitted.last_term != emitted.term) return;
  Reign& at = reign(emitted.term);
  if (at.accepted[place] >= emitted.last) return;
  at.accepted[place] = emitted.last;
  if (at.leader != NodeId{}) evaluate(now, emitted.term);
}

void Oracle::evaluate(Nanos now, Term term) {
  const Reign& at = reigns_.at(term);
  const Configuration& in_force = *at.configuration;
  Index reached = reached_by_majority(in_force.voters, at.accepted);
  if (in_force.is_joint()) {
    reached = std::min(reached, reached_by_majority(in_force.outgoing, at.accepted));
  }
  if (reached <= committed()) return;
  if (at.accepted[at.leader.value - 1] < reached) marks_.hit(Mark::CommitWithoutLeaderDisk);
  extend(now, reached, term);
}

void Oracle::extend(Nanos now, Index upto, Term by) {
  const LogImage* source = nullptr;
  for (const Node& node : nodes_) {
    const LogImage& log = node.disk->log();
    if (log.term_at(upto) == by && log.base() <= committed()) source = &log;
  }
  CHECK_MSG(source != nullptr, "nobody holds what is committed");
  if (source->chain_at(committed()) != committed_.back().chain) {
    broken("I7", "a majority holds entry " + text(upto) + " of term " + std::to_string(by.value) +
                     " without committed entry " + text(committed()));
  }
  for (Index i = committed().next(); i <= upto; i = i.next()) {
    const Held& held = source->at(i);
    committed_.push_back({held.entry.term, held.chain, by, held.entry.type == EntryType::App});
    if (held.entry.type == EntryType::App) {
      history_.committed(decode(*held.entry.data).attempt, i);
    } else if (held.entry.type == EntryType::Config) {
      committed_configuration_ = source->configuration_at(i);
      if (!committed_configuration_->is_joint()) marks_.hit(Mark::JointLeft);
    }
  }
  // I14: nobody may still hold a lease of an earlier term.
  for (std::size_t place = 0; place < nodes_.size(); ++place) {
    const Node& node = nodes_[place];
    if (node.alive && node.lease > now && node.lease_term < by) {
      broken("I14", name(place) + " holds a lease of term " +
                        std::to_string(node.lease_term.value) + " while term " +
                        std::to_string(by.value) + " commits");
    }
  }
}

void Oracle::on_step(Nanos now, std::size_t place, const SoftState& soft, const CoreView& view) {
  Node& node = nodes_[place];
  const auto fail_if = [&](bool bad, const char* rule, const char* what) {
    if (bad) broken(rule, name(place) + ": " + what);
  };
  if (node.installing && view.base >= node.installing->index) finish_install(node);
  fail_if(!black_ && view.hard != node.hard, "D1", "changed its hard state without writing it");
  fail_if(view.last != node.log.last() || view.last_term != node.log.last_term(), "I10",
          "its log is not what it wrote");
  fail_if(view.base > std::max(view.durable_applied, view.activating), "I10",
          "the log was cut above the durable state");
  fail_if(view.durable_applied > view.applied, "I10", "durable_applied > applied");
  fail_if(view.applied > view.commit, "I10", "applied > commit");
  fail_if(view.commit > view.last, "I10", "commit > last");
  fail_if(view.handed > view.commit || view.handed > view.durable, "D5",
          "handed out entries that are not committed and durable");
  fail_if(!black_ && view.durable > node.log.base() &&
              node.log.at(view.durable).write > node.durable_write,
          "I11", "counts an entry as durable that is not, as now written");
  fail_if(view.commit < node.commit, "I9", "commit fell");
  fail_if(view.applied < node.applied, "I9", "applied fell");
  fail_if(view.durable_applied < node.durable_applied, "I9", "durable_applied fell");
  if (view.commit > node.commit) {
    fail_if(view.commit > committed(), "I6", "commits what no majority holds");
    fail_if(node.log.chain_at(view.commit) != committed_[view.commit.value - 1].chain, "I6",
            "commits another entry than the committed one");
  }
  node.commit = view.commit;
  node.applied = view.applied;
  node.durable_applied = view.durable_applied;
  check_lease(now, place, soft);
}

void Oracle::check_lease(Nanos now, std::size_t place, const SoftState& soft) {
  Node& node = nodes_[place];
  node.lease = soft.readable_until == Instant::min() ? 0 : node.clock->when(soft.readable_until);
  node.lease_term = soft.term;
  if (node.lease <= now) return;
  if (!committed_.empty() && committed_.back().by > soft.term) {
    broken("I14", name(place) + " holds a lease of term " + std::to_string(soft.term.value) +
                      " although term " + std::to_string(committed_.back().by.value) +
                      " has committed");
  }
  for (std::size_t other = 0; other < nodes_.size(); ++other) {
    if (other == place || !nodes_[other].alive || nodes_[other].lease <= now) continue;
    broken("I14", name(place) + " and " + name(other) + " hold leases at once");
  }
}

// I8: everybody applies the committed entry, and then has the same state.
void Oracle::on_apply(std::size_t place, const Entry& entry, const MachineState& state) {
  if (entry.index > committed() || committed_[entry.index.value - 1].term != entry.term) {
    broken("I8", name(place) + " applies entry " + text(entry.index) + " which is not committed");
  }
  const std::size_t at = entry.index.value;
  if (digests_.size() <= at) digests_.resize(at + 64);
  if (digests_[at] == 0) digests_[at] = state.digest;
  if (digests_[at] != state.digest) {
    broken("I8", name(place) + ": another state than others at entry " + text(entry.index));
  }
}

void Oracle::check_snapshot(const StoredSnapshot& snapshot) const {
  const Index index = snapshot.meta.index;
  if (index > committed()) broken("I16", "a snapshot of uncommitted entries");
  if (committed_[index.value - 1].term != snapshot.meta.term) {
    broken("I16", "a snapshot with the wrong term");
  }
  const Index applied = snapshot.state->applied;
  if (applied > index) broken("I16", "a snapshot holds more than its index says");
  if (applied != Index{} && digests_[applied.value] != snapshot.state->digest) {
    broken("I16", "a snapshot with another content");
  }
  // Every application entry up to its index must be in it.
  for (Index i = applied.next(); i <= index; i = i.next()) {
    if (committed_[i.value - 1].application) {
      broken("I16", "a snapshot at " + text(index) + " lacks entry " + text(i));
    }
  }
}

}  // namespace fyr::raft::sim
