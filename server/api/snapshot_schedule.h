// Snapshots that a server makes by itself: one each `interval` into a folder, of which the newest
// `retain` stay. Made by the leader; with `stale` by this server whoever leads.
//
// A file counts only after it was read back from the disk and restored into a state of its own that
// equals, row by row, the one it was saved from; otherwise it is removed, and no older one goes. A
// disk with little room left gets none. What failed is tried again after a minute, then later and
// later, up to the interval.
//
// Other files in the folder are left alone. Two servers must not share a folder.
//
// Threading: every method from any thread; the work is done on a thread of its own.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/time.h"
#include "server/api/snapshot.h"

namespace fyr::server {

// "fyr-20261122T235141Z-1234.snap": when it was made, at which index. Names sort by time.
struct ScheduledName {
  std::int64_t made = 0;  // seconds since 1970, UTC
  StateIndex index = 0;
};
std::string to_file_name(const ScheduledName& name);
std::optional<ScheduledName> parse_file_name(std::string_view name);  // nothing: not one of ours

class SnapshotSchedule {
 public:
  SnapshotSchedule(Server& server, SnapshotScheduleOptions options, SnapshotWork& work);
  ~SnapshotSchedule() { stop(); }
  SnapshotSchedule(const SnapshotSchedule&) = delete;
  SnapshotSchedule& operator=(const SnapshotSchedule&) = delete;

  // What is configured, kept, and how the last ones went.
  std::string status_json() const;
  // Waits for the one under way.
  void stop();

 private:
  struct File {
    ScheduledName name;
    std::uint64_t size = 0;
  };
  struct Signal;

  void run();
  bool may_make() const;
  Result<void> prepare();
  Result<File> make();
  Result<void> wait_until_readable() const;
  void prune();
  void note(const Result<File>& made, Duration took);

  Server& server_;
  const SnapshotScheduleOptions options_;
  SnapshotWork& work_;
  const std::shared_ptr<Signal> signal_;
  mutable std::mutex mutex_;
  std::vector<File> files_;               // guarded by mutex_; oldest first
  std::optional<WallTime> succeeded_at_;  // guarded by mutex_
  std::optional<WallTime> failed_at_;     // guarded by mutex_
  std::string failure_;                   // guarded by mutex_
  std::uint64_t failures_ = 0;            // guarded by mutex_; in a row
  // tidy: thread: seconds of work on the whole state, and waiting for the next
  std::thread thread_;
};

}  // namespace fyr::server
