// A thread that does one thing after the other, for what may block: reading the log for a peer
// that is far behind, snapshots.
//
// Threading: post() from any thread, stop() from any but its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace fyr::raft {

class Worker {
 public:
  explicit Worker(const char* name);  // as thread_name.h
  ~Worker() { stop(); }
  // False: stopped; the job is dropped.
  bool post(std::function<void()> job);
  void stop();  // drops what has not begun

 private:
  void run();

  const char* const name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace fyr::raft
