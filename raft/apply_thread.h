// The apply thread: runs the Applier over the tasks of the raft thread, in order. Tasks that pile
// up are merged, so that the state machine gets large batches when it is the slow one.
//
// Threading: submit from the raft thread, stop from outside; `failed` on the apply thread, after
// which only refusals are still answered.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "raft/applier.h"

namespace fyr::raft {

class ApplyThread {
 public:
  // `done` follows each task, when everybody is answered.
  ApplyThread(Applier applier, std::function<void()> done,
              std::function<void(const Error&)> failed);
  ~ApplyThread() { stop(); }
  void submit(ApplyTask task);
  // Runs it between two tasks; any thread. Dropped after a failure or stop().
  void call(std::function<void()> job);
  // Applies nothing more; what is queued and waits for it ends as CommitUnknown.
  void stop();
  std::thread::id id() const { return id_.load(); }

 private:
  void run();
  void abandon(ApplyTask& task);

  Applier applier_;
  const std::function<void()> done_;
  const std::function<void(const Error&)> failed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ApplyTask> queue_;             // guarded by mutex_
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::atomic<std::thread::id> id_;
  std::thread thread_;
};

}  // namespace fyr::raft
