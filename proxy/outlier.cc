#include "proxy/outlier.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::proxy {
namespace {

constexpr Duration kStallProbeTimeout = std::chrono::milliseconds(500);
constexpr Duration kEarlyProbeTimeout = std::chrono::milliseconds(250);
constexpr Duration kFirstCheckWithin = std::chrono::milliseconds(100);
// A process that was restarted is back within seconds: look often for so long.
constexpr Duration kEagerAfterDown = std::chrono::seconds(10);

}  // namespace

OutlierDetector::OutlierDetector(HealthCheckConfig check, OutlierConfig outlier, StallConfig stall,
                                 bool answers_http, std::uint64_t seed)
    : check_(std::move(check)),
      outlier_(outlier),
      stall_(stall),
      answers_http_(answers_http),
      random_(seed) {}

const EndpointHealth* OutlierDetector::find(const std::string& key) const {
  const auto it = endpoints_.find(key);
  return it == endpoints_.end() ? nullptr : &it->second;
}

bool OutlierDetector::checks_run(const EndpointHealth& health) const {
  // Without configured checks an endpoint that is out needs some way back in.
  return check_.type != CheckType::None || health.state == LocalState::Down ||
         (health.ejected() && health.ejected_by_connect);
}

HealthOutput OutlierDetector::set_endpoints(Instant now, const std::vector<std::string>& keys) {
  std::unordered_map<std::string, EndpointHealth> kept;
  for (const auto& key : keys) {
    if (auto node = endpoints_.extract(key)) {
      kept.insert(std::move(node));
      continue;
    }
    EndpointHealth health;
    health.next_check = now + random_.between(Duration::zero(), kFirstCheckWithin);
    health.next_decay = now + outlier_.base;
    kept.emplace(key, health);
  }
  endpoints_ = std::move(kept);
  return {};
}

void OutlierDetector::publish(const std::string& key, const EndpointHealth& health, Abandon abandon,
                              HealthOutput& out) const {
  out.verdicts.push_back({key, health.state, health.ejected(), health.unreachable, abandon});
}

void OutlierDetector::set_state(Instant now, const std::string& key, EndpointHealth& health,
                                LocalState state, bool unreachable, Abandon abandon,
                                HealthOutput& out) {
  if (health.state == state && health.unreachable == unreachable && abandon == Abandon::No) {
    return;
  }
  if (state == LocalState::Down && health.state != LocalState::Down) {
    health.down_since = now;
    health.rising = 0;
    health.abandoned_all = false;
  }
  if (state != LocalState::Down) health.stalled = false;
  health.state = state;
  health.unreachable = unreachable;
  publish(key, health, abandon, out);
}

bool OutlierDetector::may_eject_one_more() const {
  const auto total = endpoints_.size();
  if (total < 2) return false;
  std::size_t ejected = 0;
  std::size_t usable = 0;
  for (const auto& [key, health] : endpoints_) {
    if (health.ejected()) ++ejected;
    if (!health.ejected() && health.state != LocalState::Down) ++usable;
  }
  if (usable < 2) return false;  // never the last one
  const auto allowed =
      std::max<std::size_t>(1, total * static_cast<std::size_t>(outlier_.max_percent) / 100);
  return ejected < allowed;
}

void OutlierDetector::eject(Instant now, const std::string& key, EndpointHealth& health,
                            HealthOutput& out) {
  if (health.ejected() || health.state == LocalState::Down || !may_eject_one_more()) return;
  ++health.ejections;
  ++health.ejections_total;
  ++ejections_total_;
  health.ejected_until = now + std::min<Duration>(outlier_.base * health.ejections, outlier_.max);
  health.rising = 0;
  publish(key, health, Abandon::No, out);
}

HealthOutput OutlierDetector::connect_failed(Instant now, const std::string& key) {
  HealthOutput out;
  const auto it = endpoints_.find(key);
  if (it == endpoints_.end()) return out;
  EndpointHealth& health = it->second;
  if (++health.connect_failures < outlier_.connect) return out;
  const bool was = health.ejected();
  eject(now, key, health, out);
  if (health.ejected() && !was) health.ejected_by_connect = true;
  // Ejected or not: find out soon whether it is gone.
  health.next_check = std::min(health.next_check, now + check_.fast_interval);
  return out;
}

HealthOutput OutlierDetector::connect_succeeded(Instant, const std::string& key) {
  const auto it = endpoints_.find(key);
  if (it != endpoints_.end()) it->second.connect_failures = 0;
  return {};
}

HealthOutput OutlierDetector::gateway_error(Instant now, const std::string& key) {
  HealthOutput out;
  const auto it = endpoints_.find(key);
  if (it == endpoints_.end()) return out;
  EndpointHealth& health = it->second;
  if (++health.gateway_errors < outlier_.gateway) return out;
  health.gateway_errors = 0;
  eject(now, key, health, out);
  if (health.ejected()) health.ejected_by_connect = false;
  return out;
}

HealthOutput OutlierDetector::request_succeeded(Instant now, const std::string& key, Instant when) {
  HealthOutput out;
  const auto it = endpoints_.find(key);
  if (it == endpoints_.end()) return out;
  EndpointHealth& health = it->second;
  health.last_success = std::max(health.last_success, when);
  health.gateway_errors = 0;
  health.connect_failures = 0;
  if (health.state == LocalState::Unknown) {
    set_state(now, key, health, LocalState::Up, false, Abandon::No, out);
  }
  return out;
}

void OutlierDetector::start_probe(Instant now, const std::string& key, EndpointHealth& health,
                                  Duration timeout, HealthOutput& out) {
  Probe probe;
  probe.key = key;
  probe.id = next_probe_++;
  probe.timeout = timeout;
  probe.type = check_.type;
  if (check_.type == CheckType::None || check_misconfigured_) probe.type = CheckType::Tcp;
  // A frozen process still accepts connections: only an answer proves that it runs.
  if (health.state == LocalState::Suspect || health.stalled) probe.type = CheckType::Http;
  health.probe_id = probe.id;
  health.probe_is_stall = health.state == LocalState::Suspect;
  health.next_check = now + probe.timeout + check_.interval;  // replanned when it is done
  out.probes.push_back(std::move(probe));
}

HealthOutput OutlierDetector::stall_suspected(Instant now, const std::string& key, bool early) {
  HealthOutput out;
  const auto it = endpoints_.find(key);
  if (it == endpoints_.end() || !stall_.enabled || !answers_http_) return out;
  EndpointHealth& health = it->second;
  if (health.state == LocalState::Suspect || health.state == LocalState::Down ||
      now < health.no_stall_before) {
    return out;
  }
  set_state(now, key, health, LocalState::Suspect, false, Abandon::No, out);
  start_probe(now, key, health, early ? kEarlyProbeTimeout : kStallProbeTimeout, out);
  return out;
}

void OutlierDetector::notice_wrong_path(int status, EndpointHealth& health) {
  if (check_.type != CheckType::Http || check_misconfigured_) return;
  health.wrong_path = !health.ever_passed && (status == 404 || status == 405 || status == 501);
  if (!health.wrong_path) return;
  for (const auto& [key, other] : endpoints_) {
    if (!other.wrong_path) return;
  }
  check_misconfigured_ = true;
  for (auto& [key, other] : endpoints_) other.falling = 0;
}

void OutlierDetector::check_passed(Instant now, const std::string& key, EndpointHealth& health,
                                   HealthOutput& out) {
  health.falling = 0;
  health.connect_failures = 0;
  health.ever_passed = true;
  const bool out_of_service = health.state == LocalState::Down;
  if (health.ejected() && health.ejected_by_connect && !out_of_service) {
    if (++health.rising < check_.rise) return;
    health.ejected_until.reset();
    health.rising = 0;
    health.state = LocalState::Up;
    publish(key, health, Abandon::No, out);
    return;
  }
  if (out_of_service) {
    if (++health.rising < check_.rise) return;
    if (health.ejected_by_connect) health.ejected_until.reset();
    health.rising = 0;
  }
  set_state(now, key, health, LocalState::Up, false, Abandon::No, out);
}

void OutlierDetector::check_failed(Instant now, const std::string& key, EndpointHealth& health,
                                   ProbeOutcome outcome, HealthOutput& out) {
  health.rising = 0;
  ++health.falling;
  const bool no_connection =
      outcome == ProbeOutcome::Refused || outcome == ProbeOutcome::Unreachable;
  if (health.state == LocalState::Down) {
    // A second silent probe: whatever still waits there waits in vain.
    const bool give_up = health.stalled && !health.abandoned_all;
    health.abandoned_all = health.abandoned_all || give_up;
    const Abandon abandon = give_up ? Abandon::All : Abandon::No;
    set_state(now, key, health, LocalState::Down, no_connection, abandon, out);
    return;
  }
  if (health.falling < check_.fall) return;
  // Refused says nothing about requests already accepted there: a service that shuts down in
  // order finishes them. A host that does not answer at all will not.
  set_state(now, key, health, LocalState::Down, no_connection,
            outcome == ProbeOutcome::Unreachable ? Abandon::All : Abandon::No, out);
}

void OutlierDetector::plan_check(Instant now, EndpointHealth& health) {
  Duration wait = check_.interval;
  const bool between = health.falling > 0 && health.state != LocalState::Down;
  const bool coming_back = health.rising > 0;
  const bool fresh_down =
      health.state == LocalState::Down && now - health.down_since < kEagerAfterDown;
  if (between || coming_back || fresh_down || (health.ejected() && health.ejected_by_connect)) {
    wait = std::min(check_.fast_interval, check_.interval);
  }
  health.next_check = now + wait;
}

void OutlierDetector::stall_probe_done(Instant now, const std::string& key, EndpointHealth& health,
                                       ProbeOutcome outcome, HealthOutput& out) {
  // Any answer shows a living process: slow is not dead.
  if (outcome == ProbeOutcome::Passed || outcome == ProbeOutcome::BadStatus) {
    health.no_stall_before = now + stall_.min;
    if (health.state == LocalState::Suspect) {
      set_state(now, key, health, LocalState::Up, false, Abandon::No, out);
    }
    return;
  }
  // It may still wake up. What can be repeated is, at once; the rest waits for a second opinion.
  const bool gone = outcome == ProbeOutcome::Unreachable;
  health.falling = std::max(health.falling, check_.fall);
  set_state(now, key, health, LocalState::Down, gone, gone ? Abandon::All : Abandon::Repeatable,
            out);
  health.stalled = !gone;
  health.abandoned_all = gone;
}

HealthOutput OutlierDetector::probe_done(Instant now, const Probe& probe, ProbeOutcome outcome,
                                         int status) {
  HealthOutput out;
  const auto it = endpoints_.find(probe.key);
  if (it == endpoints_.end() || it->second.probe_id != probe.id) return out;
  EndpointHealth& health = it->second;
  const bool stall = health.probe_is_stall;
  health.probe_id = 0;
  health.probe_is_stall = false;
  if (stall) {
    stall_probe_done(now, probe.key, health, outcome, out);
    plan_check(now, health);
    return out;
  }
  health.last_status = status;
  if (outcome == ProbeOutcome::BadStatus) notice_wrong_path(status, health);
  // Where no HTTP check is wanted, any answer ends a stall.
  const bool asked_for_life_only =
      health.stalled && (check_.type != CheckType::Http || check_misconfigured_);
  if (outcome == ProbeOutcome::Passed ||
      (outcome == ProbeOutcome::BadStatus && asked_for_life_only)) {
    health.wrong_path = false;
    check_passed(now, probe.key, health, out);
  } else if (!(check_misconfigured_ && outcome == ProbeOutcome::BadStatus)) {
    check_failed(now, probe.key, health, outcome, out);
  }
  plan_check(now, health);
  return out;
}

HealthOutput OutlierDetector::tick(Instant now) {
  HealthOutput out;
  for (auto& [key, health] : endpoints_) {
    if (health.ejected_until && now >= *health.ejected_until) {
      health.ejected_until.reset();
      health.connect_failures = 0;
      publish(key, health, Abandon::No, out);
    }
    if (now >= health.next_decay) {
      if (health.ejections > 0 && !health.ejected() && health.state != LocalState::Down) {
        --health.ejections;
      }
      health.next_decay = now + outlier_.base;
    }
    if (health.probe_id != 0 || now < health.next_check || !checks_run(health)) continue;
    const bool busy = health.state == LocalState::Up && !health.ejected() && health.falling == 0 &&
                      now - health.last_success < check_.interval;
    if (busy) {
      health.next_check = health.last_success + check_.interval;
      continue;
    }
    start_probe(now, key, health, check_.timeout, out);
  }
  return out;
}

std::optional<Instant> OutlierDetector::next_deadline() const {
  std::optional<Instant> first;
  const auto consider = [&](Instant when) { first = first ? std::min(*first, when) : when; };
  for (const auto& [key, health] : endpoints_) {
    if (health.ejected_until) consider(*health.ejected_until);
    if (health.ejections > 0) consider(health.next_decay);
    if (health.probe_id == 0 && checks_run(health)) consider(health.next_check);
  }
  return first;
}

}  // namespace fyr::proxy
