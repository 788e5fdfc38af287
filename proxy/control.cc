#include "proxy/control.h"

#include <algorithm>
#include <optional>

#include "base/log.h"

namespace fyr::proxy {
namespace {

const char* to_text(LocalState state) {
  switch (state) {
    case LocalState::Unknown:
      return "UNKNOWN";
    case LocalState::Up:
      return "UP";
    case LocalState::Suspect:
      return "SUSPECT";
    case LocalState::Down:
      return "DOWN";
  }
  return "?";
}

constexpr Duration kNameRefresh = std::chrono::seconds(30);
constexpr Duration kNameRetry = std::chrono::seconds(5);

std::optional<IpAddress> literal(const std::string& address) {
  return IpAddress::parse(address == "localhost" ? "127.0.0.1" : address);
}

std::shared_ptr<Endpoint> make_endpoint(const EndpointMember& member,
                                        std::optional<IpAddress> address) {
  auto endpoint = std::make_shared<Endpoint>(member.key, member.info.id);
  if (address && member.info.port != 0) {
    endpoint->address = to_socket_address(*address, member.info.port);
    endpoint->resolved = true;
  }
  endpoint->address_text = HostPort{member.info.address, member.info.port}.to_string();
  return endpoint;
}

void describe(Endpoint& endpoint, const EndpointMember& member) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const int foreign = member.excluded == "residency" ? kForbiddenTier : kNoTier;
  endpoint.tier.store(member.foreign() ? foreign : member.tier, kRelaxed);
  endpoint.rank.store(member.rank, kRelaxed);
  endpoint.position.store(member.info.position, kRelaxed);
  endpoint.critical.store(member.info.status == CatalogStatus::Critical, kRelaxed);
  endpoint.weight.store(member.weight, kRelaxed);
}

}  // namespace

ListenerControl::ListenerControl(io::Runtime& runtime, int home, EventLoop& loop,
                                 std::shared_ptr<ListenerShared> shared, Publisher publisher,
                                 std::uint64_t seed)
    : runtime_(runtime),
      home_(home),
      loop_(loop),
      shared_(std::move(shared)),
      publisher_(std::move(publisher)),
      set_(endpoint_rules(shared_->config, shared_->site)),
      detector_(shared_->config.health_check, shared_->config.outlier, shared_->config.stall,
                shared_->config.protocol == Protocol::Http, seed),
      departed_detector_(HealthCheckConfig{.type = CheckType::None}, shared_->config.outlier,
                         shared_->config.stall, shared_->config.protocol == Protocol::Http,
                         seed + 1),
      prober_(loop, shared_->config.health_check,
              [this](const Probe& probe, ProbeOutcome outcome, int status) {
                carry_out(detector_of(probe.key).probe_done(loop_.now(), probe, outcome, status));
              }),
      resolver_(runtime.context(home)),
      view_(std::make_shared<const ListenerView>()) {}

void ListenerControl::post(std::function<void(ListenerControl&)> task) {
  runtime_.post(home_, [weak = weak_from_this(), task = std::move(task)] {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->loop_.run([&] { task(*self); });
  });
}

void ListenerControl::offer(EndpointUpdate update) {
  post([update = std::move(update)](ListenerControl& self) { self.apply(update); });
}

void ListenerControl::report(EndpointFact fact) {
  post([fact = std::move(fact)](ListenerControl& self) { self.handle(fact); });
}

std::shared_ptr<const ListenerView> ListenerControl::view() const {
  return view_.read([](const auto& view) { return view; });
}

void ListenerControl::close() {
  closed_ = true;
  timer_.cancel();
  name_timers_.clear();
  prober_.cancel_all();
}

void ListenerControl::apply(EndpointUpdate update) {
  const auto verdict = set_.offer(loop_.now(), std::move(update));
  if (verdict == EndpointSet::Verdict::Applied) {
    members_changed();
  } else {
    if (verdict == EndpointSet::Verdict::Held) {
      log::warn("proxy", "listener {}: an update that contradicts the known endpoints is held",
                shared_->config.name);
    }
    publish_view();
    schedule();
  }
}

// Objects of endpoints that stay are kept: their counters, pools and credits go on.
void ListenerControl::members_changed() {
  std::map<std::string, std::shared_ptr<Endpoint>> kept;
  std::vector<std::string> keys;
  std::vector<const EndpointInfo*> names;
  for (const auto& member : set_.members()) {
    auto& endpoint = kept[member.key];
    const auto known = endpoints_.find(member.key);
    const auto address = literal(member.info.address);
    if (known != endpoints_.end()) {
      endpoint = known->second;
    } else if (const auto departed = departed_.find(member.key); departed != departed_.end()) {
      endpoint = departed->second;  // with the requests that still wait there
      endpoint->healthy.store(true, std::memory_order_relaxed);
      endpoint->last_resort.store(true, std::memory_order_relaxed);
    } else {
      endpoint = make_endpoint(member, address);
    }
    describe(*endpoint, member);
    if (!member.foreign()) keys.push_back(member.key);
    if (known == endpoints_.end() && !address && !member.info.address.empty()) {
      names.push_back(&member.info);
    }
  }
  endpoints_.swap(kept);
  for (auto& [key, endpoint] : kept) {
    if (!endpoints_.contains(key)) departed_[key] = std::move(endpoint);
  }
  kept.clear();
  const auto gone = [&](const auto& entry) { return !endpoints_.contains(entry.first); };
  std::erase_if(seen_success_, gone);
  std::erase_if(name_timers_, gone);
  for (const EndpointInfo* info : names) look_up(endpoint_key(*info), info->address);
  publish_table();
  carry_out(detector_.set_endpoints(loop_.now(), keys));
  forget_departed();
}

// Whoever still forwards to an endpoint shares it: once nobody else does, nobody can any more.
void ListenerControl::forget_departed() {
  if (departed_.empty()) return;
  std::erase_if(departed_, [&](const auto& entry) {
    return entry.second.use_count() == 1 || endpoints_.contains(entry.first);
  });
  std::vector<std::string> keys;
  for (const auto& [key, endpoint] : departed_) keys.push_back(key);
  carry_out(departed_detector_.set_endpoints(loop_.now(), keys));
}

std::shared_ptr<Endpoint> ListenerControl::find_endpoint(const std::string& key) const {
  for (const auto* endpoints : {&endpoints_, &departed_}) {
    if (const auto it = endpoints->find(key); it != endpoints->end()) return it->second;
  }
  return nullptr;
}

OutlierDetector& ListenerControl::detector_of(const std::string& key) {
  return endpoints_.contains(key) ? detector_ : departed_detector_;
}

void ListenerControl::publish_table() {
  auto table = std::make_shared<EndpointTable>();
  table->version = ++version_;
  for (const auto& [key, endpoint] : endpoints_) table->endpoints.push_back(endpoint);
  bool anybody = false;
  for (const auto& member : set_.members()) {
    anybody = anybody || member.weight > 0;
    table->residency = table->residency || member.excluded == "residency";
  }
  if (anybody) table->residency = false;
  renew_hash();
  table->hash = hash_;
  publisher_.table(std::move(table));
}

// Made once for all threads, and only if somebody came, went or changed weight.
void ListenerControl::renew_hash() {
  const Balance balance = shared_->config.balance;
  const bool ring = balance == Balance::RingHash;
  if (!ring && balance != Balance::Maglev && balance != Balance::Source) return;
  std::vector<HashMember> members;
  for (const auto& [key, endpoint] : endpoints_) {
    members.push_back({key, endpoint->weight.load(std::memory_order_relaxed)});
  }
  if (hash_ && members == hashed_) return;
  hash_ = ring ? HashTable::ring(members) : HashTable::maglev(members);
  hashed_ = std::move(members);
}

void ListenerControl::look_up(const std::string& key, const std::string& host) {
  resolver_.resolve(host, [weak = weak_from_this(), key, host](std::optional<IpAddress> address) {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->loop_.run([&] { self->looked_up(key, host, address); });
  });
}

// A name that moves makes a new endpoint object: what runs on the old address finishes there. A
// name that fails keeps the last address.
void ListenerControl::looked_up(const std::string& key, const std::string& host,
                                std::optional<IpAddress> address) {
  const auto known = endpoints_.find(key);
  if (known == endpoints_.end()) return;
  if (!address) {
    log::warn("proxy", "listener {}: endpoint {}: the name {} has no address", shared_->config.name,
              known->second->id, host);
  } else {
    for (const auto& member : set_.members()) {
      if (member.key != key) continue;
      auto fresh = make_endpoint(member, address);
      describe(*fresh, member);
      const bool moved = !known->second->resolved ||
                         address_text(fresh->address) != address_text(known->second->address);
      if (!moved) break;
      fresh->healthy.store(known->second->healthy.load());
      fresh->last_resort.store(known->second->last_resort.load());
      known->second = std::move(fresh);
      publish_table();
      publish_view();
      break;
    }
  }
  name_timers_[key] = runtime_.schedule(home_, address ? kNameRefresh : kNameRetry,
                                        [weak = weak_from_this(), key, host] {
                                          const auto self = weak.lock();
                                          if (self && !self->closed_) self->look_up(key, host);
                                        });
}

void ListenerControl::handle(const EndpointFact& fact) {
  const Instant now = loop_.now();
  switch (fact.kind) {
    case EndpointFact::Kind::ConnectFailed:
      carry_out(detector_.connect_failed(now, fact.key));
      break;
    case EndpointFact::Kind::ConnectSucceeded:
      carry_out(detector_.connect_succeeded(now, fact.key));
      break;
    case EndpointFact::Kind::GatewayError:
      carry_out(detector_.gateway_error(now, fact.key));
      break;
    case EndpointFact::Kind::RequestSucceeded:
      carry_out(detector_.request_succeeded(now, fact.key, now));
      break;
    case EndpointFact::Kind::StallSuspected:
      carry_out(detector_of(fact.key).stall_suspected(now, fact.key));
      break;
    case EndpointFact::Kind::SilenceSuspected:
      carry_out(detector_of(fact.key).stall_suspected(now, fact.key, true));
      break;
  }
  const auto known = endpoints_.find(fact.key);
  const auto* health = detector_.find(fact.key);
  if (known == endpoints_.end() || health == nullptr) return;
  const bool troubled = health->connect_failures > 0 || health->gateway_errors > 0;
  known->second->troubled.store(troubled, std::memory_order_relaxed);
}

void ListenerControl::apply_verdict(const Verdict& verdict) {
  const auto known = find_endpoint(verdict.key);
  if (!known) return;
  Endpoint& endpoint = *known;
  const bool up = verdict.state == LocalState::Unknown || verdict.state == LocalState::Up;
  const bool healthy = up && !verdict.ejected;
  const bool was = endpoint.healthy.exchange(healthy, std::memory_order_relaxed);
  endpoint.last_resort.store(!verdict.unreachable, std::memory_order_relaxed);
  const bool down = verdict.state == LocalState::Down;
  const bool was_down = endpoint.down.exchange(down, std::memory_order_relaxed);
  if (was_down && !down) {
    endpoint.ramp_since.store(loop_.now().time_since_epoch().count(), std::memory_order_relaxed);
  }
  if (was != healthy || was_down != down || verdict.abandon != Abandon::No) {
    log::info("proxy", "listener {}: endpoint {} is {}{}", shared_->config.name, endpoint.id,
              to_text(verdict.state), verdict.ejected ? ", ejected" : "");
    publisher_.changed(known, verdict.abandon);
  }
}

void ListenerControl::carry_out(HealthOutput output) {
  for (const auto& verdict : output.verdicts) apply_verdict(verdict);
  for (const auto& probe : output.probes) {
    if (const auto known = find_endpoint(probe.key)) prober_.start(probe, *known);
  }
  publish_view();
  schedule();
}

// Forwarded requests prove health as well as a check does.
void ListenerControl::note_traffic(Instant now) {
  for (const auto& [key, endpoint] : endpoints_) {
    const auto at = endpoint->last_success.load(std::memory_order_relaxed);
    auto& seen = seen_success_[key];
    if (at == seen) continue;
    seen = at;
    const auto output = detector_.request_succeeded(now, key, Instant(Duration(at)));
    for (const auto& verdict : output.verdicts) apply_verdict(verdict);
  }
}

void ListenerControl::tick() {
  const Instant now = loop_.now();
  if (set_.tick(now)) members_changed();
  note_traffic(now);
  carry_out(detector_.tick(now));
  carry_out(departed_detector_.tick(now));
  forget_departed();
}

void ListenerControl::schedule() {
  if (closed_) return;
  auto next = detector_.next_deadline();
  for (const auto& other : {set_.next_deadline(), departed_detector_.next_deadline()}) {
    if (other) next = next ? std::min(*next, *other) : *other;
  }
  if (!next) {
    timer_.cancel();
    return;
  }
  // Never at once again and again: a few milliseconds gather what is due together.
  const Duration wait = std::max<Duration>(*next - loop_.now(), std::chrono::milliseconds(5));
  timer_ = runtime_.schedule(home_, wait, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->loop_.run([&] { self->tick(); });
  });
}

void ListenerControl::publish_view() {
  auto view = std::make_shared<ListenerView>();
  view->index = set_.index();
  view->known = set_.known();
  view->from_disk = set_.from_disk();
  view->holding = set_.holding();
  view->check_misconfigured = detector_.check_misconfigured();
  view->updated_at = set_.updated_at();
  view->ejections_total = detector_.ejections_total();
  for (const auto& member : set_.members()) {
    const auto* health = detector_.find(member.key);
    view->endpoints.push_back(
        {member, health == nullptr ? EndpointHealth{} : *health, endpoints_.at(member.key)});
  }
  view_.write([&](auto& current) { current = std::move(view); });
}

}  // namespace fyr::proxy
