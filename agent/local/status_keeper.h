// Keeps the last status of every check on disk: at most one write a second and check, by the disk
// thread, and a sign of life of the agent every five seconds.
//
// Threading: on the agent's thread.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "agent/checks/runner.h"
#include "agent/local/persistence.h"
#include "base/io/runtime.h"

namespace fyr::agent {

class StatusKeeper {
 public:
  StatusKeeper(io::Runtime& runtime, int thread, int disk_thread, std::shared_ptr<Persistence> disk,
               const CheckRunner& runner);
  void start();
  void changed(const std::string& check_id) { dirty_.insert(check_id); }
  // For stopping: the last word on every check, after whatever is on its way to disk; nothing is
  // written afterwards. `done` runs when it is written.
  void flush_now(std::function<void()> done);

 private:
  void tick();
  void arm();

  io::Runtime& runtime_;
  const int thread_;
  const int disk_thread_;
  const std::shared_ptr<Persistence> disk_;
  const CheckRunner& runner_;
  std::set<std::string> dirty_;
  int ticks_ = 0;
  bool stopped_ = false;
  io::Timer timer_;
  std::shared_ptr<StatusKeeper*> alive_ = std::make_shared<StatusKeeper*>(this);
};

}  // namespace fyr::agent
