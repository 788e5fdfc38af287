// Puts a peer's snapshot together in a folder, chunk by chunk, each one checked against the
// manifest, whose hash came with the offer. What an earlier attempt left is checked and kept.
//
// Use: open; if there is no manifest yet, put_manifest; then put() what next() wants until that is
// nothing; finish() reads everything once more and makes it durable.
//
// Not thread-safe. Errors name the path; Corrupt: what was put does not fit, ask for it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "raft/snapshot_manifest.h"

namespace fyr::raft {

class SnapshotReceiver {
 public:
  static Result<SnapshotReceiver> open(const std::filesystem::path& directory,
                                       const SnapshotMeta& snapshot);

  bool has_manifest() const { return manifest_.has_value(); }
  Result<void> put_manifest(std::string_view encoded);

  struct Want {
    std::string file;
    std::uint64_t offset = 0;
  };
  // The next chunk that is missing; none: everything is there. Needs the manifest.
  std::optional<Want> next() const;
  Result<void> put(const Want& want, std::string_view bytes);
  Result<SnapshotManifest> finish();

  std::uint64_t bytes_done() const { return done_; }
  std::uint64_t bytes_total() const { return manifest_ ? manifest_->bytes() : 0; }

 private:
  SnapshotReceiver(std::filesystem::path directory, SnapshotMeta snapshot)
      : directory_(std::move(directory)), snapshot_(std::move(snapshot)) {}
  Result<void> resume();
  void advance();

  std::filesystem::path directory_;
  SnapshotMeta snapshot_;
  std::optional<SnapshotManifest> manifest_;
  std::size_t file_ = 0;      // first one that is not complete
  std::uint64_t offset_ = 0;  // in it
  std::uint64_t done_ = 0;
};

}  // namespace fyr::raft
