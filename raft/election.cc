// Who leads: promises, pre-votes, votes, check-quorum (raft.md §5; paper §5.2, §5.4.1; thesis
// §9.6).
#include <algorithm>
#include <set>

#include "base/check.h"
#include "raft/core.h"
#include "raft/mutation.h"
#include "raft/quorum.h"

namespace fyr::raft {
namespace {

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

// ---- timers -----------------------------------------------------------------------------------

bool Core::decides_alone() const {
  return quorum_agrees(configuration(), [this](NodeId id) { return id == config_.self; });
}

// The number of distinct higher priorities among the voters.
std::size_t Core::count_better() const {
  const int own = leading_priority(configuration(), config_.self);
  std::set<int> higher;
  for (const NodeId id : all_voters(configuration())) {
    const int priority = leading_priority(configuration(), id);
    if (priority > own) higher.insert(priority);
  }
  return higher.size();
}

Duration Core::random_part(Duration most) {
  const auto limit = static_cast<std::uint64_t>(most.count());
  return limit == 0 ? Duration::zero() : Duration(random_.below(limit));
}

Duration Core::election_timeout() {
  Duration out = config_.election_min + static_cast<int>(rank_) * config_.election_rank;
  if (leading_priority(configuration(), config_.self) == 0) out += 5 * config_.election_min;
  if (!disk_.clean(now_)) out += config_.election_min;
  return out + random_part(config_.election_jitter);
}

// Until the next attempt, drawn anew for each.
Duration Core::retry_timeout() {
  return config_.election_min * 3 / 10 + static_cast<int>(rank_) * config_.election_rank +
         random_part(config_.election_jitter);
}

// A voter, or one whose removal is not known to be committed: where only removed nodes hold the
// entry that removes them, the remaining voters cannot win against their logs, so one of them has
// to win once more and hand the entry on.
bool Core::may_stand() const {
  for (auto it = configurations_.rbegin(); it != configurations_.rend(); ++it) {
    if (it->second.is_voter(config_.self)) return true;
    if (it->first <= commit_) return false;
  }
  return false;
}

// Whatever the time.
bool Core::may_campaign() const {
  if (role_ == Role::Leader || !may_stand() || quarantine_) return false;
  if (fetching_ || installing_) return false;
  if (!hard_writes_.empty()) return false;  // of the last attempt; retries would burn terms
  return decides_alone() || disk_.state(now_) != DiskState::Stalled || mutated(Mutation::M31);
}

std::optional<Instant> Core::election_due() const {
  if (!may_campaign()) return std::nullopt;
  if (decides_alone()) return std::max(promise_until_, now_);
  return std::max({election_at_, promise_until_, now_});
}

void Core::consider_election() {
  const std::optional<Instant> due = election_due();
  if (!due || *due > now_) return;
  if (decides_alone()) {
    campaign();
  } else {
    pre_campaign();
  }
}

// The leader's process is gone, or we have only started. Promises still hold, but nobody has to
// wait for chance: the remaining voters of one rank try one after the other.
void Core::hasten_election() {
  std::vector<NodeId> equals;
  const int own = leading_priority(configuration(), config_.self);
  for (const NodeId id : all_voters(configuration())) {
    if (id != leader_ && leading_priority(configuration(), id) == own) equals.push_back(id);
  }
  std::ranges::sort(equals);
  const auto place = std::ranges::find(equals, config_.self) - equals.begin();
  Instant at = promise_until_ + static_cast<int>(rank_) * config_.election_rank +
               place * (config_.election_jitter / 8);
  if (own == 0) at += 5 * config_.election_min;
  election_at_ = std::min(election_at_, at);
}

// ---- campaigns --------------------------------------------------------------------------------

void Core::pre_campaign() {
  set_leader(NodeId{});
  pre_ = PreCampaign{++pre_round_, hard_.term.next()};
  pre_votes_ = {config_.self};
  // Servers that start together have promised until times that differ a little: the first answers
  // may be refusals, and no leader was heard of that a pre-vote could disturb.
  const Duration soon = config_.election_min / 10;
  const bool eager = leader_contact_ == Instant::min() && now_ < eager_until_;
  election_at_ = now_ + (eager ? soon + random_part(soon) : retry_timeout());
  const PreVote ask{pre_->campaign, pre_->round, log_.last(), log_.last_term()};
  for (const NodeId id : all_voters(configuration())) {
    if (id != config_.self) send(id, ask);
  }
}

void Core::campaign(NodeId from_leader, Term from_term) {
  pre_.reset();
  role_ = Role::Candidate;
  set_leader(NodeId{});
  votes_.clear();
  verified_ = Index{};
  write_hard({hard_.term.next(), config_.self});
  election_at_ = now_ + retry_timeout();
  const Vote ask{log_.last(), log_.last_term(), from_leader, from_term};
  for (const NodeId id : all_voters(configuration())) {
    if (id != config_.self) send(id, ask, batch().id);  // D2
  }
}

void Core::count_votes() {
  // D2: our own vote counts only once it is durable.
  if (role_ != Role::Candidate) return;
  if (durable_hard_ != hard_ && !mutated(Mutation::M03)) return;
  if (!contains(votes_, config_.self)) votes_.push_back(config_.self);
  if (quorum_agrees(configuration(), [this](NodeId id) { return contains(votes_, id); })) {
    become_leader();
  }
}

void Core::become_leader() {
  CHECK(durable_hard_.term == hard_.term || mutated(Mutation::M03));
  role_ = Role::Leader;
  pre_.reset();
  set_leader(config_.self);
  const bool avoided = leading_priority(configuration(), config_.self) <= 0;
  rebalance_backoff_ = config_.rebalance_backoff;
  rebalance_after_ = avoided ? now_ : now_ + config_.rebalance_after;
  rounds_ = Rounds();
  read_rounds_.clear();
  lease_void_ = false;
  lease_void_until_ = Index{};
  beat_at_ = now_;
  unregister_reads();
  peers_.clear();
  keep_peers();
  first_own_ = log_.last().next();
  append(EntryType::Noop, nullptr);  // commits what earlier terms left (paper §5.4.2, §8)
}

// Back to following, in a later term or in this one; a vote given in it stays.
void Core::step_down(Term term) {
  CHECK(term >= hard_.term);
  const bool led = role_ == Role::Leader;
  role_ = Role::Follower;
  pre_.reset();
  votes_.clear();
  if (term > hard_.term || mutated(Mutation::M32)) {
    write_hard({term, NodeId{}});
    verified_ = Index{};
  }
  set_leader(NodeId{});
  if (!led) return;
  election_at_ = now_ + election_timeout();
  notice_at_.reset();
  peers_.clear();
  if (transfer_ && transfer_->by_request) {
    transferred_ = transfer_;
    transferred_->deadline = now_ + config_.election_min;
  }
  transfer_.reset();
  if (change_) {
    changes_.emplace_back(*change_, fail(ErrorCode::CommitUnknown, "leadership was lost"));
    change_.reset();
  }
  unregister_reads();
}

void Core::set_leader(NodeId leader) {
  if (leader == leader_) return;
  leader_ = leader;
  if (leader == NodeId{}) return;
  if (leader != last_leader_) leader_changes_.push_back(now_);
  last_leader_ = leader;
  while (leader_changes_.size() > 8) leader_changes_.pop_front();
  read_replied_ = read_sequence_;  // what waits is asked of the new one
  unregister_reads();
  end_transfers_elsewhere();
}

// A message that only the leader of its term sends, of our term or a later one. False: it cannot
// be one.
bool Core::follow(const Message& message) {
  if (message.term > hard_.term) step_down(message.term);
  const bool another = leader_ != NodeId{} && leader_ != message.from;
  if (role_ == Role::Leader || another) {
    ++protocol_errors_;
    return false;
  }
  if (role_ == Role::Candidate) step_down(hard_.term);
  pre_.reset();
  set_leader(message.from);
  leader_contact_ = now_;
  promise_until_ = std::max(promise_until_, now_ + config_.election_min);
  election_at_ = now_ + election_timeout();
  return true;
}

// Continuous: a leader that a quorum does not answer keeps nobody's promise alive.
void Core::check_quorum() {
  if (role_ != Role::Leader || decides_alone() || mutated(Mutation::M30)) return;
  const auto contact_of = [this](NodeId id) {
    if (id == config_.self) return Instant::max();
    const Progress* known = peer(id);
    return known == nullptr ? Instant::min() : known->contact;
  };
  const Instant heard = quorum_value(configuration(), contact_of, Instant::min());
  if (heard + config_.election_min <= now_) step_down(hard_.term);
}

// ---- messages ---------------------------------------------------------------------------------

// Paper §5.4.1.
bool Core::log_is_current(Index last, Term last_term) const {
  if (last_term != log_.last_term()) return last_term > log_.last_term();
  return last >= log_.last();
}

// Changes neither term nor vote nor timers.
void Core::handle(const Message& message, const PreVote& body) {
  const bool term_free = body.campaign > hard_.term ||
                         (body.campaign == hard_.term &&
                          (hard_.voted_for == NodeId{} || hard_.voted_for == message.from));
  const bool current =
      log_is_current(body.last, body.last_term) || mutated(Mutation::M15) || mutated(Mutation::M16);
  const bool silent = has_promised() || role_ == Role::Leader || quarantine_;
  reply(message, PreVoteReply{body.campaign, body.round, term_free && current && !silent});
  const Member* self = configuration().find(config_.self);
  if (!silent && !current && self != nullptr && self->kind == MemberKind::Witness) {
    election_at_ = now_;  // a data server lacks what only we have left: hand it on
  }
}

void Core::handle(const Message& message, const PreVoteReply& body) {
  if (!pre_ || pre_->round != body.round || pre_->campaign != body.campaign) return;
  if (!body.granted) {
    if (message.term > hard_.term) step_down(message.term);  // its term, durable there (D1)
    return;
  }
  if (!contains(pre_votes_, message.from)) pre_votes_.push_back(message.from);
  const bool won =
      quorum_agrees(configuration(), [this](NodeId id) { return contains(pre_votes_, id); });
  if (won && may_campaign() && !has_promised()) campaign();
}

// Who belongs to the cluster does not matter here: the asker may know better.
void Core::handle(const Message& message, const Vote& body) {
  // Handed over by the leader whom we promised to wait for: it has voided its lease.
  const bool released = body.from_leader != NodeId{} && body.from_term == hard_.term &&
                        (leader_ == body.from_leader || leader_ == NodeId{});
  const bool bound = (has_promised() || role_ == Role::Leader) && !released;
  if (message.term < hard_.term || bound || quarantine_) {
    reply(message, VoteReply{false});
    return;
  }
  if (message.term > hard_.term) step_down(message.term);
  const bool free = hard_.voted_for == NodeId{} || hard_.voted_for == message.from;
  const bool current = log_is_current(body.last, body.last_term) || mutated(Mutation::M15);
  if (!free || !current) {
    reply(message, VoteReply{false});
    return;
  }
  if (hard_.voted_for == NodeId{}) write_hard({hard_.term, message.from});
  pre_.reset();
  election_at_ = now_ + election_timeout();
  // D2: only when the vote itself is durable.
  const bool durable = durable_hard_ == hard_ || mutated(Mutation::M01);
  const WriteId after = durable ? WriteId{} : hard_writes_.back().first;
  reply(message, VoteReply{true}, after);
}

void Core::handle(const Message& message, const VoteReply& body) {
  if (role_ != Role::Candidate) return;
  if (message.term > hard_.term) {
    step_down(message.term);
    return;
  }
  if (message.term < hard_.term || !body.granted) return;
  if (!contains(votes_, message.from)) votes_.push_back(message.from);
  count_votes();
}

}  // namespace fyr::raft
