// Changes of the members by joint consensus (raft.md §7; thesis §4.3).
#include <algorithm>

#include "raft/core.h"
#include "raft/member_change.h"
#include "raft/mutation.h"
#include "raft/quorum.h"

namespace fyr::raft {
namespace {

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

// ---- requests ---------------------------------------------------------------------------------

void Core::change_configuration(Instant now, const ConfigChange& change) {
  advance(now);
  if (auto error = not_leading()) {
    changes_.emplace_back(change.id, std::move(*error));
    return;
  }
  auto wanted = changed(configuration(), change, config_);
  if (!wanted) {
    changes_.emplace_back(change.id, wanted.error());
    return;
  }
  if (auto error = refuse_change(change, *wanted)) {
    changes_.emplace_back(change.id, std::move(*error));
    return;
  }
  if (*wanted == configuration()) {
    changes_.emplace_back(change.id, std::nullopt);
    return;
  }
  change_ = change.id;
  // Voters change by way of a joint configuration only; learners and fields in one entry.
  const bool plain = same_voters(configuration(), *wanted) || mutated(Mutation::M10);
  append_configuration(plain ? *wanted : joint(configuration(), *wanted));
}

std::optional<Error> Core::refuse_change(const ConfigChange& change,
                                         const Configuration& wanted) const {
  if (mutated(Mutation::M10)) return std::nullopt;
  if (!leads_with_commit()) {  // C1
    return fail(ErrorCode::Unavailable, "members: the leader has just been elected");
  }
  if (commit_ < configurations_.back().first || configuration().is_joint()) {  // C2, C3
    return fail(ErrorCode::Conflict, "members: another change is under way");
  }
  for (const NodeId id : wanted.voters) {  // C4
    if (contains(configuration().voters, id)) continue;
    const Progress* known = peer(id);
    const bool near = known != nullptr && contains(configuration().learners, id) &&
                      !known->quarantined && !known->regressed &&
                      known->match.value + config_.promote_lag >= commit_.value;
    if (near) continue;
    return fail(ErrorCode::Unavailable, "members: server " + std::to_string(id.value) +
                                            " has not caught up yet and cannot vote");
  }
  const auto answers = [this](NodeId id) {
    const Progress* known = peer(id);
    return id == config_.self || (known != nullptr && known->contact + config_.election_min > now_);
  };
  if (!change.force && !same_voters(configuration(), wanted) &&
      !quorum_agrees(wanted, answers)) {  // C5
    return fail(ErrorCode::Unavailable, "members: a majority of the new voters does not answer");
  }
  return std::nullopt;
}

void Core::found(Instant now, std::uint64_t id, const Configuration& configuration) {
  advance(now);
  const bool fresh = log_.last() == Index{} && hard_.term <= Term(1) &&
                     hard_.voted_for == NodeId{} && leader_ == NodeId{} && !quarantine_;
  const auto votes = [&](NodeId voter) {
    const Member* member = configuration.find(voter);
    return member != nullptr && member->kind != MemberKind::ReadServer;
  };
  if (!fresh) {
    changes_.emplace_back(id, fail(ErrorCode::Conflict, "this server belongs to a cluster"));
    return;
  }
  if (configuration.is_joint() || !contains(configuration.voters, config_.self) ||
      configuration.voters.size() > config_.max_voters ||
      !std::ranges::all_of(configuration.voters, votes)) {
    changes_.emplace_back(id, fail(ErrorCode::InvalidArgument, "not the voters of a new cluster"));
    return;
  }
  founding_ = id;
  founded_ = true;
  write_hard({Term(1), NodeId{}});
  append_configuration(configuration);
  // Until now it was nobody, who waits longest.
  election_at_ = std::min(election_at_, now_ + election_timeout());
}

void Core::append_configuration(const Configuration& configuration) {
  append(EntryType::Config,
         std::make_shared<const std::string>(encode_configuration(configuration)));
}

// ---- progress of a change ---------------------------------------------------------------------

// The leader of the moment ends the joint state, also one that inherited it.
void Core::consider_leave() {
  if (!leads_with_commit() || !configuration().is_joint() || transfer_) return;
  if (commit_ < configurations_.back().first && !mutated(Mutation::M11)) return;
  append_configuration(left(configuration()));
}

void Core::finish_change() {
  if (!change_ || configuration().is_joint() || commit_ < configurations_.back().first) return;
  changes_.emplace_back(*change_, std::nullopt);
  change_.reset();
}

// A leader that is no voter any more hands over and steps down.
void Core::leave_leadership() {
  if (role_ != Role::Leader || is_voter() || transfer_) return;
  if (!leads_with_commit() || commit_ < configurations_.back().first) return;
  if (const auto to = best_target(false)) {
    begin_transfer(*to, 0, false);
  } else {
    step_down(hard_.term);
  }
}

// ---- peers ------------------------------------------------------------------------------------

void Core::configuration_changed() {
  rank_ = count_better();
  if (role_ == Role::Leader) keep_peers();
}

// Everybody in the newest configuration but us; who is in it no more, for a while.
void Core::keep_peers() {
  for (const Member& member : configuration().members) {
    if (member.id == config_.self) continue;
    if (Progress* known = peer(member.id)) {
      known->leaves.reset();
      continue;
    }
    Progress fresh;
    fresh.id = member.id;
    fresh.next = log_.last().next();
    fresh.contact = now_;  // time to answer
    peers_.push_back(std::move(fresh));
  }
  for (Progress& peer : peers_) {
    if (configuration().find(peer.id) != nullptr || peer.leaves) continue;
    peer.leaves = now_ + config_.removed_linger;
    peer.leaves_with = configurations_.back().first;
  }
}

void Core::drop_removed_peers() {
  std::erase_if(peers_, [this](const Progress& peer) {
    // Knows that it is out, for good.
    const bool knows = peer.match >= peer.leaves_with && peer.told_commit >= peer.leaves_with;
    return peer.leaves && (knows || *peer.leaves <= now_);
  });
}

}  // namespace fyr::raft
