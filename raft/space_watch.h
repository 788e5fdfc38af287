// Looks once a second whether the disk below a folder has room left (raft.md §10, disk_low).
//
// It is low below the mark of io::DiskSpace, and good again a quarter above it, so that it does not
// change with every file. What cannot be found out is taken for good: writes fail by themselves.
//
// Threading: `changed` runs on a thread of its own, the first time with the first finding.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "base/io/disk_space.h"

namespace fyr::raft {

// Low or not, after this look.
bool is_low_now(bool was_low, const io::DiskSpace& space);

class SpaceWatch {
 public:
  SpaceWatch(std::filesystem::path folder, std::function<void(bool low)> changed);
  ~SpaceWatch() { stop(); }
  void stop();

 private:
  void run();

  const std::filesystem::path folder_;
  const std::function<void(bool)> changed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  // tidy: thread: asking a file system may block for as long as its disk does
  std::thread thread_;
};

}  // namespace fyr::raft
