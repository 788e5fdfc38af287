#include "raft/snapshot_receiver.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/io/file.h"
#include "raft/snapshot_io.h"
#include "raft/snapshot_store.h"

namespace fyr::raft {
namespace {
std::uint64_t chunk_size(const SnapshotFile& file, std::uint64_t offset) {
  return std::min<std::uint64_t>(kSnapshotChunk, file.size - offset);
}
}  // namespace

Result<SnapshotReceiver> SnapshotReceiver::open(const std::filesystem::path& directory,
                                                const SnapshotMeta& snapshot) {
  if (auto done = io::make_directories(directory); !done) return done.error();
  SnapshotReceiver out(directory, snapshot);
  auto encoded = io::read_file(directory / kManifestName, kMaxManifestBytes);
  if (!encoded && encoded.error().code != ErrorCode::NotFound) return encoded.error();
  // Of another snapshot, or damaged: it is fetched again.
  if (!encoded || to_hex(sha256(*encoded)) != snapshot.manifest_hash) return out;
  auto manifest = decode_manifest(*encoded);
  if (!manifest) return manifest.error();
  out.manifest_ = std::move(*manifest);
  if (auto done = out.resume(); !done) return done.error();
  return out;
}

Result<void> SnapshotReceiver::put_manifest(std::string_view encoded) {
  if (to_hex(sha256(encoded)) != snapshot_.manifest_hash) {
    return fail(ErrorCode::Corrupt, directory_.string() + ": the manifest is not the offered one");
  }
  auto manifest = decode_manifest(encoded);
  if (!manifest) return manifest.error();
  if (manifest->index != snapshot_.index || manifest->term != snapshot_.term) {
    return fail(ErrorCode::Corrupt, directory_.string() + ": the manifest is of another position");
  }
  if (auto done = io::write_file_atomically(directory_ / kManifestName, encoded); !done)
    return done;
  manifest_ = std::move(*manifest);
  return resume();
}

// Chunks that are there and good are not asked for again; they come in order, so the first one that
// is not ends them.
Result<void> SnapshotReceiver::resume() {
  file_ = 0;
  offset_ = 0;
  done_ = 0;
  advance();
  while (auto want = next()) {
    const SnapshotFile& file = manifest_->files[file_];
    auto opened = SnapshotFileIo::open(directory_ / want->file, SnapshotFileIo::Mode::Read);
    if (!opened && opened.error().code == ErrorCode::NotFound) return {};
    if (!opened) return opened.error();
    auto chunk = opened->read(want->offset, chunk_size(file, want->offset));
    if (!chunk) return chunk.error();
    if (chunk->size() != chunk_size(file, want->offset) ||
        crc32c(*chunk) != file.chunks[want->offset / kSnapshotChunk]) {
      return {};
    }
    offset_ += chunk->size();
    done_ += chunk->size();
    advance();
  }
  return {};
}

void SnapshotReceiver::advance() {
  while (file_ < manifest_->files.size() && offset_ >= manifest_->files[file_].size) {
    ++file_;
    offset_ = 0;
  }
}

std::optional<SnapshotReceiver::Want> SnapshotReceiver::next() const {
  CHECK(manifest_);
  if (file_ >= manifest_->files.size()) return std::nullopt;
  return Want{manifest_->files[file_].name, offset_};
}

Result<void> SnapshotReceiver::put(const Want& want, std::string_view bytes) {
  const auto expected = next();
  if (!expected || expected->file != want.file || expected->offset != want.offset) return {};
  const SnapshotFile& file = manifest_->files[file_];
  if (bytes.size() != chunk_size(file, offset_) ||
      crc32c(bytes) != file.chunks[offset_ / kSnapshotChunk]) {
    return fail(ErrorCode::Corrupt, (directory_ / file.name).string() +
                                        ": what was sent for offset " + std::to_string(offset_) +
                                        " fails its checksum");
  }
  auto opened = SnapshotFileIo::open(directory_ / file.name, SnapshotFileIo::Mode::Create);
  if (!opened) return opened.error();
  if (auto done = opened->write(offset_, bytes); !done) return done;
  offset_ += bytes.size();
  done_ += bytes.size();
  // An earlier attempt may have left more.
  if (offset_ == file.size) {
    if (auto done = opened->truncate(file.size); !done) return done;
  }
  advance();
  return {};
}

Result<SnapshotManifest> SnapshotReceiver::finish() {
  CHECK(manifest_ && !next());
  for (const SnapshotFile& file : manifest_->files) {
    const auto mode = file.size == 0 ? SnapshotFileIo::Mode::Create : SnapshotFileIo::Mode::Write;
    auto opened = SnapshotFileIo::open(directory_ / file.name, mode);
    if (!opened) return opened.error();
    if (file.size == 0) {
      if (auto done = opened->truncate(0); !done) return done.error();
    }
    if (auto done = opened->sync(); !done) return done.error();
  }
  if (auto done = io::sync_directory(directory_); !done) return done.error();
  if (auto done = verify_snapshot(directory_, *manifest_); !done) {
    // What is bad is found, and asked for again, by the next attempt.
    return done.error();
  }
  return *manifest_;
}

}  // namespace fyr::raft
