// Everything that changes what the agent holds goes through here: registrations, removals, check
// results, maintenance, reload. First it is written to disk (by the disk thread), then it counts:
// an answer of 200 survives a crash, and a full disk is told to the caller. Operations take effect
// in the order they came (change_queue.h), and what they need of the state they find in their turn.
//
// Threading: on the agent's thread; `done` runs there.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/checks/runner.h"
#include "agent/local/change_queue.h"
#include "agent/local/local_state.h"
#include "agent/local/persistence.h"
#include "agent/local/status_keeper.h"
#include "agent/local/sync.h"
#include "agent/registration.h"

namespace fyr::agent {

struct PlannedDefinitions {
  std::vector<PlannedService> services;
  std::vector<PlannedCheck> checks;
};

// What the configuration files say, all of it or the first thing wrong with it.
Result<PlannedDefinitions> plan_definitions(std::vector<ServiceSpec> services,
                                            std::vector<CheckSpec> checks,
                                            const RegistrationRules& rules);

struct RegistrarParts {
  io::Runtime* runtime = nullptr;
  int thread = 0;
  int disk_thread = 0;
  LocalState* state = nullptr;
  Sync* sync = nullptr;
  std::shared_ptr<Persistence> disk;
  // Something the agent shows has changed: waiters look again, alias checks follow.
  std::function<void()> changed;
};

class Registrar {
 public:
  using Done = std::function<void(Result<void>)>;

  Registrar(RegistrarParts parts, CheckRunnerOptions checks, Random random,
            RegistrationRules rules);

  // At start, before anything else. Files win over what was persisted under the same id.
  void restore(Persistence::Loaded loaded, PlannedDefinitions definitions);
  void start();
  // `done` runs when the last change and the last statuses are on disk. Operations that have not
  // begun are answered with Stopped.
  void stop(std::function<void()> done);

  void add_service(PlannedService planned, bool replace_checks, Done done);
  // Of something that is not there: done, nothing to do.
  void remove_service(const std::string& id, Done done);
  void add_check(CheckSpec spec, Done done);
  void remove_check(const std::string& id, Done done);
  // A status told from outside. Internal: no such TTL check.
  Result<void> tell(const std::string& check_id, CheckStatus status, const std::string& output);
  void set_node_maintenance(bool on, const std::string& reason, const std::string& token,
                            Done done);
  // NotFound: no such service.
  void set_service_maintenance(const std::string& id, bool on, const std::string& reason,
                               const std::string& token, Done done);
  // What is new or different is set, what is gone is removed, the rest is not touched.
  void reload(PlannedDefinitions definitions, Done done);

  CheckRunner& runner() { return runner_; }
  const RegistrationRules& rules() const { return rules_; }

 private:
  using Step = ChangeQueue::Step;
  Step plan_add_service(const std::shared_ptr<const PlannedService>& planned, bool replace_checks);
  Step plan_remove_service(const std::string& id);
  Result<Step> plan_add_check(CheckSpec spec);
  Step plan_remove_check(const std::string& id);
  Step plan_maintenance(LocalCheck check, bool on);
  void queue_removal(const std::string& service_id, bool always, Done done);
  void apply_reload(const PlannedDefinitions& definitions);
  void put_service(const PlannedService& planned);
  void put_check(const PlannedCheck& planned, bool keep_status, std::optional<CheckMemory> memory);
  void put_bare_check(LocalCheck check);
  void drop_service(const std::string& id);
  void drop_check(const std::string& id);
  void restore_check(LocalCheck check, std::map<std::string, CheckMemory>& states);
  void published(const std::string& id, const CheckPublished& what);
  void reap(const std::string& check_id);
  void touched();

  RegistrarParts parts_;
  RegistrationRules rules_;
  CheckRunner runner_;
  StatusKeeper keeper_;
  ChangeQueue queue_;
};

}  // namespace fyr::agent
