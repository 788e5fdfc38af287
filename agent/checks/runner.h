// Runs the checks: a timer and a core for each, probes from bounded pools.
//
// At most 64 network probes and 8 programs run at once; others wait their turn in order. A check
// that waited longer than its interval is counted and logged.
//
// Threading: everything on the agent's thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/checks/core.h"
#include "agent/checks/definition.h"
#include "agent/checks/probes.h"
#include "agent/local/local_state.h"
#include "base/io/runtime.h"
#include "base/random.h"

namespace fyr::agent {

struct CheckRunnerOptions {
  std::size_t output_limit = 4096;
  bool discard_output = false;
  std::size_t max_network = 64;
  std::size_t max_programs = 8;
};

class CheckRunner {
 public:
  struct Events {
    // Something to show; also the status kept from before a restart.
    std::function<void(const std::string& check_id, const CheckPublished&)> published;
    // Critical for too long: its service has to go.
    std::function<void(const std::string& check_id)> reap;
  };

  CheckRunner(io::Runtime& runtime, int thread, CheckRunnerOptions options, Events events,
              Random random);
  ~CheckRunner();

  // Replaces one of the same id; the same rules and definition then keep status and schedule.
  void add(const LocalCheck& check, const CheckPlan& plan, std::optional<CheckMemory> memory);
  void remove(const std::string& id);
  void stop();  // no more runs, no more events

  // pass, warn, fail and update. False if there is no such TTL check.
  bool tell(const std::string& id, CheckStatus status, std::string output);
  // What an alias check follows has changed.
  void show(const std::string& id, CheckPublished published);

  std::optional<CheckMemory> memory(const std::string& id) const;
  std::vector<std::string> ids() const;
  std::size_t size() const { return checks_.size(); }

 private:
  struct Running;
  void apply(Running& check, CheckOutput out);
  void arm(Running& check);
  void enqueue(Running& check);
  void start_waiting();
  void start(Running& check);
  void finished(const std::string& id, std::uint64_t generation, CheckResult result);
  void let_go(std::unique_ptr<Probe> probe);

  io::Runtime& runtime_;
  const int thread_;
  const CheckRunnerOptions options_;
  const Events events_;
  Random random_;
  std::map<std::string, std::unique_ptr<Running>> checks_;
  std::deque<std::pair<std::string, std::uint64_t>> waiting_network_;
  std::deque<std::pair<std::string, std::uint64_t>> waiting_programs_;
  std::size_t network_ = 0;  // running now
  std::size_t programs_ = 0;
  std::uint64_t generations_ = 0;
  bool stopped_ = false;
  std::shared_ptr<CheckRunner*> alive_ = std::make_shared<CheckRunner*>(this);
};

}  // namespace fyr::agent
