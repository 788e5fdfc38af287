// Makes, serves and fetches the snapshots of a node (raft.md §8): what the core asks for, done with
// the store, the state machine and the transport.
//
// Making: the copy runs on the apply thread, between two batches; the rest on a thread of its own.
// Fetching: the transport's thread puts the chunks into a folder; checking all of it and opening it
// as the next state runs on ours. A snapshot that a peer reads is pinned until the peer has not
// asked for ten minutes.
//
// Threading: make, fetch and drop on the raft thread; `done` on our own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "raft/node.h"
#include "raft/snapshot_store.h"
#include "raft/transport.h"
#include "raft/worker.h"

namespace fyr::raft {

class SnapshotKeeper final : public SnapshotSource {
 public:
  struct Options {
    std::filesystem::path directory;
    Duration unpin_after = std::chrono::minutes(10);
    std::function<void(std::function<void()>)> on_apply_thread;  // runs it there, between batches
    std::function<Configuration(Index)> configuration_at;
    std::function<std::string()> cluster;
    std::function<void(SnapshotEvent)> done;
  };
  // `transport` may be null: then nothing is fetched.
  static Result<std::unique_ptr<SnapshotKeeper>> open(Options options, StateMachine& machine,
                                                      Transport* transport);
  ~SnapshotKeeper() override { stop(); }

  void make();
  // Instead of one that is being fetched.
  void fetch(const FetchSnapshot& request);
  // Fetching ends, what was prepared is forgotten.
  void drop();
  // Of an earlier life; said once.
  std::optional<SnapshotMeta> newest() const { return store_->newest(); }
  // For other jobs on its thread that may block.
  Worker& worker() { return worker_; }
  void stop();

  Result<Part> read(const std::string& id, const std::string& file, std::uint64_t offset,
                    std::size_t max_bytes) override;

 private:
  class Sink;
  SnapshotKeeper(Options options, StateMachine& machine, Transport* transport,
                 std::unique_ptr<SnapshotStore> store);
  void finish_making(const std::filesystem::path& copy, Result<LogPosition> position);
  void start_fetching(const FetchSnapshot& request, std::uint64_t attempt);
  void fetched(const FetchSnapshot& request, std::uint64_t attempt, std::shared_ptr<Sink> sink,
               Result<void> result);
  Result<Configuration> prepare(const FetchSnapshot& request, Sink& sink);
  bool is_current(std::uint64_t attempt);
  void unpin_unread();

  const Options options_;
  StateMachine& machine_;
  Transport* const transport_;
  const std::unique_ptr<SnapshotStore> store_;
  std::mutex mutex_;
  std::uint64_t attempt_ = 0;              // guarded by mutex_: counts fetches and drops
  std::map<std::string, Instant> pinned_;  // guarded by mutex_: id and when it was read last
  Worker worker_;
};

}  // namespace fyr::raft
