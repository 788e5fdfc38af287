// What is said about members and what becomes of it: precedence, refutation, conflicts, reaping.
#include <algorithm>

#include "agent/swim/core.h"
#include "base/check.h"

namespace fyr::agent {

using swim::Alive;
using swim::Dead;
using swim::encode_message;
using swim::Leave;
using swim::Message;
using swim::Suspect;

namespace {

int rank(MemberState state) {
  switch (state) {
    case MemberState::Alive:
      return 0;
    case MemberState::Suspect:
      return 1;
    case MemberState::Failed:
      return 2;
    case MemberState::Leaving:
    case MemberState::Left:
      return 3;
  }
  return 0;
}

constexpr Duration kKeepPruned = std::chrono::seconds(60);
// A failed member's name may be taken over from another address after this long.
constexpr Duration kNameGuard = std::chrono::seconds(30);

std::string tag(const Tags& tags, const std::string& key) {
  const auto it = tags.find(key);
  return it == tags.end() ? std::string() : it->second;
}

}  // namespace

// ---- claims ----

void Core::on_suspect(const Suspect& m) {
  if (m.node == options_.name) return about_self(m.incarnation);
  const auto it = records_.find(m.node);
  if (it == records_.end()) return;
  Record& record = it->second;
  if (m.incarnation < record.member.incarnation) return;
  const bool newer = m.incarnation > record.member.incarnation;
  if (!newer && rank(record.member.state) > rank(MemberState::Suspect)) return;
  if (record.suspicion) {
    record.member.incarnation = m.incarnation;
    if (record.suspicion->confirm(m.from)) queue_.push(m.node, encode_message(m));
    return;
  }
  set_state(record, MemberState::Suspect, m.incarnation);
  record.suspicion.emplace(options_.suspicion, alive_count(), now_, m.from);
  queue_.push(m.node, encode_message(m));
  changed(record);
  fact(FactKind::Suspected, "member " + m.node + " is suspected by " + m.from);
}

void Core::on_alive(const Alive& m) {
  if (m.address.port == 0 || m.address.ip.is_unspecified()) return;
  if (m.node == options_.name) {
    const bool same = m.address == options_.address && m.tags == self().member.tags;
    if (m.incarnation > incarnation() || (m.incarnation == incarnation() && !same)) {
      about_self(m.incarnation);
    }
    return;
  }
  const auto it = records_.find(m.node);
  if (it != records_.end() && m.incarnation <= it->second.member.incarnation) return;
  if (const auto reason = conflict(m)) return fact(FactKind::NameConflict, *reason);
  if (it == records_.end()) {
    Record& record = add(m);
    queue_.push(m.node, encode_message(m));
    changed(record);
    return;
  }
  Record& record = it->second;
  record.pruned = false;
  record.address = m.address;
  record.member.address = m.address.ip.to_string();
  record.member.port = m.address.port;
  record.member.tags = m.tags;
  set_state(record, MemberState::Alive, m.incarnation);
  queue_.push(m.node, encode_message(m));
  changed(record);
}

void Core::on_dead(const Dead& m) {
  if (m.node == options_.name) return about_self(m.incarnation);
  const auto it = records_.find(m.node);
  if (it == records_.end()) return;
  Record& record = it->second;
  if (m.incarnation < record.member.incarnation) return;
  const bool newer = m.incarnation > record.member.incarnation;
  if (!newer && rank(record.member.state) >= rank(MemberState::Failed)) return;
  set_state(record, MemberState::Failed, m.incarnation);
  queue_.push(m.node, encode_message(m));
  changed(record);
}

void Core::on_leave(const Leave& m) {
  if (m.node == options_.name) return about_self(m.incarnation);
  const auto it = records_.find(m.node);
  if (it == records_.end()) return;
  Record& record = it->second;
  if (m.incarnation < record.member.incarnation) return;
  const bool newer = m.incarnation > record.member.incarnation;
  const bool prunes = m.prune && !record.pruned;
  if (!newer && record.member.state == MemberState::Left && !prunes) return;
  record.pruned = record.pruned || m.prune;
  set_state(record, MemberState::Left, m.incarnation);
  queue_.push(m.node, encode_message(m));
  changed(record, record.pruned);
}

// Somebody says something about us that is not true, or was said about an earlier life of ours.
void Core::about_self(std::uint64_t incarnation_heard) {
  if (leaving_ || incarnation_heard < incarnation()) return;
  refute(incarnation_heard);
}

void Core::refute(std::uint64_t incarnation_heard) {
  // The highest number cannot be outbid; no honest member ever reaches it.
  if (incarnation_heard == ~std::uint64_t{0}) return;
  self().member.incarnation = incarnation_heard + 1;
  awareness_.add(1);
  announce_self(true);
  changed(self());
  fact(FactKind::Refuted, "refuted a claim about us, incarnation " + std::to_string(incarnation()));
}

// Names and ids are unique among the living. Whoever is known first keeps them.
std::optional<std::string> Core::conflict(const Alive& m) const {
  const std::string id = tag(m.tags, "id");
  for (const auto& [name, record] : records_) {
    const std::string known_id = tag(record.member.tags, "id");
    if (name == m.node) {
      if (m.address == record.address || (!id.empty() && id == known_id)) continue;
      if (record.member.state == MemberState::Left) continue;
      if (record.member.state == MemberState::Failed && now_ - record.since > kNameGuard) continue;
      return "node name \"" + name + "\" is used by " + record.address.to_string() + " (id " +
             known_id + ") and by " + m.address.to_string() + " (id " + id + ")";
    }
    if (id.empty() || id != known_id || record.gone()) continue;
    return "node id " + id + " is used by \"" + name + "\" at " + record.address.to_string() +
           " and by \"" + m.node + "\" at " + m.address.to_string();
  }
  return std::nullopt;
}

// ---- records ----

Core::Record& Core::add(const Alive& m) {
  Record record;
  record.member = {
      m.node, m.address.ip.to_string(), m.address.port, MemberState::Alive, m.incarnation, m.tags};
  record.address = m.address;
  record.since = now_;
  const auto at = lap_.begin() + static_cast<std::ptrdiff_t>(random_.below(lap_.size() + 1));
  if (static_cast<std::size_t>(at - lap_.begin()) < lap_at_) ++lap_at_;
  lap_.insert(at, m.node);
  return records_.emplace(m.node, std::move(record)).first->second;
}

// Keeps everything that hangs on a state in step with it.
void Core::set_state(Record& record, MemberState state, std::uint64_t incarnation_now) {
  CHECK(incarnation_now >= record.member.incarnation);
  const bool was_gone = record.gone();
  if (record.member.state != state) record.since = now_;
  record.member.state = state;
  record.member.incarnation = incarnation_now;
  if (state != MemberState::Suspect) {
    record.suspicion.reset();
    last_chances_.erase(record.last_chance_seq);
  }
  record.last_chance_at.reset();
  record.last_chance_pings = 0;
  if (&record == &self() || was_gone == record.gone()) return;
  const auto it = std::find(lap_.begin(), lap_.end(), record.member.name);
  if (record.gone()) {
    CHECK(it != lap_.end());
    if (static_cast<std::size_t>(it - lap_.begin()) < lap_at_) --lap_at_;
    lap_.erase(it);
    udp_blocked_.erase(record.member.name);
  } else {
    CHECK(it == lap_.end());
    lap_.push_back(record.member.name);
  }
}

void Core::changed(const Record& record, bool forgotten) {
  out_.changes.push_back({record.member, forgotten});
}

Alive Core::alive_of(const Record& record) const {
  return {record.member.name, record.member.incarnation, record.address, record.member.tags};
}

void Core::announce_self(bool urgent) {
  queue_.push(options_.name, encode_message(alive_of(self())), urgent);
  if (urgent) gossip_at_ = now_;
}

// What we would say about a member that is not alive.
std::optional<Message> Core::claim_about(const Record& record) const {
  const Member& m = record.member;
  switch (m.state) {
    case MemberState::Suspect:
      return Suspect{m.name, m.incarnation, options_.name};
    case MemberState::Failed:
      return Dead{m.name, m.incarnation, options_.name};
    case MemberState::Left:
      return Leave{m.name, m.incarnation, options_.name, record.pruned};
    default:
      return std::nullopt;
  }
}

void Core::forget(Records::iterator it) {
  if (!it->second.pruned) {
    it->second.member.state = MemberState::Left;
    changed(it->second, true);
  }
  queue_.drop(it->first);
  records_.erase(it);
}

void Core::reap() {
  reap_at_ = now_ + options_.reap_interval;
  for (auto it = records_.begin(); it != records_.end();) {
    const auto current = it++;
    const Record& record = current->second;
    if (!record.gone() || current->first == options_.name) continue;
    Duration keep =
        record.member.state == MemberState::Failed ? options_.keep_failed : options_.keep_left;
    if (record.pruned) keep = kKeepPruned;
    if (now_ - record.since >= keep) forget(current);
  }
}

}  // namespace fyr::agent
