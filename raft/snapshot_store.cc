#include "raft/snapshot_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <vector>

#include "base/bytes.h"
#include "base/io/file.h"
#include "base/log.h"
#include "base/random.h"
#include "raft/snapshot_io.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeep = 2;
constexpr std::string_view kCopy = "tmp-";
constexpr std::string_view kIncoming = "incoming-";

std::string new_id(LogPosition position) {
  std::array<std::uint8_t, 6> bytes{};
  fill_secure_random(bytes);
  return std::to_string(position.index.value) + "-" + std::to_string(position.term.value) + "-" +
         to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// CRCs of the file, which is durable on return.
Result<SnapshotFile> check_in(const fs::path& path) {
  auto file = SnapshotFileIo::open(path, SnapshotFileIo::Mode::Write);
  if (!file) return file.error();
  SnapshotFile out;
  out.name = path.filename().string();
  for (;;) {
    auto chunk = file->read(out.size, kSnapshotChunk);
    if (!chunk) return chunk.error();
    if (chunk->empty()) break;
    out.chunks.push_back(crc32c(*chunk));
    out.size += chunk->size();
    if (chunk->size() < kSnapshotChunk) break;
  }
  if (auto done = file->sync(); !done) return done.error();
  return out;
}

void remove_quietly(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) log::warn("raft", "{}: cannot be removed: {}", path.string(), error.message());
}

}  // namespace

Result<void> verify_snapshot(const fs::path& directory, const SnapshotManifest& manifest) {
  for (const SnapshotFile& file : manifest.files) {
    const fs::path path = directory / file.name;
    std::error_code error;
    const auto damaged = [&] { return fail(ErrorCode::Corrupt, path.string() + ": damaged"); };
    if (fs::file_size(path, error) != file.size || error) return damaged();
    auto opened = SnapshotFileIo::open(path, SnapshotFileIo::Mode::Read);
    if (!opened) return opened.error();
    for (std::size_t i = 0; i < file.chunks.size(); ++i) {
      auto chunk = opened->read(i * kSnapshotChunk, kSnapshotChunk);
      if (!chunk) return chunk.error();
      if (crc32c(*chunk) != file.chunks[i]) return damaged();
    }
  }
  return {};
}

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::open(const fs::path& directory) {
  if (auto done = io::make_directories(directory); !done) return done.error();
  std::unique_ptr<SnapshotStore> out(new SnapshotStore(directory));
  if (auto done = out->load(); !done) return done.error();
  return out;
}

Result<void> SnapshotStore::load() {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    found.push_back(it->path());
  }
  if (error) {
    return fail(ErrorCode::Internal, directory_.string() + ": cannot be read: " + error.message());
  }
  for (const fs::path& path : found) {
    const std::string name = path.filename().string();
    if (name.starts_with(kIncoming)) continue;
    auto encoded = io::read_file(path / kManifestName, kMaxManifestBytes);
    auto manifest = encoded ? decode_manifest(*encoded) : Result<SnapshotManifest>(encoded.error());
    if (name.starts_with(kCopy) || !manifest || manifest->id != name) {
      remove_quietly(path);
      continue;
    }
    auto kept = std::make_shared<Kept>();
    kept->manifest = std::move(*manifest);
    kept->encoded = std::move(*encoded);
    kept_.emplace(name, std::move(kept));
  }
  prune();
  return {};
}

fs::path SnapshotStore::begin() {
  std::lock_guard lock(mutex_);
  return directory_ / (std::string(kCopy) + std::to_string(next_copy_++));
}

void SnapshotStore::abandon(const fs::path& copy) {
  remove_quietly(copy);
}

Result<SnapshotMeta> SnapshotStore::finish(const fs::path& copy, LogPosition position,
                                           const Configuration& configuration,
                                           const std::string& cluster) {
  auto kept = std::make_shared<Kept>();
  SnapshotManifest& manifest = kept->manifest;
  manifest.id = new_id(position);
  manifest.index = position.index;
  manifest.term = position.term;
  manifest.configuration = configuration;
  manifest.cluster = cluster;
  auto names = io::list_files(copy);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    auto file = check_in(copy / name);
    if (!file) return file.error();
    manifest.files.push_back(std::move(*file));
  }
  kept->encoded = encode_manifest(manifest);
  // Syncs the folder of the copy, too.
  if (auto done = io::write_file_atomically(copy / kManifestName, kept->encoded); !done)
    return done.error();
  const SnapshotMeta meta = meta_of(manifest, kept->encoded);
  std::lock_guard lock(mutex_);
  std::error_code error;
  fs::rename(copy, directory_ / meta.id, error);
  if (error) {
    return fail(ErrorCode::Internal, copy.string() + ": cannot be renamed: " + error.message());
  }
  if (auto done = io::sync_directory(directory_); !done) return done.error();
  kept_.emplace(meta.id, std::move(kept));
  prune();
  return meta;
}

// mutex_ is held.
void SnapshotStore::prune() {
  std::vector<std::map<std::string, std::shared_ptr<Kept>>::iterator> newest_first;
  for (auto it = kept_.begin(); it != kept_.end(); ++it) newest_first.push_back(it);
  std::ranges::sort(newest_first, [](const auto& a, const auto& b) {
    return a->second->manifest.index > b->second->manifest.index;
  });
  std::size_t count = 0;
  for (const auto& it : newest_first) {
    const bool wanted = !it->second->rotten && count < kKeep;
    if (wanted) {
      ++count;
    } else if (it->second->pins == 0) {
      erase(it);
    }
  }
}

void SnapshotStore::erase(std::map<std::string, std::shared_ptr<Kept>>::iterator it) {
  remove_quietly(directory_ / it->first);
  kept_.erase(it);
}

std::optional<SnapshotMeta> SnapshotStore::newest() const {
  std::lock_guard lock(mutex_);
  const Kept* best = nullptr;
  for (const auto& [id, kept] : kept_) {
    if (kept->rotten) continue;
    if (best == nullptr || kept->manifest.index > best->manifest.index) best = kept.get();
  }
  if (best == nullptr) return std::nullopt;
  return meta_of(best->manifest, best->encoded);
}

Result<std::string> SnapshotStore::manifest(const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto it = kept_.find(id);
  if (it == kept_.end()) return fail(ErrorCode::NotFound, "snapshot " + id + ": none of that name");
  return it->second->encoded;
}

Result<std::string> SnapshotStore::read_chunk(const std::string& id, const std::string& file,
                                              std::uint64_t offset) {
  std::shared_ptr<Kept> kept;
  {
    std::lock_guard lock(mutex_);
    const auto it = kept_.find(id);
    if (it == kept_.end())
      return fail(ErrorCode::NotFound, "snapshot " + id + ": none of that name");
    kept = it->second;
  }
  const SnapshotFile* known = kept->manifest.find(file);
  if (known == nullptr) return fail(ErrorCode::NotFound, "snapshot " + id + ": no file " + file);
  const std::uint64_t number = offset / kSnapshotChunk;
  if (offset % kSnapshotChunk != 0 || number >= known->chunks.size()) {
    return fail(ErrorCode::InvalidArgument, "snapshot " + id + ": no chunk starts at " +
                                                std::to_string(offset) + " of " + file);
  }
  auto opened = SnapshotFileIo::open(directory_ / id / file, SnapshotFileIo::Mode::Read);
  if (!opened) return opened.error();
  auto chunk = opened->read(offset, kSnapshotChunk);
  if (!chunk) return chunk.error();
  if (crc32c(*chunk) == known->chunks[number]) return chunk;
  log::error("raft", "{}: has rotted", (directory_ / id / file).string());
  std::lock_guard lock(mutex_);
  kept->rotten = true;
  prune();
  return fail(ErrorCode::Corrupt, "snapshot " + id + ": " + file + " has rotted");
}

bool SnapshotStore::pin(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto it = kept_.find(id);
  if (it == kept_.end()) return false;
  ++it->second->pins;
  return true;
}

void SnapshotStore::unpin(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto it = kept_.find(id);
  if (it == kept_.end() || it->second->pins == 0) return;
  --it->second->pins;
  prune();
}

void SnapshotStore::remove(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto it = kept_.find(id);
  if (it != kept_.end()) erase(it);
}

Result<fs::path> SnapshotStore::incoming(const SnapshotMeta& snapshot) {
  const std::string name = std::string(kIncoming) + snapshot.manifest_hash.substr(0, 32);
  if (name.find('/') != std::string::npos || snapshot.manifest_hash.size() < 32) {
    return fail(ErrorCode::InvalidArgument, "manifest_hash: not a hash");
  }
  std::lock_guard lock(mutex_);
  std::vector<fs::path> others;
  std::error_code error;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string other = it->path().filename().string();
    if (other.starts_with(kIncoming) && other != name) others.push_back(it->path());
  }
  for (const fs::path& other : others) remove_quietly(other);
  if (auto done = io::make_directories(directory_ / name); !done) return done.error();
  return directory_ / name;
}

void SnapshotStore::drop_incoming() {
  (void)incoming({"", {}, {}, std::string(32, '0')});
  remove_quietly(directory_ / (std::string(kIncoming) + std::string(32, '0')));
}

}  // namespace fyr::raft
