// The leader's side of replication: appends, heartbeats, commit (raft.md §4; paper §5.3, §5.4.2).
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"
#include "raft/mutation.h"
#include "raft/quorum.h"

namespace fyr::raft {
namespace {

// A probe may turn out to be in vain; larger ones would only fill a slow line.
constexpr std::size_t kMaxProbeBytes = 64u << 10;

std::size_t cost_of(const std::vector<Entry>& entries) {
  std::size_t out = 0;
  for (const Entry& entry : entries) out += entry_cost(entry);
  return out;
}

}  // namespace

// ---- own log ----------------------------------------------------------------------------------

void Core::append(EntryType type, std::shared_ptr<const std::string> data) {
  append_entry({hard_.term, log_.last().next(), type, std::move(data)});
}

std::optional<Error> Core::not_leading() const {
  if (role_ == Role::Leader && transfer_) {
    return fail(ErrorCode::NoLeader, "No cluster leader: it is being handed over");
  }
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
  const bool always = proposal.type == EntryType::Check;
  if (!always && (unapplied_bytes_ + size > config_.max_unapplied_bytes ||
                  commit_.value - applied_.value > config_.max_apply_lag)) {
    return fail(ErrorCode::ResourceExhausted, "too many writes are under way");
  }
  if (!always && disk_.is_low()) {
    return fail(ErrorCode::ResourceExhausted,
                "disk_low: there is little room left on the leader's disk");
  }
  return std::nullopt;
}

// ---- peers ------------------------------------------------------------------------------------

Progress* Core::peer(NodeId id) {
  const auto found = std::ranges::find(peers_, id, &Progress::id);
  return found == peers_.end() ? nullptr : &*found;
}

const Progress* Core::peer(NodeId id) const {
  const auto found = std::ranges::find(peers_, id, &Progress::id);
  return found == peers_.end() ? nullptr : &*found;
}

Index Core::match_of(NodeId member) const {
  if (member == config_.self && mutated(Mutation::M05)) return log_.last();
  if (member == config_.self) return log_.durable();  // D4: our own disk counts like any other
  const Progress* known = peer(member);
  return known == nullptr || known->regressed ? Index{} : known->match;
}

Index Core::held_by_all() const {
  Index out = commit_;
  for (const NodeId id : configuration().voters) {
    const Member* member = configuration().find(id);
    if (member != nullptr && member->kind == MemberKind::Data) out = std::min(out, match_of(id));
  }
  return out;
}

void Core::advance_commit() {
  if (role_ != Role::Leader) return;
  Configuration counted = configuration();
  if (mutated(Mutation::M08)) {
    counted.voters.insert(counted.voters.end(), counted.learners.begin(), counted.learners.end());
  }
  const Index reached = quorum_value(
      counted, [this](NodeId id) { return match_of(id); }, Index{});
  // Entries of earlier terms commit only together with one of ours (paper §5.4.2).
  const bool own = log_.term_at(reached) == hard_.term || mutated(Mutation::M06);
  if (reached <= commit_ || !own) return;
  commit_to(reached);
}

void Core::commit_to(Index index) {
  if (index <= commit_) return;
  CHECK(index <= log_.last());
  commit_ = index;
  end_quarantine_if_whole();
  if (role_ != Role::Leader) {
    if (fetching_ && fetching_->snapshot.index <= commit_) drop_fetch();
    return;
  }
  if (lease_void_ && lease_void_until_ != Index{} && commit_ >= lease_void_until_) {
    lease_void_ = false;  // no TimeoutNow of before can win any more
  }
  register_reads();
  grant_reads();
  finish_change();
  consider_leave();
  leave_leadership();
}

// ---- sending ----------------------------------------------------------------------------------

void Core::replicate() {
  if (role_ != Role::Leader) return;
  for (Progress& peer : peers_) replicate_to(peer);
}

void Core::replicate_to(Progress& peer) {
  if (peer.state == Progress::State::Probe && !peer.probing) send_probe(peer);
  while (peer.state == Progress::State::Replicate && peer.next <= log_.last() &&
         !peer.window_full(config_) && peer.fetching == Index{}) {
    if (peer.next <= log_.base()) {
      peer.await_snapshot();  // never an append without the term before it (M27)
    } else if (log_.is_cached(peer.next)) {
      send_entries(peer, log_.slice(peer.next, config_.max_append_bytes));  // D4: before our sync
    } else {
      fetch_for(peer);
    }
  }
}

void Core::send_entries(Progress& peer, std::vector<Entry> entries) {
  const Index prev = peer.next.previous();
  const Index last = entries.back().index;
  const std::size_t bytes = cost_of(entries);
  send(peer.id, Append{.prev = prev,
                       .prev_term = *log_.term_at(prev),
                       .entries = std::move(entries),
                       .commit = announced(),
                       .round = rounds_.current(),
                       .held_by_all = held_by_all()});
  peer.sent(last, bytes, now_);
  peer.told_commit = std::max(peer.told_commit, std::min(announced(), last));
}

// One message, until it is answered or a later heartbeat is (rearm).
void Core::send_probe(Progress& peer) {
  const Index prev = peer.next.previous();
  if (prev < log_.base() && !mutated(Mutation::M27)) {
    peer.await_snapshot();
    return;
  }
  Append body{.prev = prev,
              .prev_term = log_.term_at(prev).value_or(Term{}),
              .entries = {},
              .commit = announced(),
              .round = rounds_.current(),
              .held_by_all = held_by_all()};
  const Entry* first = log_.find_cached(peer.next);
  if (first != nullptr && entry_cost(*first) <= kMaxProbeBytes) {
    body.entries = log_.slice(peer.next, kMaxProbeBytes);
  }
  send(peer.id, std::move(body));
  peer.probing = true;
  peer.probe_round = rounds_.current();
}

void Core::fetch_for(Progress& peer) {
  const Index last = std::min(log_.durable(), log_.last());
  CHECK(peer.next <= last);  // what is not durable yet is in memory
  peer.fetching = peer.next;
  fetches_.push_back({peer.id, {peer.next, last}, config_.max_append_bytes});
}

void Core::on_log_fetched(Instant now, FetchedLog fetched) {
  advance(now);
  Progress* known = peer(fetched.peer);
  if (known == nullptr || known->fetching != fetched.range.first) return;
  known->fetching = Index{};
  if (known->state != Progress::State::Replicate || known->next != fetched.range.first) return;
  const auto ours = [this](const Entry& entry) { return log_.term_at(entry.index) == entry.term; };
  if (fetched.entries.empty() || fetched.entries.front().index != known->next ||
      known->next <= log_.base() || !std::ranges::all_of(fetched.entries, ours)) {
    known->probe(known->next);  // cut away meanwhile, or not readable: look again later
    known->probing = known->next > log_.base();
    known->probe_round = rounds_.current();
    return;
  }
  send_entries(*known, std::move(fetched.entries));
}

// Every message of a leader carries the number of the newest round; an echo proves contact since
// that round began (R2).
void Core::start_round() {
  rounds_.start(now_);
  round_is_new_ = true;
}

void Core::send_heartbeat(Progress& peer) {
  // Not more than it acknowledged: what it holds behind that may differ.
  const Index commit = mutated(Mutation::M13) ? announced() : std::min(announced(), peer.match);
  send(peer.id, Heartbeat{rounds_.current(), commit, held_by_all()});
  peer.told_commit = std::max(peer.told_commit, commit);
}

void Core::beat() {
  beat_at_ = now_ + config_.heartbeat;
  notice_at_.reset();
  start_round();
  for (Progress& peer : peers_) send_heartbeat(peer);
  drop_removed_peers();
  consider_snapshots();
  consider_leave();
  leave_leadership();
  rebalance();
}

// Followers hear of a commit with the next append; if there is none, a little later.
void Core::plan_commit_notice() {
  if (role_ != Role::Leader || notice_at_) return;
  for (const Progress& peer : peers_) {
    if (peer.told_commit < std::min(announced(), peer.match)) {
      notice_at_ = now_ + config_.commit_notice;
      return;
    }
  }
}

// ---- replies ----------------------------------------------------------------------------------

// A reply to us as the leader of this term; a later term deposes us.
Progress* Core::replying_peer(const Message& message) {
  if (message.term > hard_.term) {
    if (role_ == Role::Leader) step_down(message.term);
    return nullptr;
  }
  if (role_ != Role::Leader || message.term < hard_.term) return nullptr;
  return peer(message.from);
}

void Core::heard(Progress& peer, const Message& message, std::uint64_t round, Index durable_last,
                 DiskState disk, bool quarantined) {
  if (round >= peer.acked_round) peer.contact = now_;  // not by a late copy
  if (peer.incarnation != 0 && message.from_incarnation > peer.incarnation) {
    if (durable_last < peer.match) {
      peer.forget_match(durable_last);  // match_regression (raft.md §4)
      peer.regressed = true;
    } else if (peer.state == Progress::State::Replicate) {
      peer.probe(peer.match.next());  // it trusts no commit before it was compared with us again
    }
  }
  peer.incarnation = message.from_incarnation;
  peer.disk = disk;
  if (disk == DiskState::Stalled) peer.stalled_at = now_;
  peer.quarantined = quarantined;
  if (quarantined) peer.regressed = false;  // it knows; what it acknowledges from now on counts
  if (round > rounds_.current()) {
    ++protocol_errors_;
  } else if (round > peer.acked_round) {
    peer.acked_round = round;
    // R4: when it was sent, never when the echo came.
    if (const auto sent = rounds_.sent_at(round)) {
      peer.acked_sent = std::max(peer.acked_sent, mutated(Mutation::M20) ? now_ : *sent);
    }
    confirm_reads();
  }
  note_well(peer);
}

void Core::handle(const Message& message, const AppendReply& body) {
  Progress* known = replying_peer(message);
  if (known == nullptr) return;
  if (body.match > log_.last() || body.prev > log_.last()) {
    ++protocol_errors_;
    return;
  }
  heard(*known, message, body.round, body.durable_last, body.disk, body.quarantined);
  if (!body.success) {
    rejected(*known, body);
    return;
  }
  known->acknowledge(body.match, now_);
  // Also when it says nothing new: it is caught up where we probe.
  const bool newest = body.match == known->match && known->match >= log_.base();
  if (newest && known->state != Progress::State::Replicate) known->replicate();
  advance_commit();
}

void Core::rejected(Progress& peer, const AppendReply& body) {
  if (mutated(Mutation::M33)) {
    peer.match = std::min(peer.match, body.hint);
    peer.probe(body.hint.next());
    return;
  }
  // Stale: below what it acknowledged, or the answer to an older probe.
  if (peer.state == Progress::State::Snapshot || body.prev <= peer.match) return;
  if (peer.state == Progress::State::Probe && body.prev != peer.next.previous()) return;
  if (body.hint < log_.base()) {
    peer.probe(std::max(body.hint, peer.match).next());
    if (peer.next <= log_.base() && !mutated(Mutation::M27)) peer.await_snapshot();
    return;
  }
  // Our largest position there with a term not above the hint's: one probe for each term.
  const Index agreed = log_.last_at_most(body.hint, body.hint_term);
  peer.probe(std::min(agreed, body.prev.previous()).next());
}

void Core::handle(const Message& message, const HeartbeatReply& body) {
  Progress* known = replying_peer(message);
  if (known == nullptr) return;
  heard(*known, message, body.round, body.durable_last, body.disk, body.quarantined);
  known->check = body.check;
  known->digest = body.digest;
  rearm(*known, body.round);
}

// A heartbeat that left after them was answered: what was under way before may be lost.
void Core::rearm(Progress& peer, std::uint64_t echoed) {
  if (peer.state == Progress::State::Probe && echoed > peer.probe_round) peer.probing = false;
  if (peer.state != Progress::State::Replicate || peer.in_flight.empty()) return;
  if (now_ - peer.moved < 3 * config_.heartbeat) return;
  if (mutated(Mutation::M34)) return;
  // An empty append is refused if anything before it got lost.
  const Index prev = peer.next.previous();
  peer.moved = now_;
  if (prev < log_.base()) {
    peer.await_snapshot();
    return;
  }
  send(peer.id, Append{.prev = prev,
                       .prev_term = *log_.term_at(prev),
                       .entries = {},
                       .commit = announced(),
                       .round = rounds_.current(),
                       .held_by_all = held_by_all()});
}

}  // namespace fyr::raft
