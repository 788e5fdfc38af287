#include "tests/unit/raft/fault_file_system.h"

#include <filesystem>
#include <fstream>

namespace fyr::raft {

namespace fs = std::filesystem;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFileSystem& system, std::string name,
            std::unique_ptr<rocksdb::FSWritableFile>&& file)
      : FSWritableFileOwnerWrapper(std::move(file)), system_(system), name_(std::move(name)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    return append(data, options, context);
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& /*info*/, IODebugContext* context) override {
    return append(data, options, context);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* context) override {
    return sync(options, context);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    return sync(options, context);
  }
  IOStatus RangeSync(uint64_t /*offset*/, uint64_t /*bytes*/, const IOOptions& /*options*/,
                     IODebugContext* /*context*/) override {
    return IOStatus::OK();  // promises nothing
  }

 private:
  IOStatus append(const Slice& data, const IOOptions& options, IODebugContext* context) {
    std::lock_guard lock(system_.mutex_);
    const bool was_dead = system_.dead_;
    const IOStatus status = system_.check_locked();
    Slice part = data;
    if (!status.ok()) {
      // A part of it got there before the power or the space was gone.
      if (was_dead || data.empty()) return status;
      part = Slice(data.data(), system_.random_.below(data.size()));
    }
    const IOStatus done = target()->Append(part, options, context);
    system_.files_[name_].size += part.size();
    return status.ok() ? done : status;
  }
  IOStatus sync(const IOOptions& options, IODebugContext* context) {
    std::lock_guard lock(system_.mutex_);
    if (const IOStatus status = system_.check_locked(); !status.ok()) return status;
    const IOStatus done = target()->Flush(options, context);
    auto& extent = system_.files_[name_];
    extent.synced = extent.size;
    return done;
  }

  FaultFileSystem& system_;
  const std::string name_;
};

class FaultDirectory final : public rocksdb::FSDirectory {
 public:
  explicit FaultDirectory(FaultFileSystem& system) : system_(system) {}
  IOStatus Fsync(const IOOptions& /*options*/, IODebugContext* /*context*/) override {
    std::lock_guard lock(system_.mutex_);
    if (const IOStatus status = system_.check_locked(); !status.ok()) return status;
    system_.synced_folder();
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions& /*options*/, IODebugContext* /*context*/) override {
    return IOStatus::OK();
  }

 private:
  FaultFileSystem& system_;
};

FaultFileSystem::FaultFileSystem(std::uint64_t seed, std::string trash)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), random_(seed), trash_(std::move(trash)) {
  fs::create_directories(trash_);
}

void FaultFileSystem::arm(Fault fault, std::uint64_t operation) {
  std::lock_guard lock(mutex_);
  fault_ = fault;
  at_ = count_ + operation;
}

bool FaultFileSystem::is_dead() const {
  std::lock_guard lock(mutex_);
  return dead_;
}

std::uint64_t FaultFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return count_;
}

bool FaultFileSystem::step() {
  std::lock_guard lock(mutex_);
  return check_locked().ok();
}

IOStatus FaultFileSystem::check_locked() {
  if (dead_) return IOStatus::IOError("no power");
  ++count_;
  if (fault_ == Fault::None || count_ != at_) return IOStatus::OK();
  if (fault_ == Fault::PowerCut) dead_ = true;
  if (fault_ == Fault::NoSpace) return IOStatus::NoSpace("injected");
  return IOStatus::IOError("injected");
}

IOStatus FaultFileSystem::NewWritableFile(const std::string& name,
                                          const rocksdb::FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          IODebugContext* context) {
  std::lock_guard lock(mutex_);
  if (const IOStatus status = check_locked(); !status.ok()) return status;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  const std::string replaced = keep(name);
  const IOStatus status = target()->NewWritableFile(name, options, &file, context);
  if (!status.ok()) return status;
  files_[name] = {};
  changes_.push_back({Change::Created, name, {}, replaced});
  *result = std::make_unique<FaultFile>(*this, name, std::move(file));
  return status;
}

IOStatus FaultFileSystem::RenameFile(const std::string& from, const std::string& to,
                                     const IOOptions& options, IODebugContext* context) {
  std::lock_guard lock(mutex_);
  if (const IOStatus status = check_locked(); !status.ok()) return status;
  const std::string replaced = keep(to);
  const IOStatus status = target()->RenameFile(from, to, options, context);
  if (!status.ok()) return status;
  files_[to] = files_[from];
  files_.erase(from);
  changes_.push_back({Change::Renamed, from, to, replaced});
  return status;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& name, const IOOptions& /*options*/,
                                     IODebugContext* /*context*/) {
  std::lock_guard lock(mutex_);
  if (const IOStatus status = check_locked(); !status.ok()) return status;
  const std::string kept = keep(name);
  if (kept.empty()) return IOStatus::PathNotFound(name);
  changes_.push_back({Change::Deleted, name, {}, kept});
  return IOStatus::OK();
}

IOStatus FaultFileSystem::NewDirectory(const std::string& /*name*/, const IOOptions& /*options*/,
                                       std::unique_ptr<rocksdb::FSDirectory>* result,
                                       IODebugContext* /*context*/) {
  *result = std::make_unique<FaultDirectory>(*this);
  return IOStatus::OK();
}

// Moves a file out of the way; empty: there is none.
std::string FaultFileSystem::keep(const std::string& name) {
  if (!fs::exists(name)) return {};
  const std::string kept = trash_ + "/" + std::to_string(++kept_count_);
  fs::rename(name, kept);
  if (const auto it = files_.find(name); it != files_.end()) {
    files_[kept] = it->second;
    files_.erase(it);
  }
  return kept;
}

void FaultFileSystem::synced_folder() {
  for (const Change& change : changes_) {
    files_.erase(change.kept);
    if (!change.kept.empty()) fs::remove(change.kept);
  }
  changes_.clear();
}

void FaultFileSystem::undo(const Change& change) {
  if (change.kind == Change::Created) fs::remove(change.name);
  if (change.kind == Change::Renamed) fs::rename(change.to, change.name);
  const std::string& place = change.kind == Change::Renamed ? change.to : change.name;
  if (!change.kept.empty()) fs::rename(change.kept, place);
}

void FaultFileSystem::lose_power() {
  std::lock_guard lock(mutex_);
  for (const auto& [name, extent] : files_) {
    if (extent.synced >= extent.size || !fs::exists(name)) continue;
    const std::uint64_t left = extent.synced + random_.below(extent.size - extent.synced + 1);
    fs::resize_file(name, left);
    // A file of the write-ahead log has its size before it has its content.
    const bool sized = name.ends_with(".log") && random_.chance(0.5);
    if (sized) fs::resize_file(name, extent.size + (64u << 10));
    if (left == extent.synced || random_.chance(0.5)) continue;
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(extent.synced + random_.below(left - extent.synced)));
    file.put('?');
  }
  const std::size_t stay = random_.below(changes_.size() + 1);
  while (changes_.size() > stay) {
    undo(changes_.back());
    changes_.pop_back();
  }
  synced_folder();
  files_.clear();
  dead_ = false;
  fault_ = Fault::None;
}

}  // namespace fyr::raft
