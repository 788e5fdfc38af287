#include "server/leader/autopilot.h"

#include <algorithm>

#include "raft/quorum.h"

namespace fyr::server {

namespace {

bool contains(const std::vector<raft::NodeId>& ids, raft::NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

const ServerFact* find_fact(const AutopilotView& view, raft::NodeId id) {
  const auto found =
      std::ranges::find(view.servers, id, [](const ServerFact& fact) { return fact.member.id; });
  return found == view.servers.end() ? nullptr : &*found;
}

const raft::PeerStatus* find_peer(const AutopilotView& view, raft::NodeId id) {
  const auto found = std::ranges::find(view.peers, id, &raft::PeerStatus::id);
  return found == view.peers.end() ? nullptr : &*found;
}

// An empty disk under an old name is a new server; the old one does not come back.
bool is_superseded(const AutopilotView& view, const raft::Member& member) {
  return std::ranges::any_of(view.servers, [&](const ServerFact& fact) {
    return fact.alive && fact.member.name == member.name && fact.member.id != member.id;
  });
}

bool left(const AutopilotView& view, const raft::Member& member) {
  const ServerFact* fact = find_fact(view, member.id);
  return (fact && fact->left) || (!fact && is_superseded(view, member));
}

}  // namespace

void Autopilot::reset() {
  known_.clear();
  health_.clear();
}

void Autopilot::observe(const AutopilotView& view) {
  health_.clear();
  std::map<raft::NodeId, Known> now_known;
  const Duration threshold = std::max(view.settings.last_contact_threshold, kLeastThreshold);
  for (const raft::Member& member : view.members.members) {
    ServerHealth health;
    health.member = member;
    health.voter = contains(view.members.voters, member.id);
    health.leader = member.id == view.self;
    const ServerFact* fact = find_fact(view, member.id);
    const raft::PeerStatus* peer = find_peer(view, member.id);
    health.alive = health.leader || (fact && fact->alive);
    if (health.leader) {
      health.match = view.last;
      health.healthy = true;
    } else if (peer && peer->last_contact != Instant::min()) {
      health.match = peer->match;
      health.last_contact = view.now - peer->last_contact;
      health.healthy = health.alive && !peer->quarantined && health.last_contact <= threshold &&
                       health.match.value + view.settings.max_trailing_logs >= view.last.value;
    } else {
      health.last_contact = Duration::max();
    }
    Known known = known_[member.id];
    if (!health.healthy) known.well_since.reset();
    if (health.healthy && !known.well_since) known.well_since = view.now;
    // Dead is who neither gossip nor the leader's messages reach.
    const bool dead = !health.alive && health.last_contact > threshold;
    if (!dead) known.dead_since.reset();
    if (dead && !known.dead_since) known.dead_since = view.now;
    health.stable_since = known.well_since.value_or(view.now);
    now_known[member.id] = known;
    health_.push_back(std::move(health));
  }
  known_ = std::move(now_known);
}

// Servers the cluster does not know yet, and members whose address or role changed.
void Autopilot::take_in(const AutopilotView& view, raft::ConfigChange& change) const {
  std::size_t learners = view.members.learners.size();
  for (const ServerFact& fact : view.servers) {
    if (!fact.alive || fact.member.id == raft::NodeId{}) continue;
    const auto found = std::ranges::find(view.members.members, fact.member.id, &raft::Member::id);
    if (found == view.members.members.end()) {
      if (learners >= kMaxLearners) continue;
      ++learners;
      change.put.push_back(fact.member);
    } else if (*found != fact.member) {
      change.put.push_back(fact.member);
    }
  }
}

void Autopilot::promote(const AutopilotView& view, raft::ConfigChange& change) const {
  std::size_t voters = view.members.voters.size();
  for (const ServerHealth& health : health_) {
    const raft::PeerStatus* peer = find_peer(view, health.member.id);
    if (health.voter || health.member.kind == raft::MemberKind::ReadServer) continue;
    if (!peer || peer->snapshot || !health.healthy || voters >= kMaxVoters) continue;
    if (peer->match.value + kMaxLag < view.last.value) continue;
    const auto since = known_.at(health.member.id).well_since;
    if (!since || view.now - *since < view.settings.stabilization) continue;
    change.promote.push_back(health.member.id);
    ++voters;
  }
}

void Autopilot::clean_up(const AutopilotView& view, raft::ConfigChange& change) const {
  const std::size_t voters = view.members.voters.size();
  const std::size_t after_promotion = voters + change.promote.size();
  const std::size_t least = std::max<std::size_t>(kMinVoters, view.settings.min_quorum);
  // Never more at once than the cluster can lose and still decide.
  const std::size_t minority = (voters - 1) / 2;
  std::size_t removed = 0;
  for (const ServerHealth& health : health_) {
    if (health.leader) continue;
    const auto dead_since = known_.at(health.member.id).dead_since;
    const bool dead = view.settings.cleanup_dead_servers && dead_since &&
                      view.now - *dead_since >= view.settings.stabilization;
    const bool gone = left(view, health.member);
    if (!health.voter) {
      if (dead || gone) change.remove.push_back(health.member.id);
      continue;
    }
    const std::size_t rest = after_promotion - removed - 1;
    // Who left by its own will goes even if few stay: it does not come back under this id.
    const bool allowed = gone ? rest >= 1 : rest >= least;
    if ((!dead && !gone) || !allowed || removed >= std::max<std::size_t>(minority, gone ? 1 : 0)) {
      continue;
    }
    change.remove.push_back(health.member.id);
    ++removed;
  }
}

std::optional<raft::ConfigChange> Autopilot::decide(const AutopilotView& view) {
  observe(view);
  if (view.members.is_joint() || view.members.voters.empty()) return std::nullopt;
  raft::ConfigChange change;
  take_in(view, change);
  promote(view, change);
  clean_up(view, change);
  // Who is about to be removed is not put in again.
  std::erase_if(change.put, [&](const raft::Member& m) { return contains(change.remove, m.id); });
  if (change.put.empty() && change.promote.empty() && change.remove.empty()) return std::nullopt;
  return change;
}

std::size_t Autopilot::failure_tolerance() const {
  std::size_t voters = 0, healthy = 0;
  for (const ServerHealth& health : health_) {
    voters += health.voter ? 1 : 0;
    healthy += health.voter && health.healthy ? 1 : 0;
  }
  const std::size_t needed = raft::majority(voters);
  return healthy > needed ? healthy - needed : 0;
}

}  // namespace fyr::server
