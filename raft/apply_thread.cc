#include "raft/apply_thread.h"

#include "raft/thread_name.h"

namespace fyr::raft {

ApplyThread::ApplyThread(Applier applier, std::function<void()> done,
                         std::function<void(const Error&)> failed)
    : applier_(std::move(applier)),
      done_(std::move(done)),
      failed_(std::move(failed)),
      thread_([this] { run(); }) {}

void ApplyThread::submit(ApplyTask task) {
  bool was_empty = false;
  {
    std::lock_guard lock(mutex_);
    was_empty = queue_.empty();
    if (was_empty || !queue_.back().merge(task)) queue_.push_back(std::move(task));
  }
  if (was_empty) wake_.notify_one();
}

void ApplyThread::call(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void ApplyThread::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ApplyThread::run() {
  name_this_thread("apply");
  id_.store(std::this_thread::get_id());
  bool failed = false;
  while (true) {
    ApplyTask task;
    std::function<void()> job;
    bool stopping = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty() || !jobs_.empty(); });
      stopping = stopping_;
      if (stopping || failed) jobs_.clear();
      if (!jobs_.empty()) {
        job = std::move(jobs_.front());
        jobs_.pop_front();
      } else if (!queue_.empty()) {
        task = std::move(queue_.front());
        queue_.pop_front();
      } else if (stopping) {
        return;
      } else {
        continue;
      }
    }
    if (job) {
      job();
      continue;
    }
    if (stopping || failed) {
      abandon(task);
    } else if (auto done = applier_.run(task); !done) {
      failed = true;
      failed_(done.error());
    } else {
      done_();
    }
  }
}

void ApplyThread::abandon(ApplyTask& task) {
  for (Refusal& refusal : task.refused) refusal.done(std::move(refusal.error));
  for (Waiter& waiter : task.waiters) {
    waiter.done(fail(ErrorCode::CommitUnknown, "stopped before the write was applied"));
  }
}

}  // namespace fyr::raft
