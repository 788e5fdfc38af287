// A Raft folder on disk: `identity`, `lock`, `hardstate`, `watermark`, `members`, `quarantine`
// (while there is one), the RocksDB `log/`, and beside them `state/`, which is the state machine's.
//
// open() is the recovery of raft.md §9. What was acknowledged once must still be there and intact.
// A sole voter has nobody to rebuild from, so anything else refuses to start with an error that
// names the path and the indexes; any other node starts in quarantine (log_recovery.h). An
// incomplete tail that was never acknowledged is dropped. A damaged vote cannot be made good: it
// always refuses.
//
// Threading: storage.h; adopt(), identity() and configuration_at() from any thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/io/file.h"
#include "base/time.h"
#include "raft/hardstate_file.h"
#include "raft/identity_file.h"
#include "raft/rocks_log.h"
#include "raft/storage.h"

namespace fyr::raft {

// Before install goes on: for tests that stop there.
enum class InstallStep { Marked, Exchanged, Done };

// Nobody else uses the folder, nor has since then.
struct FolderClaim {
  io::FileLock lock;
  Instant since;
};

struct RocksStorageOptions {
  std::filesystem::path directory;
  // Found a new cluster if the log is empty and no term was ever heard of. One node of a cluster
  // may do that: of those that know each other's empty folders the one with the lowest NodeId.
  bool bootstrap = false;
  std::string name;  // of this member, for the first configuration
  std::string address;
  std::string site{};
  std::uint8_t priority = 100;
  std::vector<Member> members{};       // all first voters, this one among them; empty: this alone
  std::optional<LogPosition> state{};  // what the state machine has; none: not checked
  rocksdb::Env* env = nullptr;         // below the log; for tests
  std::function<Result<void>(InstallStep)> on_install{};
  std::shared_ptr<FolderClaim> claim{};  // as made before; null: open() makes it
};

class RocksStorage final : public Storage {
 public:
  // InvalidArgument: the folder cannot be used or is somebody else's, or `members` lacks this node;
  // Conflict: in use; Corrupt.
  static Result<std::unique_ptr<RocksStorage>> open(const RocksStorageOptions& options);
  // Makes the folder if there is none, and says whose it is: before open(), so that nodes can find
  // out who founds the cluster. Without a cluster it never had a part in one.
  static Result<Identity> identify(const std::filesystem::path& directory);
  // Makes the folder, too, and keeps all others out of it.
  static Result<std::shared_ptr<FolderClaim>> claim(const std::filesystem::path& directory);
  ~RocksStorage() override;

  Identity identity() const;
  std::uint64_t incarnation() const { return hard_state_.incarnation(); }
  // Once, after open(); applied indexes are for the caller to fill in.
  RecoveredState take_recovered() { return std::move(recovered_); }
  // The node belongs to this cluster from now on; durable on return. Conflict: it belongs to
  // another one, or its log is not empty.
  Result<void> adopt(const std::string& cluster, std::uint32_t recovery_epoch);
  // Forced recovery: peers of the earlier epoch are refused from now on. Durable on return.
  Result<void> raise_recovery_epoch();
  // In force at an index of the log.
  Configuration configuration_at(Index index) const { return log_->configuration_at(index); }

  Result<void> write(std::span<const PersistBatch> batches) override;
  Result<void> compact(const LogBase& base) override;
  Result<void> sync_watermark() override { return watermark_.sync(); }
  Result<std::vector<Entry>> read(IndexRange range, std::size_t max_bytes) const override;

 private:
  RocksStorage(const RocksStorageOptions& options, std::shared_ptr<FolderClaim> claim,
               Identity identity, HardStateFile hard_state, WatermarkFile watermark,
               std::unique_ptr<RocksLog> log);
  Result<void> begin_life();
  Result<bool> bootstrap(const RocksStorageOptions& options);
  Result<void> check_term() const;
  Result<void> write_run(std::span<const PersistBatch> batches);
  Result<void> write_hard(HardState hard);
  Result<void> install(const LogBase& base);
  Result<void> end_quarantine();
  Result<void> note_members();

  const std::filesystem::path directory_;
  const std::function<Result<void>(InstallStep)> on_install_;
  const std::shared_ptr<FolderClaim> claim_;
  mutable std::mutex identity_mutex_;
  Identity identity_;  // guarded by identity_mutex_
  HardStateFile hard_state_;
  WatermarkFile watermark_;
  std::unique_ptr<RocksLog> log_;
  std::atomic<bool> empty_{true};         // the log never had an entry
  std::optional<Configuration> members_;  // as in the file
  RecoveredState recovered_;
};

}  // namespace fyr::raft
