// A file system for RocksDB that can lose power: what was not synced is then dropped or torn, files
// and renames whose folder was not synced may be undone, in order from the last one. Can also fail
// one operation with an error, after a part of it was done.
//
// Operations that change something are counted; from the chosen one on (power cut) nothing has any
// effect, or only the chosen one fails (error). Thread-safe.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"

namespace fyr::raft {

class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FaultFileSystem(std::uint64_t seed, std::string trash);
  const char* Name() const override { return "FaultFileSystem"; }

  enum class Fault { None, PowerCut, Error, NoSpace };
  void arm(Fault fault, std::uint64_t operation);  // counted from now, 1 is the next one
  bool is_dead() const;
  std::uint64_t operations() const;
  // The state of the disk after the power came back; all files must be closed.
  void lose_power();

  // For those that write past RocksDB, too. False: it must not be done.
  bool step();

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* context) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* context) override;
  rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* context) override;

 private:
  friend class FaultFile;
  friend class FaultDirectory;
  struct Extent {
    std::uint64_t size = 0, synced = 0;
  };
  struct Change {  // of a folder, not synced yet
    enum Kind { Created, Renamed, Deleted } kind;
    std::string name, to, kept;  // kept: where what was replaced or deleted is
  };
  rocksdb::IOStatus check_locked();
  std::string keep(const std::string& name);
  void undo(const Change& change);
  void synced_folder();

  mutable std::mutex mutex_;
  Random random_;
  const std::string trash_;
  std::uint64_t kept_count_ = 0;
  std::uint64_t count_ = 0, at_ = 0;
  Fault fault_ = Fault::None;
  bool dead_ = false;
  std::map<std::string, Extent> files_;
  std::vector<Change> changes_;
};

}  // namespace fyr::raft
