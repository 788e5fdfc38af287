// The life of one health check, without I/O: when it runs, what its result means, when it expires
// and when its service has been critical for too long. Rules: checks specification sections 3 to 5.
//
// Kinds that run (http, tcp, script, ...): the first run lies at a random point of the first
// interval, then at a fixed rate; a run that takes longer than the interval skips slots, two runs
// never overlap. Results pass the thresholds before they are published. TTL checks are told their
// status and expire; the others ignore TTL inputs.
//
// After a restart a status that is not too old is kept and the first run comes within
// min(interval, 2 s), so that restarting an agent flaps nothing.
//
// Pure: no clock, no randomness (the caller gives a number), no logging. One owner thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/time.h"

namespace fyr::agent {

enum class CheckStatus { Passing, Warning, Critical };

std::string_view to_string(CheckStatus status);
std::optional<CheckStatus> parse_check_status(std::string_view text);  // exact, lower case

struct CheckRules {
  Duration interval{};  // 0: never runs by itself (ttl, alias, maintenance)
  Duration ttl{};       // 0: not a TTL check
  int success_before_passing = 0;
  int failures_before_warning = 0;  // 0: as failures_before_critical
  int failures_before_critical = 0;
  Duration deregister_after{};  // 0: never
  bool operator==(const CheckRules&) const = default;
};

// What is kept on disk between two lives of the agent.
struct CheckMemory {
  CheckStatus status = CheckStatus::Critical;
  std::string output;
  Duration critical_for{};  // time spent critical so far
  Duration ttl_left{};      // TTL checks: what remained when it was written
  Duration age{};           // since it was written; filled in by the reader
};

// Inputs.
struct CheckStart {
  double spread = 0;  // in [0, 1)
  CheckStatus initial = CheckStatus::Critical;
  std::optional<CheckMemory> memory;
};
struct CheckResult {  // of the run asked for last
  CheckStatus status;
  std::string output;
};
struct CheckTold {  // pass, warn, fail, update of a TTL check
  CheckStatus status;
  std::string output;
};
struct CheckTick {};  // the deadline came
using CheckInput = std::variant<CheckStart, CheckResult, CheckTold, CheckTick>;

struct CheckPublished {
  CheckStatus status;
  std::string output;
};

struct CheckOutput {
  bool run = false;                 // start a run now
  bool deregister = false;          // remove the service; said again every 30 s until it is gone
  std::uint64_t slots_skipped = 0;  // overruns since the last output
  std::optional<CheckPublished> published;  // status or output to show from now on
};

class CheckCore {
 public:
  explicit CheckCore(CheckRules rules);

  CheckOutput step(Instant now, CheckInput input);
  std::optional<Instant> next_deadline() const;
  CheckMemory memory(Instant now) const;
  CheckStatus status() const { return status_; }
  const CheckRules& rules() const { return rules_; }

 private:
  void start(Instant now, CheckStart input, CheckOutput& out);
  void result(Instant now, CheckResult input, CheckOutput& out);
  void told(Instant now, CheckTold input, CheckOutput& out);
  void tick(Instant now, CheckOutput& out);
  void publish(Instant now, CheckStatus status, std::string text, CheckOutput& out);
  void set_status(Instant now, CheckStatus status);
  Duration critical_for(Instant now) const;

  CheckRules rules_;
  CheckStatus status_ = CheckStatus::Critical;
  std::string output_;
  int successes_ = 0;  // in a row; starts at the threshold so that the first result shows
  int failures_ = 0;
  bool running_ = false;
  std::optional<Instant> next_run_;  // slot of the fixed rate
  std::optional<Instant> expires_;   // TTL
  std::optional<Instant> critical_since_;
  Duration critical_before_{};  // in the lives before this one
  std::optional<Instant> reap_at_;
};

// How long a status outlives a stopped agent: max(30 s, 3 x interval).
Duration restart_grace(Duration interval);

}  // namespace fyr::agent
