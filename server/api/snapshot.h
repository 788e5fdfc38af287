// GET and PUT /v1/snapshot: saving the whole state at one index, and putting it back.
//
// Both take long and use memory of several times the state, so there is one at a time, on a thread
// of its own; further ones are told so (503). Save reads what the usual consistency modes allow.
// Restore checks the archive, lays its state in parts into the log and replaces the live state by
// one last command; until that is committed nothing has changed. Any server takes it.
//
// Threading: every method from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/io/http_router.h"
#include "server/api/api.h"
#include "server/api/snapshot_archive.h"
#include "server/server.h"

namespace fyr::server {

// Work on a whole state: one at a time in a process, and how far it is.
class SnapshotWork {
 public:
  enum class Step { None, Saving, Restoring, Scheduled };
  struct Progress {
    Step step = Step::None;
    std::uint64_t done = 0, total = 0;  // bytes; total 0: not known yet
  };

  bool begin(Step step);  // false: something is under way
  void end();
  void advance(std::uint64_t done, std::uint64_t total);
  Progress progress() const;

 private:
  std::atomic<Step> step_{Step::None};
  std::atomic<std::uint64_t> done_{0}, total_{0};
};

// The state as it is now, and the rows it was made of.
struct SavedState {
  SnapshotArchive archive;
  std::vector<StoredRow> rows;
};
// ResourceExhausted if it is too large for an archive.
Result<SavedState> save_state(const Server& server);

class Snapshots {
 public:
  Snapshots(Server& server, const ApiOptions& options, SnapshotWork& work)
      : server_(server), options_(options), work_(work) {}
  ~Snapshots() { stop(); }

  void save(const io::HttpCallPtr& call);
  void restore(const io::HttpCallPtr& call);
  void progress(const io::HttpCallPtr& call) const;
  // Waits for the one under way, which ends at its next step.
  void stop();

 private:
  void start(const io::HttpCallPtr& call, SnapshotWork::Step step,
             std::function<io::HttpResponse()> work);
  io::HttpResponse save_now(const ReadStamp& stamp);
  Result<void> restore_now(const std::string& archive);
  Result<void> write(const pb::Command& command);

  Server& server_;
  const ApiOptions& options_;
  SnapshotWork& work_;
  std::mutex mutex_;
  // tidy: thread: seconds of work on the whole state would hold up every request of an io thread
  std::thread thread_;  // guarded by mutex_
  std::atomic<bool> stopped_{false};
};

}  // namespace fyr::server
