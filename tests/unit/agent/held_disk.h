// Stands in front of fsync() for the whole test program: notes the folders that are synced, and
// holds every file back while a test says so, as a slow disk does.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

namespace fyr::agent {

class HeldDisk {
 public:
  static HeldDisk& the() {
    static HeldDisk disk;
    return disk;
  }
  void hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // Until somebody waits for the held disk.
  bool await_waiter() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return waiting_ > 0; });
  }
  int syncs(const std::filesystem::path& path) {
    std::lock_guard lock(mutex_);
    return syncs_[path.string()];
  }
  void sync(const std::string& path) {
    std::unique_lock lock(mutex_);
    ++syncs_[path];
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
    --waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int waiting_ = 0;
  std::map<std::string, int> syncs_;
};

}  // namespace fyr::agent
