// The state on disk: one RocksDB, a column family for each table, the applied record beside them.
//
// The Raft log is its write-ahead log: a batch lives in memory until a flush, all families are
// flushed together, and after a crash the database is at the last flushed index, rows and index in
// step. Small memory: it is read once, at start.
//
// Errors: opening and reading name the folder. A write that fails cannot be repaired here; the
// caller ends the process and the log is replayed.
//
// Threading: write from one thread; durable_applied and flush from any.
#pragma once

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "server/state/store.h"

namespace fyr::server {

// What a batch leaves behind beside its rows.
struct AppliedRecord {
  StateIndex index = 0;
  std::uint64_t term = 0;
  std::int64_t stamp_ns = 0;  // newest stamp applied
  std::uint64_t digest = 0;   // of all rows
};

class StateDatabase {
 public:
  static Result<std::unique_ptr<StateDatabase>> open(const std::filesystem::path& directory);
  ~StateDatabase();

  // Fills an empty store. Corrupt if the rows do not have the recorded digest.
  Result<AppliedRecord> load(StateStore& store);

  // Rows of the current batch; nothing is visible before commit.
  void add(const ChangeList& changes);
  Result<void> commit(const AppliedRecord& record);

  StateIndex durable_applied() const;
  Result<void> flush();
  // A copy of what was committed so far in `copy`, which must not exist; returns the record as read
  // back from the copy. Not while a batch is being committed.
  Result<AppliedRecord> checkpoint(const std::filesystem::path& copy);

 private:
  StateDatabase();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
