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
// Threading: one thread, but read() and what says so from any. Errors name the folder; Corrupt when
// bytes fail their checks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "raft/outputs.h"

namespace rocksdb {
class Env;
}

namespace fyr::raft {

class RocksLog {
 public:
  // `env`: what stands for the system below RocksDB; null: the system. For tests.
  // `upto_first_fault`: what follows damaged bytes in RocksDB's own log is dropped, else they are
  // Corrupt unless nothing follows.
  static Result<std::unique_ptr<RocksLog>> open(const std::filesystem::path& directory,
                                                rocksdb::Env* env = nullptr,
                                                bool upto_first_fault = false);
  ~RocksLog();

  // Reads and checks every entry; hard state and applied indexes are left alone.
  Result<RecoveredState> recover();
  Result<void> write(std::span<const PersistBatch> batches);
  Result<void> compact(const LogBase& base);

  // Installing a snapshot: the marker is durable before the state is exchanged, and goes with the
  // write that makes the log fit the new state.
  struct Install {
    std::uint64_t generation = 0;  // of the state that belongs to it
    LogBase base;
  };
  Result<void> begin_install(const Install& install);
  Result<void> cancel_install();
  // The log continues after base: what it holds behind it stays if it holds that very entry, else
  // all of it goes.
  Result<void> finish_install(const LogBase& base);
  bool holds(LogPosition position) const;  // that entry, or it is the base
  const std::optional<Install>& pending_install() const;

  // Entries from the base on, as far as they can be read; 4 MiB at a time to `take`. For a log
  // whose recover() failed.
  Result<void> salvage(const std::function<Result<void>(std::span<const Entry>)>& take) const;
  // Makes an empty log start after `base`.
  Result<void> start_at(const LogBase& base);
  Result<std::vector<Entry>> read(IndexRange range, std::size_t max_bytes) const;
  Result<Term> term_of(Index index) const;  // of an entry in the log, or of its base

  Index last() const;
  Term last_term() const;
  const LogBase& base() const;
  // The newest one in the log, and the one in force at an index; any thread.
  Configuration newest_configuration() const;
  Configuration configuration_at(Index index) const;

 private:
  struct Impl;
  explicit RocksLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::raft
