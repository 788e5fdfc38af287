// The log itself: a RocksDB of its own, one synced WriteBatch a group (raft.md §9).
//
// Entries: key = big-endian index, value = {version, term, type, CRC32C over (index, term, type,
// data), data}. The logical end is the key `last`, written in the same batch, so a truncation and
// what replaces it are atomic; `base` holds index and term before the first entry and the
// configuration in force there. Those keys live in a column family of their own, because a key
// rewritten in every batch would make all files of the entries overlap and compaction copy them.
//
// Formats on disk: never renumber; raise the version byte.
//
// Threading: one thread, but read() from any. Errors name the folder; Corrupt when bytes fail
// their checks.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "raft/outputs.h"

namespace fyr::raft {

class RocksLog {
 public:
  static Result<std::unique_ptr<RocksLog>> open(const std::filesystem::path& directory);
  ~RocksLog();

  // Reads and checks every entry; hard state and applied indexes are left alone.
  Result<RecoveredState> recover();
  Result<void> write(std::span<const PersistBatch> batches);
  Result<void> compact(const LogBase& base);
  Result<std::vector<Entry>> read(IndexRange range, std::size_t max_bytes) const;
  Result<Term> term_of(Index index) const;  // of an entry in the log, or of its base

  Index last() const;
  Term last_term() const;

 private:
  struct Impl;
  explicit RocksLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::raft
