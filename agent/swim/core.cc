#include "agent/swim/core.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::agent {

using swim::Ack;
using swim::Alive;
using swim::append_message;
using swim::begin_packet;
using swim::check_name;
using swim::check_tags;
using swim::cluster_hash;
using swim::Dead;
using swim::decode_packet;
using swim::encode_message;
using swim::encode_packet;
using swim::finish_packet;
using swim::Leave;
using swim::Message;
using swim::Nack;
using swim::Ping;
using swim::PingReq;
using swim::Refused;
using swim::Suspect;
using swim::Sync;

namespace {
// Later than this after the deadline we gave, we have not been running.
constexpr Duration kPause = std::chrono::milliseconds(400);
}  // namespace

Core::Core(CoreOptions options, Random random, Instant now)
    : options_(std::move(options)),
      random_(random),
      cluster_(cluster_hash(options_.cluster)),
      next_seq_(random_.next() >> 16),
      introduce_at_(now),
      now_(now) {
  options_.suspicion.probe_interval = options_.probe_interval;
  CHECK(check_name(options_.name).has_value());
  CHECK(check_tags(options_.tags).has_value());
  Record record;
  record.member = {
      options_.name, options_.address.ip.to_string(), options_.address.port, MemberState::Alive, 1,
      options_.tags};
  record.address = options_.address;
  record.since = now;
  records_.emplace(options_.name, std::move(record));
  probe_at_ = now + random_.between(Duration::zero(), options_.probe_interval);
  push_pull_at_ = now + random_.between(Duration::zero(), options_.push_pull_interval);
  reconnect_at_ = now + random_.between(Duration::zero(), options_.reconnect_interval);
  reap_at_ = now + options_.reap_interval;
}

Output Core::step(Instant now, const Input& input) {
  const auto deadline = next_deadline();
  if (deadline && now > *deadline + kPause) {
    const Duration pause = now - *deadline;
    now_ = now;
    out_ = {};
    note_pause();
    fact(FactKind::Paused,
         "was not running for " +
             format_duration(std::chrono::round<std::chrono::milliseconds>(pause)));
    for (auto& [name, record] : records_) {
      if (record.suspicion) record.suspicion->delay(pause);
    }
  } else {
    now_ = std::max(now, now_);
    out_ = {};
  }
  std::visit([&](const auto& in) { handle(in); }, input);
  run_timers();
  return std::move(out_);
}

// What was under way before a pause says nothing about others: the answers could not be heard.
void Core::note_pause() {
  probes_.clear();
  relays_.clear();
  last_chances_.clear();
  for (auto& [name, record] : records_) {
    record.last_chance_at.reset();
    record.last_chance_pings = 0;
  }
  probe_at_ = now_;
}

std::optional<Instant> Core::next_deadline() const {
  Instant next = std::min({push_pull_at_, reconnect_at_, reap_at_});
  if (!lap_.empty()) next = std::min(next, probe_at_);
  if (gossip_at_) next = std::min(next, *gossip_at_);
  if (leave_until_) next = std::min(next, *leave_until_);
  if (rejoin_ && rejoin_->next_at) next = std::min(next, *rejoin_->next_at);
  for (const auto& [seq, probe] : probes_) next = std::min(next, probe.next_at);
  for (const auto& [seq, relay] : relays_) {
    next = std::min(next, relay.nack_at.value_or(relay.expires));
  }
  for (const auto& [name, record] : records_) {
    if (!record.suspicion) continue;
    Instant at = record.suspicion->deadline() - options_.last_chance;
    if (record.last_chance_at) at = *record.last_chance_at;
    next = std::min(next, at);
  }
  return next;
}

void Core::run_timers() {
  run_relays();
  run_probes();
  run_suspicions();
  if (now_ >= probe_at_ && !leaving_) probe_next();
  if (now_ >= probe_at_) probe_at_ = now_ + awareness_.scale(options_.probe_interval);
  if (now_ >= push_pull_at_) push_pull();
  if (now_ >= reconnect_at_) reconnect();
  if (now_ >= reap_at_) reap();
  if (rejoin_ && rejoin_->next_at && now_ >= *rejoin_->next_at) rejoin();
  if (!gossip_at_ && has_news()) gossip_at_ = now_;
  if (gossip_at_ && now_ >= *gossip_at_) gossip();
  if (leave_until_) finish_leave();
}

// ---- packets and streams ----

void Core::handle(const PacketArrived& in) {
  auto messages = decode_packet(in.bytes, cluster_, kMaxPacket);
  if (!messages) return fact(FactKind::DroppedPacket, messages.error().message);
  // News first: a ping that carries "you are suspected" is answered with the refutation on board.
  for (const Message& message : *messages) {
    if (const auto* m = std::get_if<Suspect>(&message)) on_suspect(*m);
    if (const auto* m = std::get_if<Alive>(&message)) on_alive(*m);
    if (const auto* m = std::get_if<Dead>(&message)) on_dead(*m);
    if (const auto* m = std::get_if<Leave>(&message)) on_leave(*m);
    if (const auto* m = std::get_if<swim::Event>(&message)) on_event(*m);
  }
  for (const Message& message : *messages) {
    if (const auto* m = std::get_if<Ping>(&message)) on_ping(*m, in.from, false);
    if (const auto* m = std::get_if<PingReq>(&message)) on_ping_req(*m, in.from);
    if (const auto* m = std::get_if<Ack>(&message)) on_ack(*m, false);
    if (const auto* m = std::get_if<Nack>(&message)) on_nack(*m);
  }
}

void Core::handle(const StreamRequest& in) {
  auto messages = decode_packet(in.bytes, cluster_, kMaxStreamMessage);
  if (!messages) return fact(FactKind::DroppedPacket, messages.error().message);
  for (const Message& message : *messages) {
    if (const auto* m = std::get_if<Ping>(&message)) on_ping(*m, {}, true);
    const auto* sync = std::get_if<Sync>(&message);
    if (!sync) continue;
    if (const auto reason = refusal(*sync)) {
      fact(FactKind::NameConflict, *reason);
      out_.reply = encode_packet(cluster_, Refused{*reason});
      return;
    }
    merge(*sync);
    out_.reply = sync_packet(false);
  }
}

void Core::handle(const StreamAnswer& in) {
  const auto it = calls_.find(in.call);
  if (it == calls_.end()) return;
  const Call call = it->second;
  calls_.erase(it);
  auto messages = decode_packet(in.bytes, cluster_, kMaxStreamMessage);
  if (!messages) return call_done(in.call, call, messages.error());
  std::optional<Error> error = fail(ErrorCode::Corrupt, call.where + ": unexpected answer");
  for (const Message& message : *messages) {
    if (const auto* m = std::get_if<Ack>(&message)) {
      on_ack(*m, true);
      error.reset();
    } else if (const auto* sync = std::get_if<Sync>(&message)) {
      merge(*sync);
      error.reset();
    } else if (const auto* refused = std::get_if<Refused>(&message)) {
      error = fail(ErrorCode::Conflict, call.where + ": " + refused->reason);
    }
  }
  call_done(in.call, call, error);
}

void Core::handle(const StreamFailed& in) {
  const auto it = calls_.find(in.call);
  if (it == calls_.end()) return;
  const Call call = it->second;
  calls_.erase(it);
  call_done(in.call, call, in.error);
}

std::size_t Core::packet_room() const {
  return options_.address.ip.v6 ? kMaxPacketV6 : kMaxPacket;
}

// One packet with the given messages and as much news as fits.
void Core::send(const Address& to, const std::vector<Message>& messages) {
  std::string packet = begin_packet(cluster_);
  for (const Message& message : messages) append_message(packet, message);
  const std::size_t used = packet.size() + 4;
  CHECK(used <= packet_room());
  const int limit = retransmit_limit(options_.retransmit_mult, alive_count());
  queue_.take(packet, packet_room() - used, limit);
  const std::size_t now_used = packet.size() + 4;
  events_.take(packet, packet_room() - now_used, limit);
  finish_packet(packet);
  out_.packets.push_back({to, std::move(packet)});
}

// ---- spreading ----

void Core::gossip() {
  const auto targets = pick(static_cast<std::size_t>(options_.gossip_fanout), "", true);
  for (const auto& it : targets) {
    if (!has_news()) break;
    send(it->second.address, {});
  }
  // With nobody to tell, news is dropped: whoever comes later gets the whole list by SYNC.
  if (targets.empty()) {
    queue_ = BroadcastQueue();
    events_.drop_queued();
  }
  gossip_at_.reset();
  if (has_news()) gossip_at_ = now_ + options_.gossip_interval;
}

// Distinct members at random, self and `except` never; the recently failed if `with_dead`, so that
// one wrongly declared dead can hear of it and refute.
std::vector<Core::Records::iterator> Core::pick(std::size_t count, const std::string& except,
                                                bool with_dead) {
  std::vector<Records::iterator> all;
  for (auto it = records_.begin(); it != records_.end(); ++it) {
    const Record& record = it->second;
    if (it->first == options_.name || it->first == except) continue;
    const bool recent = with_dead && record.member.state == MemberState::Failed &&
                        now_ - record.since < options_.gossip_to_dead;
    if (record.gone() && !recent) continue;
    all.push_back(it);
  }
  random_.shuffle(std::span(all));
  if (all.size() > count) all.resize(count);
  return all;
}

// ---- commands ----

void Core::handle(const LeaveCommand&) {
  if (leaving_) return;
  leaving_ = true;
  rejoin_.reset();
  set_state(self(), MemberState::Leaving, incarnation());
  changed(self());
  queue_.push(options_.name, encode_message(Leave{options_.name, incarnation(), options_.name}),
              true);
  leave_until_ = now_ + options_.leave_timeout;
}

void Core::finish_leave() {
  const bool spread = !queue_.contains(options_.name) || alive_count() <= 1;
  if (!spread && now_ < *leave_until_) return;
  leave_until_.reset();
  set_state(self(), MemberState::Left, incarnation());
  changed(self());
  out_.left = true;
}

void Core::handle(const ForceLeaveCommand& in) {
  const auto it = records_.find(in.name);
  if (it == records_.end() || it->second.pruned) {
    out_.error = fail(ErrorCode::NotFound, "no member named \"" + in.name + "\"");
    return;
  }
  Record& record = it->second;
  if (!record.gone()) {
    out_.error = fail(ErrorCode::Conflict, "member \"" + in.name + "\" is alive");
    return;
  }
  on_leave({in.name, record.member.incarnation, options_.name, in.prune});
}

void Core::handle(const ProbeCommand& in) {
  const auto it = records_.find(in.name);
  if (it == records_.end() || in.name == options_.name || it->second.gone()) return;
  start_probe(in.name);
}

void Core::handle(const SetTagsCommand& in) {
  if (auto ok = check_tags(in.tags); !ok) {
    out_.error = ok.error();
    return;
  }
  if (leaving_ || in.tags == self().member.tags) return;
  self().member.tags = in.tags;
  ++self().member.incarnation;
  announce_self(false);
  changed(self());
}

void Core::handle(const FireCommand& in) {
  if (in.payload.size() > kMaxEventBytes) {
    out_.error = fail(ErrorCode::InvalidArgument, "event: more than 1000 bytes");
    return;
  }
  out_.events.push_back(events_.fire(in.payload, random_.next()));
}

void Core::on_event(const swim::Event& m) {
  if (events_.receive(m)) out_.events.push_back(m);
}

// ---- reading ----

std::vector<Member> Core::members() const {
  std::vector<Member> out;
  for (const auto& [name, record] : records_) {
    if (!record.pruned) out.push_back(record.member);
  }
  return out;
}

const Member* Core::find(const std::string& name) const {
  const auto it = records_.find(name);
  return it == records_.end() || it->second.pruned ? nullptr : &it->second.member;
}

std::size_t Core::alive_count() const {
  return static_cast<std::size_t>(std::count_if(
      records_.begin(), records_.end(), [](const auto& entry) { return !entry.second.gone(); }));
}

void Core::fact(FactKind kind, std::string text) {
  out_.facts.push_back({kind, std::move(text)});
}

void Core::check_invariants() const {
  std::set<std::string> lap(lap_.begin(), lap_.end());
  CHECK(lap.size() == lap_.size());
  CHECK(lap.count(options_.name) == 0);
  for (const auto& [name, record] : records_) {
    CHECK(record.member.name == name);
    CHECK(record.suspicion.has_value() == (record.member.state == MemberState::Suspect));
    CHECK(name == options_.name || (lap.count(name) == 1) == !record.gone());
  }
  CHECK(self().member.state == (leaving_ ? self().member.state : MemberState::Alive));
  CHECK(queue_.size() <= records_.size());
  std::set<std::string> probed;
  for (const auto& [seq, probe] : probes_) CHECK(probed.insert(probe.target).second);
}

}  // namespace fyr::agent
