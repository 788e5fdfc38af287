// A Raft folder on disk: `identity`, `lock`, `hardstate`, `watermark` and the RocksDB `log/`.
//
// open() is the recovery of raft.md §9. What was acknowledged once must still be there and intact;
// a sole voter has nobody to rebuild from, so anything else refuses to start with an error that
// names the path and the indexes. An incomplete tail that was never acknowledged is dropped.
//
// Threading: storage.h.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/io/file.h"
#include "raft/hardstate_file.h"
#include "raft/identity_file.h"
#include "raft/rocks_log.h"
#include "raft/storage.h"

namespace fyr::raft {

struct RocksStorageOptions {
  std::filesystem::path directory;
  bool bootstrap = false;  // become the sole voter of a new cluster if the log is empty
  std::string name;        // of the member, for the first configuration
  std::string address;
};

class RocksStorage final : public Storage {
 public:
  // InvalidArgument: the folder cannot be used or is somebody else's; Conflict: in use; Corrupt.
  static Result<std::unique_ptr<RocksStorage>> open(const RocksStorageOptions& options);

  const Identity& identity() const { return identity_; }
  std::uint64_t incarnation() const { return hard_state_.incarnation(); }
  // Once, after open(); applied indexes are for the caller to fill in.
  RecoveredState take_recovered() { return std::move(recovered_); }

  Result<void> write(std::span<const PersistBatch> batches) override;
  Result<void> compact(const LogBase& base) override;
  Result<void> sync_watermark() override { return watermark_.sync(); }
  Result<std::vector<Entry>> read(IndexRange range, std::size_t max_bytes) const override;

 private:
  RocksStorage(io::FileLock lock, Identity identity, HardStateFile hard_state,
               WatermarkFile watermark, std::unique_ptr<RocksLog> log)
      : lock_(std::move(lock)),
        identity_(std::move(identity)),
        hard_state_(std::move(hard_state)),
        watermark_(std::move(watermark)),
        log_(std::move(log)) {}
  Result<void> begin_life(const std::filesystem::path& directory);
  Result<void> bootstrap(const RocksStorageOptions& options);
  Result<void> check_consistency(const std::filesystem::path& directory) const;

  io::FileLock lock_;
  Identity identity_;
  HardStateFile hard_state_;
  WatermarkFile watermark_;
  std::unique_ptr<RocksLog> log_;
  RecoveredState recovered_;
};

}  // namespace fyr::raft
