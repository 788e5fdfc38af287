// What a snapshot consists of: where it stands in the log, and its files with a CRC32C for each
// chunk, so that every chunk can be checked by itself (raft.md §8).
//
// The encoding is on disk and on the wire: never renumber, raise the version instead. Decoding
// takes bytes from a peer: names are plain file names, sizes and counts are bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "raft/configuration.h"
#include "raft/message.h"

namespace fyr::raft {

constexpr std::size_t kSnapshotChunk = 1 << 20;
constexpr std::size_t kMaxManifestBytes = 16 << 20;
constexpr char kManifestName[] = "fyr-manifest";  // beside the files

struct SnapshotFile {
  std::string name;
  std::uint64_t size = 0;
  std::vector<std::uint32_t> chunks;  // CRC32C of each
  bool operator==(const SnapshotFile&) const = default;
};

struct SnapshotManifest {
  std::string id;
  Index index{};
  Term term{};
  Configuration configuration;  // in force at index
  std::string cluster;
  std::vector<SnapshotFile> files;

  bool operator==(const SnapshotManifest&) const = default;
  std::uint64_t bytes() const;  // of all files
  const SnapshotFile* find(std::string_view name) const;
};

std::string encode_manifest(const SnapshotManifest& manifest);
// Corrupt, Unsupported.
Result<SnapshotManifest> decode_manifest(std::string_view bytes);
SnapshotMeta meta_of(const SnapshotManifest& manifest, std::string_view encoded);

}  // namespace fyr::raft
