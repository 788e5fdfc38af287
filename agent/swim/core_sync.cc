// Full exchanges of member lists over a stream: joining, repairing, meeting the lost again.
#include <algorithm>
#include <cmath>

#include "agent/swim/core.h"
#include "base/check.h"

namespace fyr::agent {

using swim::Alive;
using swim::encode_packet;
using swim::Sync;
using swim::SyncEntry;

namespace {
constexpr std::size_t kRejoinSeeds = 3;
constexpr std::size_t kSmallCluster = 32;
}  // namespace

std::string Core::sync_packet(bool join) const {
  Sync sync{join, options_.name, {}};
  for (const auto& [name, record] : records_) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now_ - record.since).count();
    sync.entries.push_back({alive_of(record), record.member.state,
                            static_cast<std::uint64_t>(std::max<std::int64_t>(0, age)),
                            record.pruned});
  }
  sync.event_time = events_.time();
  return encode_packet(cluster_, sync);
}

// The caller's own entry must not collide with a member we know.
std::optional<std::string> Core::refusal(const Sync& sync) const {
  for (const SyncEntry& entry : sync.entries) {
    if (entry.alive.node != sync.source) continue;
    if (entry.alive.node == options_.name && entry.alive.address != options_.address) {
      return "node name \"" + options_.name + "\" is used by " + options_.address.to_string() +
             " and by " + entry.alive.address.to_string();
    }
    return conflict(entry.alive);
  }
  return std::nullopt;
}

void Core::merge(const Sync& sync) {
  for (const SyncEntry& entry : sync.entries) merge_entry(entry);
  events_.witness(sync.event_time);
}

void Core::merge_entry(const SyncEntry& entry) {
  const Alive& m = entry.alive;
  const bool gone = entry.state == MemberState::Failed || entry.state == MemberState::Left;
  const auto it = records_.find(m.node);
  if (gone && it == records_.end() && m.node != options_.name) {
    // Learnt as gone, with its age: it is forgotten here when everybody else forgets it.
    const Duration age =
        std::chrono::seconds(std::min<std::uint64_t>(entry.age_seconds, 10'000'000));
    const Duration keep =
        entry.state == MemberState::Failed ? options_.keep_failed : options_.keep_left;
    if (age >= keep || entry.pruned || m.address.port == 0) return;
    Record& record = add(m);
    set_state(record, entry.state, m.incarnation);
    record.since = now_ - age;
    changed(record);
    return;
  }
  switch (entry.state) {
    case MemberState::Alive:
      return on_alive(m);
    case MemberState::Suspect:
    case MemberState::Failed:
      // News of a death by this way is only a suspicion: it may be old, and the member may refute.
      on_alive(m);
      return on_suspect({m.node, m.incarnation, options_.name});
    case MemberState::Leaving:
    case MemberState::Left:
      return on_leave({m.node, m.incarnation, options_.name, entry.pruned});
  }
}

// ---- calls ----

std::uint64_t Core::call(CallKind kind, const HostPort& to, std::string bytes, std::uint64_t ticket,
                         std::uint64_t seq) {
  const std::uint64_t id = next_call_++;
  calls_.emplace(id, Call{kind, ticket, seq, to.to_string()});
  out_.calls.push_back({id, to, std::move(bytes)});
  return id;
}

void Core::call_done(std::uint64_t, const Call& done, std::optional<Error> error) {
  if (done.kind == CallKind::Rejoin) {
    if (error) fact(FactKind::JoinFailed, "joining " + done.where + ": " + error->message);
    rejoin_done(!error);
  }
  if (done.kind != CallKind::Join) return;
  const auto it = joins_.find(done.ticket);
  if (it == joins_.end()) return;
  JoinState& state = it->second;
  if (error) {
    state.error = std::move(error);
  } else {
    ++state.answered;
  }
  if (--state.open > 0) return;
  JoinResult result{done.ticket, state.answered, std::nullopt};
  if (state.answered == 0) result.error = state.error;
  out_.joins.push_back(std::move(result));
  joins_.erase(it);
}

void Core::handle(const JoinCommand& in) {
  if (in.addresses.empty() || leaving_) {
    const auto why = leaving_ ? "this member is leaving" : "no address to join";
    out_.joins.push_back({in.ticket, 0, fail(ErrorCode::InvalidArgument, why)});
    return;
  }
  joins_[in.ticket].open = static_cast<int>(in.addresses.size());
  for (const HostPort& to : in.addresses) call(CallKind::Join, to, sync_packet(true), in.ticket);
}

void Core::handle(const KeepJoiningCommand& in) {
  if (in.addresses.empty() || leaving_) return;
  rejoin_ = Rejoin{in.addresses, options_.rejoin_min, now_, 0, false};
}

void Core::rejoin() {
  auto addresses = rejoin_->addresses;
  random_.shuffle(std::span(addresses));
  if (addresses.size() > kRejoinSeeds) addresses.resize(kRejoinSeeds);
  rejoin_->next_at.reset();
  rejoin_->answered = false;
  rejoin_->open = static_cast<int>(addresses.size());
  for (const HostPort& to : addresses) call(CallKind::Rejoin, to, sync_packet(true));
}

void Core::rejoin_done(bool ok) {
  if (!rejoin_) return;
  rejoin_->answered = rejoin_->answered || ok;
  if (--rejoin_->open > 0) return;
  if (rejoin_->answered) {
    rejoin_.reset();
    return;
  }
  rejoin_->next_at = now_ + random_.between(rejoin_->wait * 3 / 4, rejoin_->wait * 5 / 4);
  rejoin_->wait = std::min(rejoin_->wait * 2, options_.rejoin_max);
}

// ---- periodic ----

Duration Core::push_pull_period() const {
  const std::size_t n = alive_count();
  if (n <= kSmallCluster) return options_.push_pull_interval;
  const double laps = std::ceil(std::log2(static_cast<double>(n) / kSmallCluster));
  return options_.push_pull_interval * (1 + static_cast<int>(laps));
}

void Core::push_pull() {
  push_pull_at_ = now_ + push_pull_period();
  if (leaving_) return;
  for (const auto& it : pick(1, "", false)) {
    call(CallKind::PushPull, {it->second.member.address, it->second.member.port},
         sync_packet(false));
  }
}

// Somebody tries one failed member now and then, about once an interval in the whole cluster:
// after a partition this is how both halves meet again.
void Core::reconnect() {
  reconnect_at_ = now_ + options_.reconnect_interval;
  if (leaving_) return;
  std::vector<Records::iterator> failed;
  for (auto it = records_.begin(); it != records_.end(); ++it) {
    if (it->second.member.state == MemberState::Failed) failed.push_back(it);
  }
  if (failed.empty()) return;
  const double odds = static_cast<double>(failed.size()) / static_cast<double>(alive_count());
  if (!random_.chance(odds)) return;
  const Record& record = failed[random_.below(failed.size())]->second;
  call(CallKind::Reconnect, {record.member.address, record.member.port}, sync_packet(false));
}

}  // namespace fyr::agent
