#include "raft/node_metrics.h"

#include <algorithm>
#include <string>

#include "base/metrics.h"

namespace fyr::raft {
namespace {

constexpr Duration kPeriod = std::chrono::milliseconds(200);

double milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void set(const char* name, std::uint64_t value) {
  metrics::gauge(name).set(static_cast<double>(value));
}

}  // namespace

void NodeMetrics::changed(const SoftState& before, const SoftState& after) {
  if (after.role != before.role) {
    switch (after.role) {
      case Role::Leader:
        metrics::counter("consul.raft.state.leader").add();
        break;
      case Role::Candidate:
        metrics::counter("consul.raft.state.candidate").add();
        break;
      case Role::Follower:
        metrics::counter("consul.raft.state.follower").add();
        break;
    }
  }
  if (after.leader != NodeId{} && after.leader != before.leader)
    metrics::counter("fyr.raft.leader_changes").add();
}

void NodeMetrics::show(Instant at, const SoftState& soft, std::span<const PeerStatus> peers) {
  static metrics::Sample& contact = metrics::sample("consul.raft.leader.lastContact");
  next_ = at + kPeriod;
  const bool leads = soft.role == Role::Leader;
  set("fyr.raft.is_leader", leads ? 1 : 0);
  set("fyr.raft.knows_leader", leads || soft.leader != NodeId{} ? 1 : 0);
  set("fyr.raft.term", soft.term.value);
  set("fyr.raft.commit_index", soft.commit.value);
  set("fyr.raft.applied_index", soft.applied.value);
  set("fyr.raft.apply_lag", soft.commit.value - std::min(soft.applied, soft.commit).value);
  set("fyr.raft.last_index", soft.last.value);
  set("fyr.raft.durable_index", soft.durable.value);
  set("fyr.raft.quarantine", soft.quarantined ? 1 : 0);
  set("fyr.raft.transferring", soft.transferring ? 1 : 0);
  const bool lease = leads && soft.readable_until > at && soft.readable_until != Instant::max();
  metrics::gauge("fyr.raft.lease_remaining_ms")
      .set(lease ? milliseconds(soft.readable_until - at) : 0);
  if (!leads) return;
  for (const PeerStatus& peer : peers) {
    if (peer.last_contact == Instant::min()) continue;
    const metrics::Labels labels{{"peer_id", to_text(peer.id)}};
    const double silent = milliseconds(std::max(at - peer.last_contact, Duration::zero()));
    contact.add(silent);
    metrics::gauge("fyr.raft.peer_last_contact_ms", labels).set(silent);
    metrics::gauge("fyr.raft.peer_match_lag", labels)
        .set(static_cast<double>(soft.last.value - std::min(peer.match, soft.last).value));
    metrics::gauge("fyr.raft.peer_disk", labels).set(static_cast<double>(peer.disk));
    metrics::gauge("fyr.raft.peer_in_snapshot", labels).set(peer.snapshot ? 1 : 0);
  }
}

}  // namespace fyr::raft
