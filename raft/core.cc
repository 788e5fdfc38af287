#include "raft/core.h"

#include <algorithm>

#include "base/check.h"
#include "raft/quorum.h"

namespace fyr::raft {

Core::Core(const CoreConfig& config, RecoveredState recovered, std::uint64_t)
    : config_(config),
      hard_(recovered.hard),
      durable_hard_(recovered.hard),
      log_(recovered.base.index, recovered.base.term, std::move(recovered.runs), recovered.last),
      retention_(config.retention, recovered.base.index),
      commit_(std::max(recovered.base.index, recovered.applied)),
      applied_(commit_),
      durable_applied_(recovered.durable_applied),
      handed_(commit_) {
  CHECK(config_.self.value != 0);
  CHECK(recovered.applied <= recovered.last);
  CHECK(recovered.durable_applied <= recovered.applied);
  CHECK(log_.last_term() <= hard_.term);
  configurations_.emplace_back(recovered.base.index, std::move(recovered.base.configuration));
  for (auto& [index, configuration] : recovered.configurations) {
    CHECK(index > configurations_.back().first && index <= log_.last());
    configurations_.emplace_back(index, std::move(configuration));
  }
  Index index = recovered.base.index;
  for (const std::uint64_t bytes : recovered.entry_bytes) {
    index = index.next();
    retention_.appended(index, bytes);
  }
  CHECK(index == log_.last());
}

// ---- inputs -----------------------------------------------------------------------------------

void Core::on_time(Instant now) {
  advance(now);
  if (role_ == Role::Follower && decides_alone()) campaign();
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

void Core::read(Instant now, const ReadRequest& request) {
  advance(now);
  // Every write that anybody was told about is applied here: nothing to wait for.
  if (request.mode == ReadMode::Default && now_ < readable_until()) {
    grants_.push_back({.id = request.id, .refused = {}, .index = applied_});
    return;
  }
  if (reads_.size() >= config_.max_waiting_reads) {
    grants_.push_back({.id = request.id,
                       .refused = fail(ErrorCode::ResourceExhausted, "too many waiting reads"),
                       .index = {}});
    return;
  }
  reads_.push_back({request, now_ + config_.read_wait, Index{}});
  register_reads();
  grant_reads();
}

void Core::on_written(Instant now, WriteId upto) {
  advance(now);
  CHECK(upto < next_write_);
  while (!hard_writes_.empty() && hard_writes_.front().first <= upto) {
    durable_hard_ = hard_writes_.front().second;
    hard_writes_.pop_front();
  }
  log_.on_written(upto);
  count_votes();
  advance_commit();
}

void Core::on_applied(Instant now, Index applied, Index durable_applied) {
  advance(now);
  CHECK(applied <= handed_ && applied >= applied_);
  CHECK(durable_applied <= applied && durable_applied >= durable_applied_);
  if (applied > applied_) {
    unapplied_bytes_ -= log_.cached_cost({applied_.next(), applied});
    applied_ = applied;
    log_.release(applied_);  // nobody else reads entries of a sole voter
  }
  durable_applied_ = durable_applied;
  grant_reads();
  consider_compaction();
}

Outputs Core::take() {
  Outputs out;
  out.persist.swap(pending_);
  const Index ready = std::min(commit_, log_.durable());  // D5
  if (ready > handed_) {
    out.apply = IndexRange{handed_.next(), ready};
    handed_ = ready;
  }
  out.results.swap(results_);
  out.reads.swap(grants_);
  out.compact.swap(compact_);
  out.flush_state = std::exchange(flush_state_, false);
  out.soft = soft();
  out.wake_at = wake_at();
  return out;
}

// ---- elections --------------------------------------------------------------------------------

void Core::advance(Instant now) {
  if (now < now_) {
    ++clock_steps_back_;
  } else {
    now_ = now;
  }
}

bool Core::decides_alone() const {
  return quorum_agrees(configuration(), [this](NodeId id) { return id == config_.self; });
}

void Core::campaign() {
  role_ = Role::Candidate;
  leader_ = NodeId{};
  votes_.clear();
  hard_ = {hard_.term.next(), config_.self};
  batch().hard = hard_;
  hard_writes_.emplace_back(batch().id, hard_);
}

void Core::count_votes() {
  // D2: our own vote counts only once it is durable.
  if (role_ != Role::Candidate || durable_hard_ != hard_) return;
  if (std::ranges::find(votes_, config_.self) == votes_.end()) votes_.push_back(config_.self);
  const bool won = quorum_agrees(
      configuration(), [this](NodeId id) { return std::ranges::find(votes_, id) != votes_.end(); });
  if (won) become_leader();
}

void Core::become_leader() {
  CHECK(durable_hard_.term == hard_.term);
  role_ = Role::Leader;
  leader_ = config_.self;
  first_own_ = log_.last().next();
  append(EntryType::Noop, nullptr);  // commits what earlier terms left (paper §5.4.2, §8)
}

// ---- log --------------------------------------------------------------------------------------

PersistBatch& Core::batch() {
  if (pending_.empty()) {
    pending_.push_back({});
    pending_.back().id = next_write_;
    next_write_ = next_write_.next();
  }
  return pending_.back();
}

void Core::append(EntryType type, std::shared_ptr<const std::string> data) {
  Entry entry{hard_.term, log_.last().next(), type, std::move(data)};
  const std::size_t cost = entry_cost(entry);
  unapplied_bytes_ += cost;
  retention_.appended(entry.index, cost);
  PersistBatch& write = batch();
  write.entries.push_back(entry);
  log_.append(std::move(entry), write.id);
}

std::optional<Error> Core::not_leading() const {
  if (role_ == Role::Leader) return std::nullopt;
  if (leader_.value != 0) return fail(ErrorCode::NotLeader, "not the leader");
  return fail(ErrorCode::NoLeader, "No cluster leader");
}

std::optional<Error> Core::refusal(const Proposal& proposal) const {
  if (auto error = not_leading()) return error;
  const std::size_t size = proposal.data ? proposal.data->size() : 0;
  if (size > config_.max_entry_bytes) {
    return fail(ErrorCode::InvalidArgument, "entry: " + std::to_string(size) +
                                                " bytes; the limit is " +
                                                std::to_string(config_.max_entry_bytes));
  }
  if (unapplied_bytes_ + size > config_.max_unapplied_bytes ||
      commit_.value - applied_.value > config_.max_apply_lag) {
    return fail(ErrorCode::ResourceExhausted, "too many writes are under way");
  }
  return std::nullopt;
}

Index Core::match_of(NodeId voter) const {
  return voter == config_.self ? log_.durable() : Index{};  // D4
}

void Core::advance_commit() {
  if (role_ != Role::Leader) return;
  const Index reached = quorum_value(
      configuration(), [this](NodeId id) { return match_of(id); }, Index{});
  // Entries of earlier terms commit only together with one of ours (paper §5.4.2).
  if (reached <= commit_ || log_.term_at(reached) != hard_.term) return;
  commit_ = reached;
  register_reads();
  grant_reads();
}

// ---- reads ------------------------------------------------------------------------------------

bool Core::leads_with_commit() const {
  return role_ == Role::Leader && commit_ >= first_own_;  // R1
}

// When the voter last proved that it follows us; we always do.
Instant Core::contact_of(NodeId voter) const {
  return voter == config_.self ? Instant::max() : Instant::min();
}

Instant Core::readable_until() const {
  // Local state must contain what earlier leaders acknowledged, so our no-op must be applied.
  if (!leads_with_commit() || applied_ < first_own_) return Instant::min();
  return quorum_value(
      configuration(), [this](NodeId id) { return contact_of(id); }, Instant::min());
}

void Core::register_reads() {
  if (!leads_with_commit()) return;
  const Instant confirmed = quorum_value(
      configuration(), [this](NodeId id) { return contact_of(id); }, Instant::min());
  if (confirmed <= now_) return;  // R3: a quorum has to confirm that we still lead
  for (auto it = reads_.rbegin(); it != reads_.rend() && it->index == Index{}; ++it) {
    it->index = commit_;
  }
}

void Core::grant_reads() {
  while (!reads_.empty() && reads_.front().index != Index{} && reads_.front().index <= applied_) {
    grants_.push_back({reads_.front().request.id, std::nullopt, reads_.front().index});  // R6
    reads_.pop_front();
  }
}

void Core::expire_reads() {
  while (!reads_.empty() && reads_.front().deadline <= now_) {
    Error error = not_leading().value_or(fail(ErrorCode::Timeout, "read: the state lags behind"));
    grants_.push_back({reads_.front().request.id, std::move(error), Index{}});
    reads_.pop_front();
  }
}

// ---- compaction -------------------------------------------------------------------------------

void Core::consider_compaction() {
  const std::optional<Index> excess = retention_.excess();
  if (!excess || *excess > applied_) return;
  if (*excess <= durable_applied_) {
    compact(*excess);  // D7
  } else if (flush_asked_ < *excess) {
    flush_asked_ = applied_;
    flush_state_ = true;
  }
}

void Core::compact(Index index) {
  CHECK(index <= durable_applied_ && index <= log_.durable());
  while (configurations_.size() > 1 && configurations_[1].first <= index) {
    configurations_.pop_front();
  }
  compact_ = LogBase{index, *log_.term_at(index), configurations_.front().second};
  log_.compact(index);
  retention_.compacted(index);
}

// ---- views ------------------------------------------------------------------------------------

std::optional<Instant> Core::wake_at() const {
  if (role_ == Role::Follower && decides_alone()) return now_;
  if (!reads_.empty()) return reads_.front().deadline;
  return std::nullopt;
}

Index Core::wanted_applied() const {
  if (leads_with_commit() && applied_ < first_own_) return first_own_;
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
  return out;
}

CoreView Core::view() const {
  CoreView out;
  out.role = role_;
  out.hard = hard_;
  out.durable_hard = durable_hard_;
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
  out.waiting_reads = reads_.size();
  out.clock_steps_back = clock_steps_back_;
  return out;
}

}  // namespace fyr::raft
