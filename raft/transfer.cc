// Handing the leadership over, on request or because somebody else suits better (raft.md §5;
// thesis §3.10).
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"
#include "raft/mutation.h"

namespace fyr::raft {

// ---- targets ----------------------------------------------------------------------------------

std::optional<Error> Core::refuse_target(NodeId to) const {
  const std::vector<NodeId>& voters = configuration().voters;
  const Progress* known = peer(to);
  const std::string name = "server " + std::to_string(to.value);
  if (known == nullptr || std::ranges::find(voters, to) == voters.end()) {
    return fail(ErrorCode::InvalidArgument, "transfer: " + name + " is no voter besides us");
  }
  if (known->quarantined || known->regressed) {
    return fail(ErrorCode::Unavailable, "transfer: " + name + " is being rebuilt");
  }
  if (known->disk == DiskState::Stalled ||
      (known->stalled_at != Instant::min() && known->stalled_at + config_.disk_clean > now_)) {
    return fail(ErrorCode::Unavailable, "transfer: the disk of " + name + " stalls");
  }
  if (known->disk == DiskState::Low) {
    return fail(ErrorCode::Unavailable,
                "transfer: there is little room left on the disk of " + name);
  }
  if (known->contact + config_.election_min <= now_) {
    return fail(ErrorCode::Unavailable, "transfer: " + name + " does not answer");
  }
  return std::nullopt;
}

// The best voter that can take over; of equals, who has most of the log.
std::optional<NodeId> Core::best_target(bool better_than_us) const {
  const int own = leading_priority(configuration(), config_.self);
  std::optional<NodeId> best;
  std::pair<int, Index> best_value;
  for (const NodeId id : configuration().voters) {
    if (id == config_.self || refuse_target(id)) continue;
    const std::pair<int, Index> value(leading_priority(configuration(), id), peer(id)->match);
    if (better_than_us) {
      // "Avoid" (0) and witnesses hand over at once, others when it has been well for a while.
      const bool avoided = own <= 0;
      const bool well = peer(id)->well_since != Instant::max() &&
                        (avoided || peer(id)->well_since + config_.rebalance_after <= now_);
      if (value.first <= own || !well) continue;
    }
    if (best && value <= best_value) continue;
    best = id;
    best_value = value;
  }
  return best;
}

void Core::note_well(Progress& peer) {
  const bool well = peer.state == Progress::State::Replicate && peer.disk == DiskState::Good &&
                    peer.match.value + config_.promote_lag >= commit_.value && !peer.quarantined &&
                    !peer.regressed;
  if (!well) {
    peer.well_since = Instant::max();
  } else if (peer.well_since == Instant::max()) {
    peer.well_since = now_;
  }
}

// ---- transfers --------------------------------------------------------------------------------

void Core::transfer(Instant now, const TransferRequest& request) {
  advance(now);
  std::optional<Error> refused = not_leading();
  if (transfer_) refused = fail(ErrorCode::Conflict, "transfer: another one is under way");
  std::optional<NodeId> to = request.to;
  if (!refused && request.to == NodeId{}) to = best_target(false);
  if (!refused && !to) refused = fail(ErrorCode::Unavailable, "transfer: no other voter is ready");
  if (!refused) refused = refuse_target(*to);
  if (refused) {
    transfers_.emplace_back(request.id, std::move(*refused));
    return;
  }
  begin_transfer(*to, request.id, true);
}

// From here on proposals are refused; the lease holds until TimeoutNow leaves.
void Core::begin_transfer(NodeId to, std::uint64_t id, bool by_request) {
  transfer_ = Transfer{id, to, now_ + config_.election_min, by_request};
  consider_transfer();
}

void Core::consider_transfer() {
  if (transferred_ && transferred_->deadline <= now_) {
    transfers_.emplace_back(transferred_->id,
                            fail(ErrorCode::Timeout, "transfer: nobody leads yet"));
    transferred_.reset();
  }
  if (!transfer_) return;
  const std::vector<NodeId>& voters = configuration().voters;
  const Progress* target = peer(transfer_->to);
  if (target == nullptr || std::ranges::find(voters, transfer_->to) == voters.end()) {
    abort_transfer(fail(ErrorCode::Conflict, "transfer: the target is no voter any more"));
  } else if (transfer_->deadline <= now_) {
    abort_transfer(fail(ErrorCode::Timeout, "transfer: the target did not take over"));
  } else if (!transfer_->told && target->match == log_.last()) {
    // First the lease, then the message: the target need not wait for anybody's promise.
    lease_void_ = !mutated(Mutation::M21);
    lease_void_until_ = Index{};
    transfer_->told = true;
    send(transfer_->to, TimeoutNow{log_.last(), log_.last_term()});
  }
}

void Core::abort_transfer(const Error& reason) {
  CHECK(role_ == Role::Leader);
  const Transfer ended = *transfer_;
  transfer_.reset();
  if (ended.by_request) transfers_.emplace_back(ended.id, reason);
  const bool avoided = leading_priority(configuration(), config_.self) <= 0;
  rebalance_after_ = now_ + (avoided ? config_.election_min : rebalance_backoff_);
  rebalance_backoff_ = std::min(2 * rebalance_backoff_, config_.rebalance_backoff_max);
  if (ended.told) {
    // Once this is committed, a late TimeoutNow fits no log that could win.
    append(EntryType::Noop, nullptr);
    lease_void_until_ = log_.last();
  }
  if (!is_voter() && commit_ >= configurations_.back().first) step_down(hard_.term);
}

void Core::end_transfers_elsewhere() {
  if (!transferred_) return;
  std::optional<Error> failed;
  if (leader_ == config_.self) failed = fail(ErrorCode::Timeout, "transfer: we lead again");
  transfers_.emplace_back(transferred_->id, std::move(failed));
  transferred_.reset();
}

// Only who has exactly the leader's log may campaign without asking first.
void Core::handle(const Message& message, const TimeoutNow& body) {
  if (message.term != hard_.term || !follow(message)) return;
  if (body.last != log_.last() || body.last_term != log_.last_term() || !may_campaign()) return;
  campaign(message.from, message.term);
}

// ---- reasons of our own -----------------------------------------------------------------------

// A leader whose disk does not answer (raft.md §5, "Disk stall"). Nobody could take over from one
// who decides alone.
void Core::watch_disk() {
  if (role_ != Role::Leader || decides_alone() || mutated(Mutation::M31)) return;
  if (disk_.age(now_) > config_.disk_given_up) {
    step_down(hard_.term);
  } else if (disk_.state(now_) == DiskState::Stalled && !transfer_) {
    if (const auto to = best_target(false)) begin_transfer(*to, 0, false);
  } else if (disk_.is_low() && !transfer_ && now_ >= make_room_after_ && leads_with_commit()) {
    // Without anybody better it stays, and refuses what would need room.
    make_room_after_ = now_ + 5 * config_.election_min;
    if (const auto to = best_target(false)) begin_transfer(*to, 0, false);
  }
}

// Leadership goes where it is wanted, but not back and forth.
void Core::rebalance() {
  for (Progress& peer : peers_) {
    if (peer.contact + config_.election_min <= now_) peer.well_since = Instant::max();
  }
  const int own = leading_priority(configuration(), config_.self);
  if (transfer_ || !leads_with_commit() || commit_ < configurations_.back().first) return;
  if (configuration().is_joint() || decides_alone()) return;
  if (rank_ == 0 || now_ < rebalance_after_) return;
  const auto sends = [](const Progress& p) { return p.state == Progress::State::Snapshot; };
  if (own > 0 && std::ranges::any_of(peers_, sends)) return;
  const auto recent = std::ranges::count_if(
      leader_changes_, [this](Instant at) { return at + config_.rebalance_calm > now_; });
  if (own >= 0 && recent > 3) return;
  if (const auto to = best_target(true)) begin_transfer(*to, 0, false);
}

}  // namespace fyr::raft
