#include "agent/registrar.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace fyr::agent {

namespace {

bool is_maintenance(const LocalCheck& check) {
  return check.row.type() == "maintenance";
}

template <class T>
std::string bytes_of(const T& message) {
  return message.SerializeAsString();
}

bool is_same(const LocalService& a, const LocalService& b) {
  return a.token == b.token && a.source == b.source && bytes_of(a.row) == bytes_of(b.row);
}

// Apart from what results have changed.
bool is_same(const LocalCheck& a, const LocalCheck& b) {
  pb::HealthCheck row = b.row;
  row.set_status(a.row.status());
  row.set_output(a.row.output());
  return a.token == b.token && a.source == b.source && bytes_of(a.row) == bytes_of(row) &&
         bytes_of(a.definition) == bytes_of(b.definition);
}

}  // namespace

Result<PlannedDefinitions> plan_definitions(std::vector<ServiceSpec> services,
                                            std::vector<CheckSpec> checks,
                                            const RegistrationRules& rules) {
  PlannedDefinitions out;
  for (ServiceSpec& spec : services) {
    const std::string name = spec.service.service();
    auto planned = plan_service(std::move(spec), Source::File, rules);
    if (!planned) {
      return fail(planned.error().code, "service \"" + name + "\": " + planned.error().message);
    }
    out.services.push_back(std::move(*planned));
  }
  for (CheckSpec& spec : checks) {
    const std::string name = spec.check.name();
    const std::string service_id = spec.check.service_id();
    const LocalService* service = nullptr;
    for (const PlannedService& planned : out.services) {
      if (!service_id.empty() && planned.service.row.id() == service_id) {
        service = &planned.service;
      }
    }
    auto planned = plan_check_spec(std::move(spec), service, Source::File, rules);
    if (!planned) {
      return fail(planned.error().code, "check \"" + name + "\": " + planned.error().message);
    }
    out.checks.push_back(std::move(*planned));
  }
  return out;
}

Registrar::Registrar(RegistrarParts parts, CheckRunnerOptions checks, Random random,
                     RegistrationRules rules)
    : parts_(std::move(parts)),
      rules_(std::move(rules)),
      runner_(*parts_.runtime, parts_.thread, checks,
              {[this](const std::string& id, const CheckPublished& what) { published(id, what); },
               [this](const std::string& id) { reap(id); }},
              random),
      keeper_(*parts_.runtime, parts_.thread, parts_.disk_thread, parts_.disk, runner_),
      queue_(*parts_.runtime, parts_.thread, parts_.disk_thread, parts_.disk,
             [this] { touched(); }) {}

void Registrar::start() {
  keeper_.start();
}

void Registrar::stop(std::function<void()> done) {
  queue_.stop([this, done = std::move(done)] {
    keeper_.flush_now(done);
    runner_.stop();
  });
}

void Registrar::touched() {
  parts_.sync->item_changed();
  parts_.changed();
}

// ---- services ----------------------------------------------------------------------------------

void Registrar::put_service(const PlannedService& planned) {
  parts_.state->set_service(planned.service);
  for (const PlannedCheck& check : planned.checks) {
    put_check(check, true, runner_.memory(check.check.row.check_id()));
  }
}

ChangeQueue::Step Registrar::plan_add_service(const std::shared_ptr<const PlannedService>& planned,
                                              bool replace_checks) {
  const std::string& id = planned->service.row.id();
  Step step;
  step.change.services.push_back(planned->service);
  for (const PlannedCheck& check : planned->checks) step.change.checks.push_back(check.check);
  std::vector<std::string> leaving;
  if (replace_checks) {
    for (const std::string& check : parts_.state->checks_of(id)) {
      const bool stays =
          std::any_of(planned->checks.begin(), planned->checks.end(),
                      [&](const PlannedCheck& one) { return one.check.row.check_id() == check; });
      if (stays || check.starts_with(kServiceMaintenancePrefix)) continue;
      leaving.push_back(check);
      step.touches.push_back(ChangeQueue::check_name(check));
    }
  }
  step.change.gone_checks = leaving;
  step.apply = [this, planned, leaving] {
    for (const std::string& check : leaving) drop_check(check);
    put_service(*planned);
  };
  return step;
}

void Registrar::add_service(PlannedService planned, bool replace_checks, Done done) {
  ChangeQueue::Operation operation;
  operation.touches.push_back(ChangeQueue::service_name(planned.service.row.id()));
  operation.bytes = planned.service.row.ByteSizeLong();
  for (const PlannedCheck& check : planned.checks) {
    operation.touches.push_back(ChangeQueue::check_name(check.check.row.check_id()));
    operation.bytes += check.check.row.ByteSizeLong() + check.check.definition.ByteSizeLong();
  }
  operation.plan = [this, shared = std::make_shared<const PlannedService>(std::move(planned)),
                    replace_checks]() -> Result<Step> {
    return plan_add_service(shared, replace_checks);
  };
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

void Registrar::drop_service(const std::string& id) {
  for (const std::string& check : parts_.state->checks_of(id)) runner_.remove(check);
  parts_.state->remove_service(id);
}

ChangeQueue::Step Registrar::plan_remove_service(const std::string& id) {
  Step step;
  if (!parts_.state->service(id)) {
    log::warn("agent", "asked to deregister service {}, which is not registered", id);
    return step;
  }
  step.change.gone_services.push_back(id);
  step.change.gone_checks = parts_.state->checks_of(id);
  for (const std::string& check : step.change.gone_checks) {
    step.touches.push_back(ChangeQueue::check_name(check));
  }
  step.apply = [this, id] { drop_service(id); };
  return step;
}

void Registrar::queue_removal(const std::string& service_id, bool always, Done done) {
  ChangeQueue::Operation operation;
  operation.touches.push_back(ChangeQueue::service_name(service_id));
  operation.plan = [this, service_id]() -> Result<Step> { return plan_remove_service(service_id); };
  operation.done = std::move(done);
  operation.always = always;
  queue_.add(std::move(operation));
}

void Registrar::remove_service(const std::string& id, Done done) {
  queue_removal(id, false, std::move(done));
}

// ---- checks ------------------------------------------------------------------------------------

// `keep_status`: a check of this id that is there goes on with the status it has.
void Registrar::put_check(const PlannedCheck& planned, bool keep_status,
                          std::optional<CheckMemory> memory) {
  LocalCheck check = planned.check;
  const LocalCheck* old = parts_.state->check(check.row.check_id());
  if (old && (keep_status || is_same(*old, check))) {
    check.row.set_status(old->row.status());
    check.row.set_output(old->row.output());
  }
  parts_.state->set_check(check);
  runner_.add(check, planned.plan, std::move(memory));
}

void Registrar::put_bare_check(LocalCheck check) {
  parts_.state->set_check(std::move(check));
}

Result<ChangeQueue::Step> Registrar::plan_add_check(CheckSpec spec) {
  const std::string& owner = spec.check.service_id();
  const LocalService* service = owner.empty() ? nullptr : parts_.state->service(owner);
  auto planned = plan_check_spec(std::move(spec), service, Source::Api, rules_);
  if (!planned) return planned.error();
  Step step;
  step.change.checks.push_back(planned->check);
  step.touches.push_back(ChangeQueue::check_name(planned->check.row.check_id()));
  step.apply = [this, planned = std::move(*planned)] { put_check(planned, false, std::nullopt); };
  return step;
}

void Registrar::add_check(CheckSpec spec, Done done) {
  ChangeQueue::Operation operation;
  if (!spec.check.service_id().empty()) {
    operation.touches.push_back(ChangeQueue::service_name(spec.check.service_id()));
  }
  operation.bytes = spec.check.ByteSizeLong();
  operation.plan = [this, spec = std::move(spec)] { return plan_add_check(spec); };
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

void Registrar::drop_check(const std::string& id) {
  runner_.remove(id);
  parts_.state->remove_check(id);
}

ChangeQueue::Step Registrar::plan_remove_check(const std::string& id) {
  Step step;
  if (!parts_.state->check(id)) return step;
  step.change.gone_checks.push_back(id);
  step.apply = [this, id] { drop_check(id); };
  return step;
}

void Registrar::remove_check(const std::string& id, Done done) {
  ChangeQueue::Operation operation;
  operation.touches.push_back(ChangeQueue::check_name(id));
  operation.plan = [this, id]() -> Result<Step> { return plan_remove_check(id); };
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

Result<void> Registrar::tell(const std::string& check_id, CheckStatus status,
                             const std::string& output) {
  if (!runner_.tell(check_id, status, output)) {
    return fail(ErrorCode::Internal, "CheckID \"" + check_id + "\" does not have associated TTL");
  }
  return {};
}

void Registrar::published(const std::string& id, const CheckPublished& what) {
  const LocalCheck* check = parts_.state->check(id);
  if (!check) return;
  const bool turned = check->row.status() != to_string(what.status);
  if (turned) {
    const std::string service = check->row.service_id();
    log::info("agent", "check {}{}{} is now {}", id, service.empty() ? "" : " of ", service,
              to_string(what.status));
  }
  parts_.state->update_check(id, to_string(what.status), what.output, parts_.sync->output_due());
  keeper_.changed(id);
  touched();
}

void Registrar::reap(const std::string& check_id) {
  const LocalCheck* check = parts_.state->check(check_id);
  if (!check || check->row.service_id().empty()) return;
  const std::string service = check->row.service_id();
  const Duration limit(check->definition.deregister_critical_after_ns());
  log::warn("agent", "service {} is removed: its check {} was critical for longer than {}", service,
            check_id, format_duration(std::max<Duration>(limit, std::chrono::minutes(1))));
  queue_removal(service, true, [service](const Result<void>& done) {
    if (!done) log::error("agent", "service {} not removed: {}", service, done.error().message);
  });
}

// ---- maintenance -------------------------------------------------------------------------------

ChangeQueue::Step Registrar::plan_maintenance(LocalCheck check, bool on) {
  const std::string id = check.row.check_id();
  const bool is_on = parts_.state->check(id) != nullptr;
  if (on == is_on) return {};  // the first reason stays
  Step step = plan_remove_check(id);
  if (on) {
    step.change.checks.push_back(check);
    step.apply = [this, check = std::move(check)] {
      log::info("agent", "{}: {}", check.row.name(), check.row.notes());
      put_bare_check(check);
    };
  }
  step.touches.push_back(ChangeQueue::check_name(id));
  return step;
}

void Registrar::set_node_maintenance(bool on, const std::string& reason, const std::string& token,
                                     Done done) {
  ChangeQueue::Operation operation;
  operation.plan = [this, on, reason, token]() -> Result<Step> {
    return plan_maintenance(maintenance_check(rules_.node_name, nullptr, reason, token), on);
  };
  operation.touches.push_back(ChangeQueue::check_name(std::string(kNodeMaintenanceId)));
  operation.bytes = reason.size();
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

void Registrar::set_service_maintenance(const std::string& id, bool on, const std::string& reason,
                                        const std::string& token, Done done) {
  ChangeQueue::Operation operation;
  operation.touches.push_back(ChangeQueue::service_name(id));
  operation.bytes = reason.size();
  operation.plan = [this, id, on, reason, token]() -> Result<Step> {
    const LocalService* service = parts_.state->service(id);
    if (!service) {
      return fail(ErrorCode::NotFound, "No service registered with ID \"" + id + "\"");
    }
    return plan_maintenance(maintenance_check(rules_.node_name, service, reason, token), on);
  };
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

// ---- start and reload --------------------------------------------------------------------------

void Registrar::restore_check(LocalCheck check, std::map<std::string, CheckMemory>& states) {
  const std::string id = check.row.check_id();
  const std::string service = check.row.service_id();
  if (!service.empty() && !parts_.state->service(service)) {
    log::warn("agent", "check {} was kept for service {}, which is gone", id, service);
    (void)parts_.disk->remove_check(id);
    return;
  }
  if (is_maintenance(check)) return put_bare_check(std::move(check));
  auto plan = plan_check(check.definition);
  if (!plan || (runs_programs(plan->kind) && !rules_.scripts_from_api)) {
    log::warn("agent", "check {} is not taken up again: {}", id,
              plan ? "scripts are disabled on this agent" : plan.error().message);
    return;
  }
  std::optional<CheckMemory> memory;
  if (auto it = states.find(id); it != states.end()) memory = std::move(it->second);
  put_check({std::move(check), *plan}, false, std::move(memory));
}

void Registrar::restore(Persistence::Loaded loaded, PlannedDefinitions definitions) {
  for (const std::string& file : loaded.set_aside) {
    log::warn("agent", "damaged file set aside: {}", file);
  }
  std::set<std::string> services, checks;
  for (const PlannedService& planned : definitions.services) {
    services.insert(planned.service.row.id());
    for (const PlannedCheck& check : planned.checks) checks.insert(check.check.row.check_id());
  }
  for (const PlannedCheck& check : definitions.checks) checks.insert(check.check.row.check_id());

  for (LocalService& service : loaded.services) {
    if (services.contains(service.row.id())) {
      (void)parts_.disk->remove_service(service.row.id());
      continue;
    }
    service.row.set_node(rules_.node_name);
    parts_.state->set_service(std::move(service));
  }
  const auto memory_of = [&](const PlannedCheck& check) -> std::optional<CheckMemory> {
    const auto it = loaded.states.find(check.check.row.check_id());
    if (it == loaded.states.end()) return std::nullopt;
    return it->second;
  };
  for (const PlannedService& planned : definitions.services) {
    parts_.state->set_service(planned.service);
    for (const PlannedCheck& check : planned.checks) put_check(check, false, memory_of(check));
  }
  for (const PlannedCheck& check : definitions.checks) put_check(check, false, memory_of(check));
  for (LocalCheck& check : loaded.checks) {
    if (checks.contains(check.row.check_id())) continue;  // the files win
    check.row.set_node(rules_.node_name);
    restore_check(std::move(check), loaded.states);
  }
}

void Registrar::reload(PlannedDefinitions definitions, Done done) {
  ChangeQueue::Operation operation;
  operation.alone = true;
  operation.always = true;
  operation.plan = [this, shared = std::make_shared<const PlannedDefinitions>(
                              std::move(definitions))]() -> Result<Step> {
    Step step;
    step.apply = [this, shared] { apply_reload(*shared); };
    return step;
  };
  operation.done = std::move(done);
  queue_.add(std::move(operation));
}

void Registrar::apply_reload(const PlannedDefinitions& definitions) {
  std::set<std::string> services, checks;
  for (const PlannedService& planned : definitions.services) {
    const std::string& id = planned.service.row.id();
    services.insert(id);
    const LocalService* old = parts_.state->service(id);
    if (!old || !is_same(*old, planned.service)) parts_.state->set_service(planned.service);
    for (const PlannedCheck& check : planned.checks) checks.insert(check.check.row.check_id());
  }
  for (const PlannedCheck& check : definitions.checks) checks.insert(check.check.row.check_id());

  const auto put_if_new = [this](const PlannedCheck& planned) {
    const LocalCheck* old = parts_.state->check(planned.check.row.check_id());
    if (old && is_same(*old, planned.check)) return;
    put_check(planned, true, runner_.memory(planned.check.row.check_id()));
  };
  for (const PlannedService& planned : definitions.services) {
    for (const PlannedCheck& check : planned.checks) put_if_new(check);
  }
  for (const PlannedCheck& check : definitions.checks) put_if_new(check);

  std::vector<std::string> gone_services, gone_checks;
  for (const LocalService* service : parts_.state->services()) {
    if (service->source == Source::File && !services.contains(service->row.id())) {
      gone_services.push_back(service->row.id());
    }
  }
  for (const LocalCheck* check : parts_.state->checks()) {
    if (check->source == Source::File && !checks.contains(check->row.check_id())) {
      gone_checks.push_back(check->row.check_id());
    }
  }
  for (const std::string& id : gone_services) drop_service(id);
  for (const std::string& id : gone_checks) drop_check(id);
  touched();
}

}  // namespace fyr::agent
