// Registrations and removals on their way to disk, in the order they were asked for.
//
// Operations wait here and go to disk in rounds, one round at a time: everything that came while
// the last round was written shares the waits of the next. Each is planned when its round begins,
// against the state that all rounds before have left, so what it finds is what it will change. A
// round ends before an operation that touches an item an earlier one of it touches. What was
// written is applied on the agent's thread, then answered.
//
// At most 4096 operations or 64 MiB wait, others are refused with ResourceExhausted; a round
// holds up to 128.
//
// Threading: on the agent's thread; plans, applications and answers run there.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/local/persistence.h"
#include "base/error.h"
#include "base/io/runtime.h"

namespace fyr::agent {

class ChangeQueue {
 public:
  using Done = std::function<void(Result<void>)>;
  using Names = std::vector<std::string>;

  struct Step {
    Persistence::Change change;   // nothing to write: answered without the disk
    std::function<void()> apply;  // may be empty
    Names touches;                // beyond those of the operation, known by the state only
  };
  struct Operation {
    Names touches;  // service_name() and check_name() of what it reads or changes
    std::function<Result<Step>()> plan;  // may run more than once before it is carried out
    Done done;
    std::size_t bytes = 0;
    bool alone = false;   // shares its round with nothing
    bool always = false;  // our own: not refused when the queue is full
  };
  static std::string service_name(const std::string& id) { return "service " + id; }
  static std::string check_name(const std::string& id) { return "check " + id; }

  // `applied` runs once for each round that changed something, before its answers.
  ChangeQueue(io::Runtime& runtime, int thread, int disk_thread, std::shared_ptr<Persistence> disk,
              std::function<void()> applied);

  void add(Operation operation);
  // Refuses what waits and what comes; `done` runs when the round on its way has been answered.
  void stop(std::function<void()> done);

 private:
  struct Planned {
    Step step;
    Done done;
  };
  using Round = std::vector<Planned>;
  using Answers = std::vector<std::pair<Done, Result<void>>>;

  void begin();
  bool take(Round& round, std::set<std::string>& touched, Answers& answers);
  void written(Round round, const std::vector<Result<void>>& results);

  io::Runtime& runtime_;
  const int thread_;
  const int disk_thread_;
  const std::shared_ptr<Persistence> disk_;
  const std::function<void()> applied_;
  std::deque<Operation> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool busy_ = false;  // a round is on its way, or being put together
  bool stopping_ = false;
  std::function<void()> stopped_;
};

}  // namespace fyr::agent
