#include "agent/checks/runner.h"

#include <algorithm>

#include "agent/checks/output.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::agent {

struct CheckRunner::Running {
  std::string id;
  std::uint64_t generation = 0;
  CheckPlan plan;
  pb::CheckDefinition definition;
  CheckCore core{CheckRules{}};
  std::size_t output_limit = 0;
  io::Timer timer;
  std::optional<Instant> armed;
  std::unique_ptr<Probe> probe;
  Instant waiting_since{};
};

CheckRunner::CheckRunner(io::Runtime& runtime, int thread, CheckRunnerOptions options,
                         Events events, Random random)
    : runtime_(runtime),
      thread_(thread),
      options_(options),
      events_(std::move(events)),
      random_(random) {}

CheckRunner::~CheckRunner() = default;

void CheckRunner::add(const LocalCheck& check, const CheckPlan& plan,
                      std::optional<CheckMemory> memory) {
  const std::string& id = check.row.check_id();
  const auto old = checks_.find(id);
  if (old != checks_.end()) {
    const bool same =
        old->second->plan.kind == plan.kind &&
        old->second->definition.SerializeAsString() == check.definition.SerializeAsString();
    if (same) {
      // Registering the same check again changes nothing but starts a TTL anew.
      const CheckMemory kept = old->second->core.memory(now());
      if (plan.kind == CheckKind::Ttl) {
        return apply(*old->second,
                     old->second->core.step(now(), CheckTold{kept.status, kept.output}));
      }
      return events_.published(id, {kept.status, kept.output});
    }
    remove(id);
  }
  auto running = std::make_unique<Running>();
  running->id = id;
  running->generation = ++generations_;
  running->plan = plan;
  running->definition = check.definition;
  running->core = CheckCore(plan.rules);
  running->output_limit = options_.output_limit;
  if (check.definition.output_max_size() > 0) {
    running->output_limit = std::min(running->output_limit,
                                     static_cast<std::size_t>(check.definition.output_max_size()));
  }
  if (plan.slow_timeout) {
    log::warn("agent", "check {}: its timeout is longer than its interval", id);
  }
  CheckStart start;
  start.spread = random_.unit();
  start.initial = parse_check_status(check.row.status()).value_or(CheckStatus::Critical);
  start.memory = std::move(memory);
  Running& added = *(checks_[id] = std::move(running));
  apply(added, added.core.step(now(), std::move(start)));
}

void CheckRunner::remove(const std::string& id) {
  const auto it = checks_.find(id);
  if (it == checks_.end()) return;
  if (it->second->probe) {
    (runs_programs(it->second->plan.kind) ? programs_ : network_)--;
    let_go(std::move(it->second->probe));
  }
  checks_.erase(it);
  start_waiting();
}

void CheckRunner::stop() {
  stopped_ = true;
  checks_.clear();
  waiting_network_.clear();
  waiting_programs_.clear();
}

bool CheckRunner::tell(const std::string& id, CheckStatus status, std::string output) {
  const auto it = checks_.find(id);
  if (it == checks_.end() || it->second->plan.kind != CheckKind::Ttl) return false;
  Running& check = *it->second;
  output = options_.discard_output ? std::string() : note_output(output, check.output_limit);
  apply(check, check.core.step(now(), CheckTold{status, std::move(output)}));
  return true;
}

void CheckRunner::show(const std::string& id, CheckPublished published) {
  const auto it = checks_.find(id);
  if (it == checks_.end() || it->second->plan.kind != CheckKind::Alias) return;
  Running& check = *it->second;
  apply(check, check.core.step(now(), CheckResult{published.status, std::move(published.output)}));
}

std::optional<CheckMemory> CheckRunner::memory(const std::string& id) const {
  const auto it = checks_.find(id);
  if (it == checks_.end()) return std::nullopt;
  return it->second->core.memory(now());
}

std::vector<std::string> CheckRunner::ids() const {
  std::vector<std::string> out;
  for (const auto& [id, check] : checks_) out.push_back(id);
  return out;
}

void CheckRunner::apply(Running& check, CheckOutput out) {
  if (out.slots_skipped > 0) {
    metrics::counter("fyr.agent.check_runs_skipped").add(out.slots_skipped);
    log::debug("agent", "check {}: {} runs skipped, the one before still ran", check.id,
               out.slots_skipped);
  }
  if (out.run) enqueue(check);
  arm(check);
  // Events last: they may remove the check.
  const std::string id = check.id;
  if (out.published) events_.published(id, *out.published);
  if (out.deregister) events_.reap(id);
}

void CheckRunner::arm(Running& check) {
  const auto next = check.core.next_deadline();
  if (next == check.armed) return;
  check.armed = next;
  check.timer.cancel();
  if (!next) return;
  const Duration delay = std::max(*next - now(), Duration::zero());
  check.timer = runtime_.schedule(
      thread_, delay, [weak = std::weak_ptr(alive_), id = check.id, generation = check.generation] {
        const auto self = weak.lock();
        if (!self || (*self)->stopped_) return;
        const auto it = (*self)->checks_.find(id);
        if (it == (*self)->checks_.end() || it->second->generation != generation) return;
        it->second->armed.reset();
        (*self)->apply(*it->second, it->second->core.step(now(), CheckTick{}));
      });
}

void CheckRunner::enqueue(Running& check) {
  check.waiting_since = now();
  auto& queue = runs_programs(check.plan.kind) ? waiting_programs_ : waiting_network_;
  queue.emplace_back(check.id, check.generation);
  start_waiting();
}

void CheckRunner::start_waiting() {
  const auto drain = [this](auto& queue, const std::size_t& running, std::size_t limit) {
    while (!queue.empty() && running < limit && !stopped_) {
      const auto [id, generation] = queue.front();
      queue.pop_front();
      const auto it = checks_.find(id);
      if (it != checks_.end() && it->second->generation == generation) start(*it->second);
    }
  };
  drain(waiting_network_, network_, options_.max_network);
  drain(waiting_programs_, programs_, options_.max_programs);
}

void CheckRunner::start(Running& check) {
  const Duration waited = now() - check.waiting_since;
  if (waited > check.plan.rules.interval) {
    metrics::counter("fyr.agent.check_runs_late").add();
    log::warn("agent", "check {}: waited {} for its turn", check.id, format_duration(waited));
  }
  (runs_programs(check.plan.kind) ? programs_ : network_)++;
  const ProbeRequest request{check.plan.kind, check.plan.timeout, check.output_limit,
                             &check.definition};
  check.probe = start_probe(runtime_, thread_, request,
                            [weak = std::weak_ptr(alive_), id = check.id,
                             generation = check.generation](CheckResult result) {
                              if (const auto self = weak.lock())
                                (*self)->finished(id, generation, std::move(result));
                            });
}

void CheckRunner::finished(const std::string& id, std::uint64_t generation, CheckResult result) {
  const auto it = checks_.find(id);
  if (stopped_ || it == checks_.end() || it->second->generation != generation) return;
  Running& check = *it->second;
  (runs_programs(check.plan.kind) ? programs_ : network_)--;
  let_go(std::move(check.probe));
  if (options_.discard_output) result.output.clear();
  apply(check, check.core.step(now(), std::move(result)));
  start_waiting();
}

// A probe may be calling us right now: it is destroyed when that call has returned.
void CheckRunner::let_go(std::unique_ptr<Probe> probe) {
  runtime_.post(thread_,
                [kept = std::shared_ptr<Probe>(std::move(probe))]() mutable { kept.reset(); });
}

}  // namespace fyr::agent
