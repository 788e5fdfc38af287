// Inputs and outputs of the core, writes, compaction.
#include "raft/core.h"

#include <algorithm>

#include "base/check.h"
#include "raft/mutation.h"
#include "raft/quorum.h"

namespace fyr::raft {
namespace {

// No other voter in any configuration that is still known: nobody a promise could be made to.
bool always_alone(const RecoveredState& recovered, NodeId self) {
  const auto alone = [self](const Configuration& c) {
    return !c.is_joint() && std::ranges::all_of(c.voters, [self](NodeId id) { return id == self; });
  };
  const Configuration& newest = recovered.configurations.empty()
                                    ? recovered.base.configuration
                                    : recovered.configurations.back().second;
  return !newest.voters.empty() && alone(recovered.base.configuration) &&
         std::ranges::all_of(recovered.configurations,
                             [&](const auto& known) { return alone(known.second); });
}

// No leader of a later term than a founder's was ever heard, so none was followed.
bool never_took_part(const RecoveredState& recovered) {
  return !recovered.ever_voted && recovered.last == Index{} && recovered.hard.term <= Term(1) &&
         recovered.hard.voted_for == NodeId{};
}

}  // namespace

Core::Core(const CoreConfig& config, RecoveredState recovered, std::uint64_t seed)
    : config_(config),
      random_(seed),
      hard_(recovered.hard),
      durable_hard_(recovered.hard),
      alone_since_(recovered.alone_since),
      promised_nothing_(always_alone(recovered, config.self) || never_took_part(recovered)),
      log_(recovered.base.index, recovered.base.term, std::move(recovered.runs), recovered.last),
      retention_(config.retention, recovered.base.index),
      commit_(std::max(recovered.base.index, recovered.applied)),
      applied_(commit_),
      durable_applied_(recovered.durable_applied),
      handed_(commit_),
      unapplied_from_(recovered.last.next()),
      quarantine_(recovered.quarantine) {
  CHECK(config_.self.value != 0);
  CHECK(recovered.applied <= recovered.last);
  CHECK(recovered.durable_applied <= recovered.applied);
  CHECK(log_.last_term() <= hard_.term);
  configurations_.emplace_back(recovered.base.index, std::move(recovered.base.configuration));
  for (auto& [index, configuration] : recovered.configurations) {
    CHECK(index > configurations_.back().first && index <= log_.last());
    configurations_.emplace_back(index, std::move(configuration));
  }
  // With that entry the log holds all before it as they were committed.
  const LogPosition known = recovered.committed;
  if (!quarantine_ && known.index > commit_ && known.index <= log_.last() &&
      log_.term_at(known.index) == known.term) {
    commit_ = known.index;
  }
  Index index = recovered.base.index;
  for (const std::uint64_t bytes : recovered.entry_bytes) {
    index = index.next();
    retention_.appended(index, bytes);
  }
  CHECK(index == log_.last());
  configuration_changed();
}

// ---- inputs -----------------------------------------------------------------------------------

void Core::advance(Instant now) {
  const bool first = now_ == Instant::min();
  if (now < now_) {
    ++clock_steps_back_;
  } else {
    now_ = now;
  }
  if (first) {
    // What was promised before the start is not known any more (raft.md §5, "Promise").
    const bool free = promised_nothing_ || mutated(Mutation::M22);
    const Instant since = alone_since_ == Instant::min() ? now_ : std::min(alone_since_, now_);
    promise_until_ = free ? Instant::min() : since + config_.election_min;
    election_at_ = decides_alone() ? now_ : now_ + election_timeout();
    if (!free) {
      eager_until_ = promise_until_ + config_.election_min / 2;
      hasten_election();
    }
  }
  disk_.observe(now_);
  check_quorum();
}

void Core::on_time(Instant now) {
  advance(now);
  consider_election();
  watch_disk();
  consider_transfer();
  if (role_ == Role::Leader && !peers_.empty()) {
    if (beat_at_ <= now_) {
      beat();
    } else if (notice_at_ && *notice_at_ <= now_) {
      for (Progress& peer : peers_) {
        if (peer.told_commit < std::min(announced(), peer.match)) send_heartbeat(peer);
      }
      notice_at_.reset();
    }
  }
  expire_reads();
}

void Core::propose(Instant now, std::span<const Proposal> proposals) {
  advance(now);
  for (const Proposal& proposal : proposals) {
    ProposalResult result{.id = proposal.id, .refused = refusal(proposal)};
    if (!result.refused) {
      append(proposal.type, proposal.data);
      result.term = hard_.term;
      result.index = log_.last();
    }
    results_.push_back(std::move(result));
  }
}

void Core::on_written(Instant now, WriteId upto) {
  advance(now);
  CHECK(upto < next_write_);
  disk_.done(upto, now_);
  while (!hard_writes_.empty() && hard_writes_.front().first <= upto) {
    durable_hard_ = hard_writes_.front().second;
    hard_writes_.pop_front();
  }
  log_.on_written(upto);
  if (installing_ && installing_->write != WriteId{} && installing_->write <= upto) installed();
  if (founding_ && log_.durable() >= Index(1)) {
    changes_.emplace_back(*founding_, std::nullopt);
    founding_.reset();
  }
  if (quarantine_ends_ != WriteId{} && quarantine_ends_ <= upto) {
    quarantine_ends_ = WriteId{};
    quarantine_.reset();
  }
  end_quarantine_if_whole();
  count_votes();
  advance_commit();
}

void Core::on_applied(Instant now, Index applied, Index durable_applied) {
  advance(now);
  CHECK(applied <= handed_ && applied >= applied_);
  CHECK(durable_applied <= applied && durable_applied >= durable_applied_);
  while (!unapplied_.empty() && unapplied_from_ <= applied) {
    unapplied_bytes_ -= unapplied_.front();
    unapplied_.pop_front();
    unapplied_from_ = unapplied_from_.next();
  }
  applied_ = applied;
  durable_applied_ = durable_applied;
  if (activating_ <= applied_) activating_ = Index{};
  consider_install();
  grant_reads();
  consider_compaction();
}

void Core::on_message(Instant now, Message message) {
  advance(now);
  if (!admit(message)) return;
  std::visit([&](auto& body) { handle(message, body); }, message.body);
}

// False: of an earlier life of the sender or of ours (raft.md §1; R7), or not for us at all.
bool Core::admit(const Message& message) {
  if (message.to != config_.self || message.from == config_.self || message.from == NodeId{}) {
    ++protocol_errors_;
    return false;
  }
  if (message.to_incarnation != 0 && message.to_incarnation != config_.incarnation) return false;
  constexpr std::size_t kRemembered = 256;
  const auto known = incarnations_.find(message.from);
  if (known != incarnations_.end()) {
    if (message.from_incarnation < known->second) return false;
    known->second = message.from_incarnation;
  } else if (incarnations_.size() < kRemembered) {
    incarnations_.emplace(message.from, message.from_incarnation);
  }
  return true;
}

void Core::on_link(Instant now, NodeId id, LinkState state) {
  advance(now);
  if (Progress* known = peer(id)) {
    if (state == LinkState::Up) {
      known->probing = false;
    } else if (known->state == Progress::State::Replicate) {
      known->probe(known->match.next());  // what was under way is lost
      known->probing = true;              // until it answers or is there again
      known->probe_round = rounds_.current();
    }
  }
  // Nobody promised anything in a cluster that was founded this moment: no need to wait.
  if (state == LinkState::Up && founded_ && hard_.term == Term(1)) {
    election_at_ = std::min(election_at_, now_);
  }
  if (state == LinkState::Reset && id == leader_ && role_ == Role::Follower) hasten_election();
}

void Core::on_digest(Instant now, Index check, std::uint64_t digest) {
  advance(now);
  check_ = check;
  digest_ = digest;
}

void Core::on_disk_low(Instant now, bool low) {
  advance(now);
  disk_.set_low(low);
  watch_disk();
}

// ---- outputs ----------------------------------------------------------------------------------

Outputs Core::take() {
  consider_transfer();
  register_reads();
  forward_reads();
  replicate();
  plan_commit_notice();
  trim_cache();
  round_is_new_ = false;
  Outputs out;
  out.persist.swap(pending_);
  out.send.swap(sends_);
  out.fetch.swap(fetches_);
  out.make_snapshot = std::exchange(make_snapshot_, false);
  out.fetch_snapshot.swap(fetch_snapshot_);
  out.drop_snapshot = std::exchange(drop_snapshot_, false);
  out.activate = std::exchange(activate_, std::nullopt);
  const Index ready = std::min(commit_, log_.durable());  // D5
  if (ready > handed_ && !installing_) {
    out.apply = IndexRange{handed_.next(), ready};
    handed_ = ready;
  }
  out.results.swap(results_);
  out.changes.swap(changes_);
  out.transfers.swap(transfers_);
  out.reads.swap(grants_);
  out.compact.swap(compact_);
  out.flush_state = std::exchange(flush_state_, false);
  out.soft = soft();
  out.wake_at = wake_at();
  return out;
}

PersistBatch& Core::batch() {
  return pending_.empty() ? new_batch() : pending_.back();
}

PersistBatch& Core::new_batch() {
  pending_.push_back({});
  pending_.back().id = next_write_;
  disk_.asked(next_write_, now_);
  next_write_ = next_write_.next();
  return pending_.back();
}

void Core::write_hard(HardState hard) {
  hard_ = hard;
  if (mutated(Mutation::M02) && hard.voted_for == NodeId{}) return;
  PersistBatch& write = batch();
  write.hard = hard;
  if (!hard_writes_.empty() && hard_writes_.back().first == write.id) hard_writes_.pop_back();
  hard_writes_.emplace_back(write.id, hard);
}

// D1: nothing that carries our term leaves before a write that holds it.
WriteId Core::write_of_term() const {
  if (durable_hard_.term >= hard_.term) return WriteId{};
  for (const auto& [id, hard] : hard_writes_) {
    if (hard.term >= hard_.term) return id;
  }
  CHECK_MSG(mutated(Mutation::M02), "the term was never written");
  return WriteId{};
}

void Core::send(NodeId to, MessageBody body, WriteId after, std::uint64_t to_incarnation) {
  Message message;
  message.from = config_.self;
  message.to = to;
  message.from_incarnation = config_.incarnation;
  message.to_incarnation = to_incarnation;
  message.term = hard_.term;
  message.body = std::move(body);
  const bool early = (mutated(Mutation::M01) && std::holds_alternative<VoteReply>(message.body)) ||
                     (mutated(Mutation::M03) && std::holds_alternative<Vote>(message.body));
  if (early) after = WriteId{};
  sends_.push_back({std::move(message), early ? after : std::max(after, write_of_term())});  // D1
}

void Core::reply(const Message& to, MessageBody body, WriteId after) {
  send(to.from, std::move(body), after, to.from_incarnation);
}

// ---- compaction -------------------------------------------------------------------------------

void Core::consider_compaction() {
  if (installing_ || activating_ != Index{}) return;
  std::optional<Index> excess = retention_.excess();
  // A peer that fetches a snapshot shall be able to go on from the log behind it.
  if (excess && retention_.bytes() <= config_.log_hard_cap) {
    excess = std::min(*excess, pinned_from());
  }
  const Member* self = configuration().find(config_.self);
  if (self != nullptr && self->kind == MemberKind::Witness) {
    // It keeps what some data server may lack; the other limits are for them.
    const Index known = role_ == Role::Leader ? held_by_all() : held_by_all_;
    const bool enough = known.value > log_.base().value + config_.retention.step_entries / 10;
    if (!excess || known < *excess) excess = enough ? std::optional<Index>(known) : std::nullopt;
  }
  if (!excess || *excess > applied_ || *excess <= log_.base()) return;
  if (*excess <= durable_applied_ || mutated(Mutation::M26)) {
    compact(*excess);  // D7
  } else if (flush_asked_ < *excess) {
    flush_asked_ = applied_;
    flush_state_ = true;
  }
}

void Core::compact(Index index) {
  CHECK(index <= durable_applied_ || mutated(Mutation::M26));
  CHECK(index <= log_.durable());
  while (configurations_.size() > 1 && configurations_[1].first <= index) {
    configurations_.pop_front();
  }
  compact_ = LogBase{index, *log_.term_at(index), configurations_.front().second};
  log_.compact(index);
  retention_.compacted(index);
}

// What is applied here and held by everybody need not stay in memory; of the rest, a budget.
void Core::trim_cache() {
  const bool alone = configuration().members.size() <= 1;
  Index done = applied_;
  for (const Progress& peer : peers_) done = std::min(done, peer.match);
  if (alone || role_ == Role::Leader) log_.release(done);
  const std::size_t budget = role_ == Role::Leader ? config_.cache_bytes : config_.cache_bytes / 16;
  log_.release(applied_, budget);
  // The state machine reads the rest from disk if it is so far behind.
  if (!alone) log_.release(log_.durable(), config_.cache_bytes);
}

// ---- views ------------------------------------------------------------------------------------

std::optional<Instant> Core::wake_at() const {
  if (now_ == Instant::min()) return now_;  // no timer runs before the first input
  std::optional<Instant> out = election_due();
  const auto add = [&out](Instant at) { out = out ? std::min(*out, at) : at; };
  if (!reads_.empty()) add(reads_.front().deadline);
  if (!asked_reads_.empty()) add(asked_reads_.front().deadline);
  if (role_ == Role::Leader && !peers_.empty()) {
    add(beat_at_);  // check-quorum, offers, stalls and transfers are looked at with each beat
    if (notice_at_) add(*notice_at_);
  }
  if (transferred_) add(transferred_->deadline);
  if (read_replied_ < read_sequence_ && role_ != Role::Leader && leader_ != NodeId{}) {
    add(read_asked_ + 3 * config_.heartbeat);
  }
  return out;
}

Index Core::wanted_applied() const {
  if (leads_with_commit() && applied_ < first_own_) return first_own_;
  // Followers wait for what we announce.
  if (role_ == Role::Leader && !peers_.empty() && applied_ < commit_) return applied_.next();
  if (!reads_.empty() && reads_.front().index != Index{}) return reads_.front().index;
  return Index(~std::uint64_t{0});
}

SoftState Core::soft() const {
  SoftState out;
  out.role = role_;
  out.term = hard_.term;
  out.leader = leader_;
  out.commit = commit_;
  out.applied = applied_;
  out.last = log_.last();
  out.durable = log_.durable();
  out.readable_until = readable_until();
  out.leader_contact = leader_contact_;
  out.quarantined = quarantine_.has_value();
  out.transferring = transfer_.has_value();
  return out;
}

std::vector<PeerStatus> Core::peers() const {
  std::vector<PeerStatus> out;
  for (const Progress& peer : peers_) {
    out.push_back({.id = peer.id,
                   .match = peer.match,
                   .last_contact = peer.contact,
                   .snapshot = peer.state == Progress::State::Snapshot,
                   .quarantined = peer.quarantined,
                   .regressed = peer.regressed,
                   .disk = peer.disk,
                   .check = peer.check,
                   .digest = peer.digest});
  }
  return out;
}

CoreView Core::view() const {
  CoreView out;
  out.role = role_;
  out.hard = hard_;
  out.durable_hard = durable_hard_;
  out.leader = leader_;
  out.base = log_.base();
  out.last = log_.last();
  out.durable = log_.durable();
  out.commit = commit_;
  out.applied = applied_;
  out.durable_applied = durable_applied_;
  out.handed = handed_;
  out.last_term = log_.last_term();
  out.runs.assign(log_.runs().begin(), log_.runs().end());
  out.unapplied_bytes = unapplied_bytes_;
  out.waiting_reads = reads_.size() + asked_reads_.size();
  out.clock_steps_back = clock_steps_back_;
  out.protocol_errors = protocol_errors_;
  out.promise_until = promise_until_;
  out.readable_until = readable_until();
  out.activating = activating_;
  out.first_own = first_own_;
  out.configuration = configurations_.back().first;
  out.quarantined = quarantine_.has_value();
  out.installing = installing_.has_value();
  out.pre_campaigning = pre_.has_value();
  out.transferring = transfer_.has_value();
  return out;
}

}  // namespace fyr::raft
