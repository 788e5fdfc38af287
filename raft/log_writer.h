// The raft-log thread: takes everything that was queued while the last write ran, and writes it
// with one sync. No lingering: the disk itself sets the pace (natural group commit).
//
// Threading: submit from the raft thread, stop from outside. `written` and `failed` are called on
// the raft-log thread. After a failure nothing more is written.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/time.h"
#include "raft/storage.h"

namespace fyr::raft {

class LogWriter {
 public:
  LogWriter(Storage& storage, std::function<void(WriteId)> written,
            std::function<void(const Error&)> failed);
  ~LogWriter() { stop(); }
  void submit(std::vector<PersistBatch> batches, std::optional<LogBase> compact);
  void stop();  // what is queued is dropped: nobody was told that it is durable

 private:
  struct Work {
    std::vector<PersistBatch> batches;
    std::optional<LogBase> compact;
    bool empty() const { return batches.empty() && !compact; }
  };
  void run();
  bool next(Work& work);
  Result<void> perform(Work& work);

  Storage& storage_;
  const std::function<void(WriteId)> written_;
  const std::function<void(const Error&)> failed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Work queued_;                 // guarded by mutex_
  bool stopping_ = false;       // guarded by mutex_
  bool watermark_due_ = false;  // its thread only
  Instant watermark_at_;
  std::thread thread_;
};

}  // namespace fyr::raft
