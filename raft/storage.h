// What the driver needs from the disk. One implementation: rocks_storage.h; tests and the
// simulator bring their own.
//
// Threading: write, compact and sync_watermark on the raft-log thread; read on any thread.
// A failed write leaves an unknown disk behind: the caller must not go on.
#pragma once

#include <span>
#include <vector>

#include "base/error.h"
#include "raft/outputs.h"

namespace fyr::raft {

class Storage {
 public:
  virtual ~Storage() = default;
  // Performs the batches in order with one sync; all of them are durable when it returns.
  virtual Result<void> write(std::span<const PersistBatch> batches) = 0;
  // Forgets entries up to base.index.
  virtual Result<void> compact(const LogBase& base) = 0;
  // Bounds how far the watermark may fall back in a power cut; called 100 ms after a write at the
  // latest.
  virtual Result<void> sync_watermark() = 0;
  // Entries of the range from its first on, at least one, about max_bytes at most; checked.
  virtual Result<std::vector<Entry>> read(IndexRange range, std::size_t max_bytes) const = 0;
};

}  // namespace fyr::raft
