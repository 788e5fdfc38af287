// Reads: lease, confirmation by rounds, questions of followers (raft.md §6; thesis §6.4).
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"
#include "raft/mutation.h"
#include "raft/quorum.h"

namespace fyr::raft {

// ---- lease ------------------------------------------------------------------------------------

bool Core::leads_with_commit() const {
  return role_ == Role::Leader && commit_ >= first_own_;  // R1
}

// R4: counted from when the newest rounds that a quorum has echoed were sent; those who echoed
// promised to follow nobody else for E. A pause or a jump of the clock ends it by itself (R5).
Instant Core::lease_until() const {
  const auto sent_to = [this](NodeId id) {
    if (id == config_.self) return Instant::max();
    const Progress* known = peer(id);
    return known == nullptr ? Instant::min() : known->acked_sent;
  };
  const Instant start = quorum_value(configuration(), sent_to, Instant::min());
  if (start == Instant::max() || start == Instant::min()) return start;  // alone, or nobody
  const bool stalled = disk_.state(now_) == DiskState::Stalled && !mutated(Mutation::M31);
  if (!config_.lease_reads || stalled) return Instant::min();
  const int tenths = mutated(Mutation::M20) ? 12 : 9;  // clocks may differ by 5 %
  return start + config_.election_min * tenths / 10;
}

Instant Core::readable_until() const {
  // Local state must contain what earlier leaders acknowledged, so our no-op must be applied.
  const bool began = (leads_with_commit() && applied_ >= first_own_) ||
                     (mutated(Mutation::M18) && role_ == Role::Leader);
  if (!began || lease_void_) return Instant::min();
  // Not a member any more: those who are need not ask us.
  if (!is_voter() && commit_ >= configurations_.back().first) return Instant::min();
  return lease_until();
}

// ---- own reads --------------------------------------------------------------------------------

void Core::read(Instant now, const ReadRequest& request) {
  advance(now);
  WaitingRead read{.request = request, .deadline = now_ + config_.read_wait};
  if (quarantine_) {
    refuse_read(read, fail(ErrorCode::Unavailable, "this server lost data and is being rebuilt"));
    return;
  }
  // No state is ahead of ours, and every write that anybody was told about is applied here.
  const bool granted = request.mode == ReadMode::Default && now_ < readable_until();
  if (granted || (mutated(Mutation::M17) && role_ == Role::Leader)) {
    grants_.push_back({.id = request.id, .refused = {}, .index = applied_});
    return;
  }
  add_read(std::move(read));
}

void Core::add_read(WaitingRead read) {
  if (reads_.size() + asked_reads_.size() >= config_.max_waiting_reads) {
    refuse_read(read, fail(ErrorCode::ResourceExhausted, "too many waiting reads"));
    return;
  }
  (read.origin == NodeId{} ? reads_ : asked_reads_).push_back(std::move(read));
}

void Core::refuse_read(const WaitingRead& read, const Error& error) {
  if (read.origin == NodeId{}) {
    grants_.push_back({.id = read.request.id, .refused = error, .index = {}});
  } else {
    send(read.origin, ReadIndexReply{read.request.id, false, Index{}}, {}, read.incarnation);
  }
}

void Core::grant_reads() {
  while (!reads_.empty() && reads_.front().confirmed && reads_.front().index <= applied_) {
    grants_.push_back({reads_.front().request.id, std::nullopt, reads_.front().index});  // R6
    reads_.pop_front();
  }
}

void Core::expire_reads() {
  while (!reads_.empty() && reads_.front().deadline <= now_) {
    refuse_read(reads_.front(),
                not_leading().value_or(fail(ErrorCode::Timeout, "read: the state lags behind")));
    reads_.pop_front();
  }
  while (!asked_reads_.empty() && asked_reads_.front().deadline <= now_) {
    refuse_read(asked_reads_.front(), {});
    asked_reads_.pop_front();
  }
}

// Whoever leads now has to be asked again about those that nobody has confirmed yet.
void Core::unregister_reads() {
  for (WaitingRead& read : reads_) {
    if (read.confirmed) continue;
    read.index = Index{};
    read.round = 0;
  }
  for (const WaitingRead& read : asked_reads_) refuse_read(read, {});
  asked_reads_.clear();
  read_rounds_.clear();
}

// ---- leader -----------------------------------------------------------------------------------

// R3: one round, started after them, for all reads that wait; at most two such rounds under way.
void Core::register_reads() {
  if (!leads_with_commit() && !(mutated(Mutation::M18) && role_ == Role::Leader)) return;
  const auto waits = [](const std::deque<WaitingRead>& reads) {
    return !reads.empty() && !reads.back().confirmed && reads.back().round == 0;
  };
  if (!waits(reads_) && !waits(asked_reads_)) return;
  if (read_rounds_.size() >= 2) return;
  if (!round_is_new_) {
    start_round();
    for (Progress& peer : peers_) send_heartbeat(peer);
  }
  const std::uint64_t round = rounds_.current();
  if (read_rounds_.empty() || read_rounds_.back() < round) read_rounds_.push_back(round);
  for (std::deque<WaitingRead>* reads : {&reads_, &asked_reads_}) {
    for (auto it = reads->rbegin(); it != reads->rend() && !it->confirmed && it->round == 0; ++it) {
      it->index = commit_;
      it->round = round;
    }
  }
  confirm_reads();  // at once, if we are a quorum ourselves
}

void Core::confirm_reads() {
  if (role_ != Role::Leader) return;
  const auto echoed = [this](NodeId id) {
    if (id == config_.self) return ~std::uint64_t{0};
    const Progress* known = peer(id);
    return known == nullptr ? std::uint64_t{0} : known->acked_round;
  };
  const std::uint64_t round = quorum_value(configuration(), echoed, std::uint64_t{0});
  while (!read_rounds_.empty() && read_rounds_.front() <= round) read_rounds_.pop_front();
  for (WaitingRead& read : reads_) {
    if (read.round == 0 || read.round > round) break;
    read.confirmed = true;
  }
  while (!asked_reads_.empty() && asked_reads_.front().round != 0 &&
         asked_reads_.front().round <= round) {
    const WaitingRead& read = asked_reads_.front();
    send(read.origin, ReadIndexReply{read.request.id, true, read.index}, {}, read.incarnation);
    // It can serve the read only when it knows that this much is committed.
    Progress* asker = peer(read.origin);
    if (asker != nullptr && asker->told_commit < std::min(announced(), asker->match)) {
      send_heartbeat(*asker);
    }
    asked_reads_.pop_front();
  }
  grant_reads();
}

void Core::handle(const Message& message, const ReadIndex& body) {
  WaitingRead read{.request = {body.sequence, body.mode},
                   .deadline = now_ + config_.read_wait,
                   .origin = message.from,
                   .incarnation = message.from_incarnation};
  if (role_ != Role::Leader || message.term > hard_.term) {
    refuse_read(read, {});
    return;
  }
  if (body.mode == ReadMode::Default && now_ < readable_until()) {
    reply(message, ReadIndexReply{body.sequence, true, applied_});
    return;
  }
  add_read(std::move(read));
}

// ---- follower ---------------------------------------------------------------------------------

// One question for all reads that wait, at most two under way; asked again if no answer comes.
void Core::forward_reads() {
  if (role_ == Role::Leader) return;
  if (reads_.empty() || reads_.back().confirmed) read_replied_ = read_sequence_;
  if (leader_ == NodeId{} || reads_.empty() || reads_.back().confirmed) return;
  const bool lost = read_replied_ < read_sequence_ && now_ - read_asked_ >= 3 * config_.heartbeat;
  if (!lost && (reads_.back().round != 0 || read_sequence_ - read_replied_ >= 2)) return;
  ReadIndex ask{.sequence = ++read_sequence_, .mode = ReadMode::Default};
  for (auto it = reads_.rbegin(); it != reads_.rend() && !it->confirmed; ++it) {
    if (!lost && it->round != 0) break;
    it->round = ask.sequence;
    if (it->request.mode == ReadMode::Consistent) ask.mode = ReadMode::Consistent;
  }
  if (lost) read_replied_ = ask.sequence - 1;
  read_asked_ = now_;
  send(leader_, ask);
}

// R6: says how far the state must be, not what is committed: commit_ stays as it is. What was
// asked by an earlier life of ours does not get here (R7, admit).
void Core::handle(const Message&, const ReadIndexReply& body) {
  if (role_ == Role::Leader || !body.granted) return;  // refused: asked again in a while
  read_replied_ = std::max(read_replied_, std::min(body.sequence, read_sequence_));
  for (WaitingRead& read : reads_) {
    if (read.confirmed) continue;
    const bool asked = read.round != 0 && read.round <= body.sequence;
    if (!asked && !mutated(Mutation::M19)) break;
    read.confirmed = true;
    read.index = body.index;
  }
  grant_reads();
}

}  // namespace fyr::raft
