#include "agent/checks/core.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::agent {

namespace {

constexpr Duration kFirstRunAfterRestart = std::chrono::seconds(2);
constexpr Duration kReapAgain = std::chrono::seconds(30);

std::string expired_text(const std::string& last_output) {
  std::string text = "TTL expired";
  if (!last_output.empty()) text += " (last output before timeout follows): " + last_output;
  return text;
}

}  // namespace

std::string_view to_string(CheckStatus status) {
  switch (status) {
    case CheckStatus::Passing:
      return "passing";
    case CheckStatus::Warning:
      return "warning";
    case CheckStatus::Critical:
      break;
  }
  return "critical";
}

std::optional<CheckStatus> parse_check_status(std::string_view text) {
  if (text == "passing") return CheckStatus::Passing;
  if (text == "warning") return CheckStatus::Warning;
  if (text == "critical") return CheckStatus::Critical;
  return std::nullopt;
}

Duration restart_grace(Duration interval) {
  return std::max<Duration>(std::chrono::seconds(30), 3 * interval);
}

CheckCore::CheckCore(CheckRules rules) : rules_(rules) {
  CHECK(rules_.interval >= Duration::zero() && rules_.ttl >= Duration::zero());
  if (rules_.failures_before_warning <= 0) {
    rules_.failures_before_warning = rules_.failures_before_critical;
  }
  successes_ = rules_.success_before_passing;
  failures_ = rules_.failures_before_critical;
}

CheckOutput CheckCore::step(Instant now, CheckInput input) {
  CheckOutput out;
  if (auto* started = std::get_if<CheckStart>(&input)) {
    start(now, std::move(*started), out);
  } else if (auto* finished = std::get_if<CheckResult>(&input)) {
    result(now, std::move(*finished), out);
  } else if (auto* update = std::get_if<CheckTold>(&input)) {
    told(now, std::move(*update), out);
  } else {
    tick(now, out);
  }
  return out;
}

void CheckCore::start(Instant now, CheckStart input, CheckOutput& out) {
  CHECK(input.spread >= 0 && input.spread < 1);
  set_status(now, input.initial);
  if (input.memory) {
    const CheckMemory& memory = *input.memory;
    const bool ttl = rules_.ttl > Duration::zero();
    const bool was_expired = ttl && memory.ttl_left <= Duration::zero();
    const bool kept =
        ttl ? memory.age < memory.ttl_left : memory.age < restart_grace(rules_.interval);
    if (memory.status == CheckStatus::Critical) critical_before_ = memory.critical_for;
    if (kept || was_expired) {
      publish(now, memory.status, memory.output, out);
    } else {
      publish(now, CheckStatus::Critical, ttl ? expired_text(memory.output) : memory.output, out);
    }
    if (ttl && kept) expires_ = now + (memory.ttl_left - memory.age);
  }
  if (rules_.ttl > Duration::zero() && !input.memory) expires_ = now + rules_.ttl;
  if (rules_.interval > Duration::zero()) {
    Duration first = rules_.interval;
    if (input.memory) first = std::min(first, kFirstRunAfterRestart);
    next_run_ =
        now +
        Duration(static_cast<Duration::rep>(static_cast<double>(first.count()) * input.spread));
  }
  reap_at_.reset();  // it was set without the time spent critical before
  set_status(now, status_);
}

void CheckCore::result(Instant now, CheckResult input, CheckOutput& out) {
  running_ = false;
  if (input.status != CheckStatus::Critical) {
    successes_ = std::min(successes_ + 1, 1 << 30);
    failures_ = 0;
    if (successes_ >= rules_.success_before_passing) {
      publish(now, input.status, std::move(input.output), out);
    }
    return;
  }
  failures_ = std::min(failures_ + 1, 1 << 30);
  successes_ = 0;
  if (failures_ >= rules_.failures_before_critical) {
    publish(now, CheckStatus::Critical, std::move(input.output), out);
  } else if (failures_ >= rules_.failures_before_warning) {
    publish(now, CheckStatus::Warning, std::move(input.output), out);
  }
}

void CheckCore::told(Instant now, CheckTold input, CheckOutput& out) {
  if (rules_.ttl <= Duration::zero()) return;
  expires_ = now + rules_.ttl;
  publish(now, input.status, std::move(input.output), out);
}

void CheckCore::tick(Instant now, CheckOutput& out) {
  if (next_run_ && now >= *next_run_) {
    if (running_) {
      ++out.slots_skipped;
    } else {
      running_ = true;
      out.run = true;
    }
    // The next slot of the same rate that still lies ahead.
    const auto missed = (now - *next_run_) / rules_.interval;
    out.slots_skipped += static_cast<std::uint64_t>(missed);
    *next_run_ += rules_.interval * (missed + 1);
  }
  if (expires_ && now >= *expires_) {
    expires_.reset();
    publish(now, CheckStatus::Critical, expired_text(output_), out);
  }
  if (reap_at_ && now >= *reap_at_) {
    reap_at_ = now + kReapAgain;  // this check goes with its service; until then it is not done
    out.deregister = true;
  }
}

void CheckCore::publish(Instant now, CheckStatus status, std::string text, CheckOutput& out) {
  set_status(now, status);
  output_ = text;
  out.published = CheckPublished{status, std::move(text)};
}

void CheckCore::set_status(Instant now, CheckStatus status) {
  status_ = status;
  if (status != CheckStatus::Critical) {
    critical_since_.reset();
    reap_at_.reset();
    critical_before_ = Duration::zero();
    return;
  }
  if (!critical_since_) critical_since_ = now;
  if (rules_.deregister_after > Duration::zero() && !reap_at_) {
    reap_at_ =
        *critical_since_ + std::max(rules_.deregister_after - critical_before_, Duration::zero());
  }
}

Duration CheckCore::critical_for(Instant now) const {
  if (!critical_since_) return Duration::zero();
  return critical_before_ + (now - *critical_since_);
}

std::optional<Instant> CheckCore::next_deadline() const {
  std::optional<Instant> next = next_run_;
  for (const auto& other : {expires_, reap_at_}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

CheckMemory CheckCore::memory(Instant now) const {
  CheckMemory memory;
  memory.status = status_;
  memory.output = output_;
  memory.critical_for = critical_for(now);
  if (expires_ && *expires_ > now) memory.ttl_left = *expires_ - now;
  return memory;
}

}  // namespace fyr::agent
