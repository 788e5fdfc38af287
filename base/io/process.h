// Child processes for script checks: own process group and session, null stdin, closed
// descriptors, output captured with a bound. Completion is the child's exit, not the end of its
// pipes: pipes are closed 100 ms after exit. Timeout: SIGTERM to the group, 1 s, SIGKILL.
//
// Threading: `done` runs once on io thread `thread`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/runtime.h"

namespace fyr::io {

struct ProcessOptions {
  std::vector<std::string> arguments;    // [0] is looked up in PATH
  std::vector<std::string> environment;  // "K=V"; empty: ours
  Duration timeout = std::chrono::seconds(30);
  std::size_t max_output = 4096;  // the last bytes are kept
  int nice = 5;
};

struct ProcessResult {
  int exit_code = 0;  // 128 + signal when killed
  bool timed_out = false;
  std::string output;  // stdout and stderr together, the tail
  std::size_t output_bytes = 0;
};

class Process {
 public:
  virtual ~Process() = default;  // kills the group if still running; done is then not called
};

std::unique_ptr<Process> run_process(Runtime& runtime, int thread, ProcessOptions options,
                                     std::function<void(Result<ProcessResult>)> done);

}  // namespace fyr::io
