// Probing: is this member still there? (SWIM section 4.1; timing in our specification, section 3
// and 4.)
#include <algorithm>

#include "agent/swim/core.h"
#include "base/check.h"

namespace fyr::agent {

using swim::Ack;
using swim::encode_packet;
using swim::Message;
using swim::Nack;
using swim::Ping;
using swim::PingReq;

namespace {
constexpr std::size_t kMaxRelays = 1024;  // beyond: the request is not served, its probe goes on
constexpr int kLastChancePings = 4;
}  // namespace

// Next in this lap that is not being probed already; a new order every lap.
void Core::probe_next() {
  for (std::size_t tried = 0; tried < lap_.size(); ++tried) {
    if (lap_at_ >= lap_.size()) {
      lap_at_ = 0;
      random_.shuffle(std::span(lap_));
    }
    const std::string target = lap_[lap_at_++];
    const bool busy = std::any_of(probes_.begin(), probes_.end(),
                                  [&](const auto& entry) { return entry.second.target == target; });
    if (busy) continue;
    start_probe(target);
    return;
  }
}

void Core::start_probe(const std::string& target) {
  for (const auto& [seq, probe] : probes_) {
    if (probe.target == target) return;
  }
  Probe probe;
  probe.target = target;
  probe.started = now_;
  probe.next_at = now_ + options_.probe_timeout / 2;
  probe.verdict_at =
      now_ + std::max(awareness_.scale(options_.probe_interval), options_.min_verdict);
  const std::uint64_t seq = next_seq_++;
  ping(seq, records_.at(target));
  probes_.emplace(seq, std::move(probe));
}

// A suspect hears of the suspicion from whoever pings it, whatever happened to the gossip.
void Core::ping(std::uint64_t seq, const Record& record) {
  std::vector<Message> messages{Ping{seq, record.member.name, options_.name, options_.address}};
  if (record.member.state == MemberState::Suspect) messages.push_back(*claim_about(record));
  send(record.address, messages);
}

void Core::stream_ping(std::uint64_t seq, const Record& record) {
  const Ping message{seq, record.member.name, options_.name, options_.address};
  call(CallKind::Ping, {record.member.address, record.member.port},
       encode_packet(cluster_, message), 0, seq);
}

void Core::run_probes() {
  std::vector<std::uint64_t> due;
  for (const auto& [seq, probe] : probes_) {
    if (now_ >= probe.next_at) due.push_back(seq);
  }
  for (const std::uint64_t seq : due) {
    const auto it = probes_.find(seq);
    if (it == probes_.end()) continue;
    if (now_ >= it->second.verdict_at) {
      const Probe probe = it->second;
      probes_.erase(it);
      judge(probe);
    } else {
      run_probe(seq, it->second);
    }
  }
}

void Core::run_probe(std::uint64_t seq, Probe& probe) {
  const auto it = records_.find(probe.target);
  if (it == records_.end() || it->second.gone()) {
    probes_.erase(seq);
    return;
  }
  if (probe.stage == ProbeStage::First) {
    probe.stage = ProbeStage::Second;
    probe.next_at = probe.started + options_.probe_timeout;
    ping(seq, it->second);
  } else {
    CHECK(probe.stage == ProbeStage::Second);
    probe.stage = ProbeStage::Indirect;
    probe.next_at = probe.verdict_at;
    ask_helpers(seq, probe);
    stream_ping(seq, it->second);
  }
}

// At least one helper in the target's site, when there is one: the path between the sites may be
// what is broken.
void Core::ask_helpers(std::uint64_t seq, Probe& probe) {
  const Record& target = records_.at(probe.target);
  auto all = pick(records_.size(), probe.target, false);
  const auto wanted = static_cast<std::size_t>(options_.helpers);
  if (all.size() > wanted) {
    const auto site = target.member.tags.find("site");
    const auto near = [&](const Records::iterator& it) {
      const auto its = it->second.member.tags.find("site");
      return site != target.member.tags.end() && its != it->second.member.tags.end() &&
             its->second == site->second;
    };
    const auto chosen_end = all.begin() + options_.helpers;
    if (std::none_of(all.begin(), chosen_end, near)) {
      const auto found = std::find_if(chosen_end, all.end(), near);
      if (found != all.end()) std::iter_swap(chosen_end - 1, found);
    }
    all.resize(wanted);
  }
  for (const auto& helper : all) {
    send(helper->second.address,
         {PingReq{seq, probe.target, target.address, options_.name, options_.address, true}});
    ++probe.nacks_wanted;
  }
}

void Core::judge(Probe probe) {
  const int missing = probe.nacks_wanted - probe.nacks;
  awareness_.add(probe.nacks_wanted == 0 ? 1 : std::max(0, missing));
  const auto it = records_.find(probe.target);
  if (it == records_.end() || it->second.gone()) return;
  on_suspect({probe.target, it->second.member.incarnation, options_.name});
}

void Core::on_ping(const Ping& m, const Address& from, bool stream) {
  if (m.target != options_.name) return;  // another member had this address before
  const Ack ack{m.seq, static_cast<std::uint32_t>(awareness_.score())};
  if (stream) {
    out_.reply = encode_packet(cluster_, ack);
    return;
  }
  std::vector<Message> messages{ack};
  const auto it = records_.find(m.source);
  if (it == records_.end()) {
    // A stranger that knows us: it or we were restarted. Exchange lists, at most once a second.
    if (now_ >= introduce_at_ && m.source_address.port != 0) {
      introduce_at_ = now_ + std::chrono::seconds(1);
      call(CallKind::PushPull, {m.source_address.ip.to_string(), m.source_address.port},
           sync_packet(false));
    }
  } else if (it->second.address == m.source_address) {
    // It is alive enough to ping: let it hear at once what we hold against it.
    if (const auto claim = claim_about(it->second)) messages.push_back(*claim);
  }
  send(from, messages);
}

void Core::on_ping_req(const PingReq& m, const Address& from) {
  if (relays_.size() >= kMaxRelays || m.target_address.port == 0) return;
  const std::uint64_t seq = next_seq_++;
  Relay relay;
  relay.origin_seq = m.seq;
  relay.origin = from;
  if (m.want_nack) relay.nack_at = now_ + options_.probe_timeout * 4 / 5;
  relay.expires = now_ + options_.min_verdict;
  relays_.emplace(seq, relay);
  std::vector<Message> messages{Ping{seq, m.target, options_.name, options_.address}};
  const auto it = records_.find(m.target);
  if (it != records_.end() && it->second.member.state == MemberState::Suspect) {
    messages.push_back(*claim_about(it->second));
  }
  send(m.target_address, messages);
}

void Core::run_relays() {
  for (auto it = relays_.begin(); it != relays_.end();) {
    Relay& relay = it->second;
    if (relay.nack_at && now_ >= *relay.nack_at) {
      relay.nack_at.reset();
      send(relay.origin, {Nack{relay.origin_seq}});
    }
    it = now_ >= relay.expires ? relays_.erase(it) : std::next(it);
  }
}

void Core::on_ack(const Ack& m, bool stream) {
  if (const auto relay = relays_.find(m.seq); relay != relays_.end()) {
    send(relay->second.origin, {Ack{relay->second.origin_seq, m.score}});
    relays_.erase(relay);
    return;
  }
  if (const auto chance = last_chances_.find(m.seq); chance != last_chances_.end()) {
    const std::string name = chance->second;
    last_chances_.erase(chance);
    const auto it = records_.find(name);
    if (it == records_.end() || !it->second.suspicion) return;
    // Ours is dropped; the others drop theirs when the suspect, told now, refutes.
    const auto claim = *claim_about(it->second);
    set_state(it->second, MemberState::Alive, it->second.member.incarnation);
    changed(it->second);
    send(it->second.address, {claim});
    return;
  }
  const auto it = probes_.find(m.seq);
  if (it == probes_.end()) return;
  const std::string target = it->second.target;
  probes_.erase(it);
  awareness_.add(-1);
  if (!stream) {
    udp_blocked_.erase(target);
  } else if (udp_blocked_.insert(target).second) {
    fact(FactKind::UdpBlocked, "member " + target + " at " +
                                   records_.at(target).address.to_string() +
                                   " answers over TCP only; is UDP blocked on the way?");
  }
}

void Core::on_nack(const Nack& m) {
  const auto it = probes_.find(m.seq);
  if (it != probes_.end())
    it->second.nacks = std::min(it->second.nacks + 1, it->second.nacks_wanted);
}

// ---- suspicions running out ----

void Core::run_suspicions() {
  std::vector<std::string> due;
  for (const auto& [name, record] : records_) {
    if (!record.suspicion) continue;
    const Instant at =
        record.last_chance_at.value_or(record.suspicion->deadline() - options_.last_chance);
    if (now_ >= at) due.push_back(name);
  }
  for (const std::string& name : due) last_chance(*records_.find(name));
}

// Pings spread over the time before the verdict; any ack saves the suspect.
void Core::last_chance(Records::value_type& entry) {
  auto& [name, record] = entry;
  if (record.last_chance_pings == kLastChancePings) {
    on_dead({name, record.member.incarnation, options_.name});
    return;
  }
  if (record.last_chance_pings == 0) {
    record.last_chance_seq = next_seq_++;
    last_chances_.emplace(record.last_chance_seq, name);
    stream_ping(record.last_chance_seq, record);
  }
  ++record.last_chance_pings;
  record.last_chance_at = now_ + options_.last_chance / kLastChancePings;
  ping(record.last_chance_seq, record);
}

}  // namespace fyr::agent
