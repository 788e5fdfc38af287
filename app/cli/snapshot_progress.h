// A line on the terminal that says how far a snapshot is, from the second second on. Without a
// terminal on standard error nothing is shown and nothing asked.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "app/cli/arguments.h"

namespace fyr::app {

class SnapshotProgress {
 public:
  // `verb` begins the line: "Saving", "Restoring".
  SnapshotProgress(const Arguments& arguments, std::string verb);
  ~SnapshotProgress();  // clears the line
  SnapshotProgress(const SnapshotProgress&) = delete;
  SnapshotProgress& operator=(const SnapshotProgress&) = delete;

 private:
  void run();
  bool wait();  // false: it is over

  const Arguments& arguments_;
  const std::string verb_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // guarded by mutex_
  // tidy: thread: the command's own one waits for the answer
  std::thread thread_;
};

// "Restoring: 45 % of 52.3 MiB, 3 s"; `body` is the answer of /v1/snapshot/progress, or empty.
std::string progress_line(const std::string& verb, const std::string& body, int seconds);

}  // namespace fyr::app
