// A running `fyr agent`: every part opened in order, plugged together, and stopped in reverse.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/definitions.h"
#include "base/error.h"

namespace fyr::app {

class RunningAgent {
 public:
  // `arguments` are kept for reloads. `request_exit` is called (any thread) when the process was
  // asked to leave over HTTP.
  static Result<std::unique_ptr<RunningAgent>> start(LoadedAll loaded,
                                                     std::vector<std::string> arguments,
                                                     std::function<void()> request_exit);
  ~RunningAgent();

  // SIGHUP: reads the files again; definitions, log level and what else may change then does. An
  // error changes nothing.
  Result<void> reload();
  // Says goodbye to the cluster; `done` runs after it spread (any thread).
  void leave(std::function<void()> done);
  void stop();

 private:
  RunningAgent();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::app
