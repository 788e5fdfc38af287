// The snapshots of a node, in a folder: made here to be sent (raft.md §8).
//
// Making one: `begin` names a folder for StateMachine::checkpoint, which runs on the apply thread;
// `finish` then checks the files in, syncs them and their folders, and gives the snapshot its name
// by a rename: it is whole or absent. The newest two are kept, and what is pinned: a snapshot that
// is being sent is never exchanged for a newer one.
//
// Threading: any. Errors name the path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "raft/snapshot_manifest.h"

namespace fyr::raft {

// Reads the files named by the manifest and compares them chunk by chunk. Corrupt: names the file.
Result<void> verify_snapshot(const std::filesystem::path& directory,
                             const SnapshotManifest& manifest);

class SnapshotStore {
 public:
  // Removes what was not finished; half-fetched ones (incoming) stay.
  static Result<std::unique_ptr<SnapshotStore>> open(const std::filesystem::path& directory);

  // A folder that does not exist yet, in one that does.
  std::filesystem::path begin();
  // `position`: as read back from the copy.
  Result<SnapshotMeta> finish(const std::filesystem::path& copy, LogPosition position,
                              const Configuration& configuration, const std::string& cluster);
  void abandon(const std::filesystem::path& copy);

  std::optional<SnapshotMeta> newest() const;
  // For sending. NotFound: no such snapshot or file; InvalidArgument: not the start of a chunk;
  // Corrupt: the file has rotted, the snapshot is removed when nobody has it pinned.
  Result<std::string> manifest(const std::string& id) const;
  Result<std::string> read_chunk(const std::string& id, const std::string& file,
                                 std::uint64_t offset);
  std::filesystem::path path_of(const std::string& id) const { return directory_ / id; }
  // Each pin needs its unpin. False: no such snapshot.
  bool pin(const std::string& id);
  void unpin(const std::string& id);
  void remove(const std::string& id);

  // Where to fetch a peer's snapshot to: the same folder for the same one, so that fetching goes
  // on where it ended; others are removed.
  Result<std::filesystem::path> incoming(const SnapshotMeta& snapshot);
  void drop_incoming();

 private:
  struct Kept {
    SnapshotManifest manifest;
    std::string encoded;
    int pins = 0;
    bool rotten = false;
  };
  explicit SnapshotStore(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Result<void> load();
  void prune();
  void erase(std::map<std::string, std::shared_ptr<Kept>>::iterator it);

  const std::filesystem::path directory_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Kept>> kept_;  // guarded by mutex_, as are those below
  std::uint64_t next_copy_ = 1;
};

}  // namespace fyr::raft
