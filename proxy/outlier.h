// What this agent itself knows about the endpoints of one listener: active checks, connect
// failures, gateway errors, stalls (specification, section 7).
//
//   UNKNOWN (usable) -> UP -> SUSPECT -> DOWN -> UP after `rise`;  EJECTED beside it
//
// Pure core: facts in, probes to make and verdicts to publish out. The caller serialises calls,
// runs the probes and spreads the verdicts; time comes with each fact, randomness by constructor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "proxy/config.h"

namespace fyr::proxy {

enum class LocalState : std::uint8_t { Unknown, Up, Suspect, Down };
enum class ProbeOutcome : std::uint8_t {
  Passed,
  BadStatus,  // an answer, but not one that counts as healthy
  NoAnswer,   // connected, then silence or nonsense
  Refused,    // a kernel lives there, the service does not listen
  Unreachable,
};

struct Probe {
  std::string key;
  std::uint64_t id = 0;
  CheckType type = CheckType::Tcp;
  Duration timeout{};
};

// What becomes of requests that wait there for an answer.
enum class Abandon : std::uint8_t {
  No,
  Repeatable,  // those that can be sent again elsewhere are; the others go on waiting
  All,         // nothing will answer any more
};

struct Verdict {
  std::string key;
  LocalState state = LocalState::Unknown;
  bool ejected = false;
  bool unreachable = false;  // L4-dead: not even a last resort
  Abandon abandon = Abandon::No;
};

struct HealthOutput {
  std::vector<Probe> probes;
  std::vector<Verdict> verdicts;
};

struct EndpointHealth {
  LocalState state = LocalState::Unknown;
  bool unreachable = false;
  int rising = 0;
  int falling = 0;
  int connect_failures = 0;
  int gateway_errors = 0;
  int ejections = 0;  // decays, sets the length of the next one
  std::uint64_t ejections_total = 0;
  std::optional<Instant> ejected_until;
  bool ejected_by_connect = false;
  Instant down_since{};
  Instant last_success{};  // of a forwarded request
  Instant next_check{};
  Instant next_decay{};
  Instant no_stall_before{};
  std::uint64_t probe_id = 0;  // in flight, 0 if none
  bool probe_is_stall = false;
  bool stalled = false;        // DOWN because it accepts and does not answer
  bool abandoned_all = false;  // told since it went DOWN
  int last_status = 0;         // of the last check, 0 if none
  bool ever_passed = false;
  bool wrong_path = false;  // only ever answered 404, 405 or 501 to the check
  bool ejected() const { return ejected_until.has_value(); }
};

class OutlierDetector {
 public:
  // `answers_http`: whether a stall can be probed with a request (listener protocol http).
  OutlierDetector(HealthCheckConfig check, OutlierConfig outlier, StallConfig stall,
                  bool answers_http, std::uint64_t seed);

  // Endpoints not named any more are forgotten, with their counters.
  HealthOutput set_endpoints(Instant now, const std::vector<std::string>& keys);
  HealthOutput connect_failed(Instant now, const std::string& key);
  HealthOutput connect_succeeded(Instant now, const std::string& key);
  HealthOutput gateway_error(Instant now, const std::string& key);
  // A request was answered properly at `when`.
  HealthOutput request_succeeded(Instant now, const std::string& key, Instant when);
  // `early`: total silence for a shorter time than a slow answer would be given.
  HealthOutput stall_suspected(Instant now, const std::string& key, bool early = false);
  HealthOutput probe_done(Instant now, const Probe& probe, ProbeOutcome outcome, int status);
  HealthOutput tick(Instant now);
  std::optional<Instant> next_deadline() const;

  const EndpointHealth* find(const std::string& key) const;
  // The check path answers 404 everywhere and never passed: TCP checks are made instead.
  bool check_misconfigured() const { return check_misconfigured_; }
  std::uint64_t ejections_total() const { return ejections_total_; }

 private:
  void eject(Instant now, const std::string& key, EndpointHealth& health, HealthOutput& out);
  void set_state(Instant now, const std::string& key, EndpointHealth& health, LocalState state,
                 bool unreachable, Abandon abandon, HealthOutput& out);
  void publish(const std::string& key, const EndpointHealth& health, Abandon abandon,
               HealthOutput& out) const;
  void start_probe(Instant now, const std::string& key, EndpointHealth& health, Duration timeout,
                   HealthOutput& out);
  void stall_probe_done(Instant now, const std::string& key, EndpointHealth& health,
                        ProbeOutcome outcome, HealthOutput& out);
  void check_passed(Instant now, const std::string& key, EndpointHealth& health, HealthOutput& out);
  void check_failed(Instant now, const std::string& key, EndpointHealth& health,
                    ProbeOutcome outcome, HealthOutput& out);
  void notice_wrong_path(int status, EndpointHealth& health);
  void plan_check(Instant now, EndpointHealth& health);
  bool checks_run(const EndpointHealth& health) const;
  bool may_eject_one_more() const;

  HealthCheckConfig check_;
  OutlierConfig outlier_;
  StallConfig stall_;
  bool answers_http_;
  Random random_;
  bool check_misconfigured_ = false;
  std::uint64_t next_probe_ = 1;
  std::uint64_t ejections_total_ = 0;
  std::unordered_map<std::string, EndpointHealth> endpoints_;
};

}  // namespace fyr::proxy
