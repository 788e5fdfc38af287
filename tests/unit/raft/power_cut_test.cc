// raft_power_cut_test [cuts] [seed]: random writes, truncations, compactions and installs on a disk
// that loses power, or fails once, at a random operation (raft-verification.md A8). Afterwards
// everything acknowledged must be there and equal; of the write under way, what its first batches
// left is allowed, nothing else.
//
// The files beside RocksDB are watched by wrapping pwrite and fdatasync (see CMakeLists.txt).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "raft/rocks_storage.h"
#include "raft/state_generations.h"
#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/fault_file_system.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

int cuts = 150;
std::uint64_t first_seed = 1;

FaultFileSystem* disk = nullptr;                  // of the running case
std::map<std::string, std::string> synced_bytes;  // of slot files, by path

std::string path_of(int fd) {
  char buffer[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), buffer, sizeof buffer);
  return n < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(n));
}

// What a folder holds, as far as the log is concerned.
struct Model {
  LogPosition base;
  std::vector<std::pair<Term, std::string>> entries;
  std::uint64_t generation = 1;

  Index last() const { return Index(base.index.value + entries.size()); }
  bool operator==(const Model&) const = default;

  void perform(const PersistBatch& batch) {
    if (batch.install) {
      const LogPosition at{batch.install->index, batch.install->term};
      const bool keeps = at.index > base.index && at.index <= last() &&
                         entries[at.index.value - base.index.value - 1].first == at.term;
      if (keeps) {
        compact(at);
      } else {
        entries.clear();
        base = at;
      }
      ++generation;
    }
    if (batch.truncate_from != Index{} && batch.truncate_from <= last())
      entries.resize(batch.truncate_from.value - base.index.value - 1);
    for (const Entry& entry : batch.entries) entries.emplace_back(entry.term, *entry.data);
  }
  void compact(LogPosition to) {
    const auto gone = static_cast<std::ptrdiff_t>(to.index.value - base.index.value);
    entries.erase(entries.begin(), entries.begin() + gone);
    base = to;
  }
};

class Case {
 public:
  explicit Case(std::uint64_t seed)
      : random_(seed),
        system_(std::make_shared<FaultFileSystem>(seed + 1, folder_.path() / "trash")),
        env_(rocksdb::NewCompositeEnv(system_)) {
    disk = system_.get();
  }
  ~Case() {
    storage_.reset();
    disk = nullptr;
    synced_bytes.clear();
  }

  void run() {
    ASSERT_NO_FATAL_FAILURE(open());
    acknowledged_.entries.clear();
    acknowledged_.entries.emplace_back(Term(1),
                                       *(*storage_->read({Index(1), Index(1)}, 1))[0].data);
    for (int life = 0; life < 3; ++life) {
      const bool cut = random_.chance(0.7);
      const auto error =
          random_.chance(0.5) ? FaultFileSystem::Fault::Error : FaultFileSystem::Fault::NoSpace;
      system_->arm(cut ? FaultFileSystem::Fault::PowerCut : error, 1 + random_.below(150));
      while (live()) {
      }
      storage_.reset();
      if (cut) lose_power();
      system_->arm(FaultFileSystem::Fault::None, 0);
      ASSERT_NO_FATAL_FAILURE(open());
      ASSERT_NO_FATAL_FAILURE(compare());
    }
  }

 private:
  void open() {
    const auto identity = RocksStorage::identify(path_);
    ASSERT_TRUE(identity);
    RocksStorageOptions options;
    options.directory = path_;
    options.bootstrap = true;
    for (const NodeId id : {identity->node, NodeId(2), NodeId(3)}) {
      Member member;
      member.id = id;
      options.members.push_back(member);
    }
    options.env = env_.get();
    auto opened = RocksStorage::open(options);
    ASSERT_TRUE(opened) << opened.error().message;
    storage_ = std::move(*opened);
    state_ = storage_->take_recovered();
    ASSERT_FALSE(state_.quarantine) << "the disk kept what it had promised";
  }

  PersistBatch random_batch(const Model& model) {
    PersistBatch batch;
    if (random_.chance(0.15)) hard_.term = hard_.term.next();
    if (random_.chance(0.2)) {
      hard_.term = hard_.term.next();
      hard_.voted_for = NodeId(1 + random_.below(3));
    }
    if (hard_ != HardState{}) batch.hard = hard_;
    Model after = model;
    if (random_.chance(0.06)) {
      LogBase base;
      base.index = Index(model.base.index.value + 1 + random_.below(model.entries.size() + 5));
      const bool matches = base.index <= model.last() && random_.chance(0.5);
      base.term =
          matches ? model.entries[base.index.value - model.base.index.value - 1].first : hard_.term;
      base.configuration.voters = {NodeId(2), NodeId(3)};
      // Not a state that an entry of a later term follows.
      if (!matches) hard_.term = hard_.term.next();
      batch.hard = hard_;
      batch.install = base;
      fs::create_directories(StateGenerations(path_).path_of(model.generation + 1));
    } else if (!model.entries.empty() && random_.chance(0.25)) {
      batch.truncate_from = Index(model.base.index.value + 1 + random_.below(model.entries.size()));
    }
    after.perform(batch);
    for (std::uint64_t n = random_.below(5); n > 0; --n) {
      batch.entries.push_back(
          make_entry(hard_.term.value, after.last().value + 1,
                     std::string(random_.below(3'000), 'a') + std::to_string(random_.next())));
      after.entries.emplace_back();
    }
    return batch;
  }

  // One operation; false: it failed.
  bool live() {
    possible_.assign(1, acknowledged_);
    possible_hard_.assign(1, state_.hard);
    if (random_.chance(0.1)) return storage_->sync_watermark().has_value();
    if (!acknowledged_.entries.empty() && random_.chance(0.06)) return compact();
    std::vector<PersistBatch> group;
    for (std::uint64_t n = 1 + random_.below(3); n > 0; --n) {
      group.push_back(random_batch(possible_.back()));
      possible_.push_back(possible_.back());
      if (group.back().install) {
        // Done before the rest of its batch.
        PersistBatch only;
        only.install = group.back().install;
        possible_.back().perform(only);
        possible_.push_back(possible_[possible_.size() - 2]);
      }
      possible_.back().perform(group.back());
      if (group.back().hard) possible_hard_.push_back(*group.back().hard);
    }
    if (!storage_->write(group)) return false;
    acknowledged_ = possible_.back();
    state_.hard = possible_hard_.back();
    return true;
  }

  bool compact() {
    const std::uint64_t upto = 1 + random_.below(acknowledged_.entries.size());
    const LogPosition to{Index(acknowledged_.base.index.value + upto),
                         acknowledged_.entries[upto - 1].first};
    possible_.push_back(acknowledged_);
    possible_.back().compact(to);
    if (!storage_->compact({to.index, to.term, storage_->configuration_at(to.index)})) return false;
    acknowledged_ = possible_.back();
    return true;
  }

  // The files beside the log: sectors written since the last sync stay, go back or tear.
  void lose_power() {
    for (const char* name : {"hardstate", "watermark"}) {
      const std::string path = path_ / name;
      std::string bytes = read_bytes(path);
      const std::string& before = synced_bytes[path];
      ASSERT_EQ(before.size(), bytes.size()) << name;
      for (std::size_t at = 0; at < bytes.size(); at += 512) {
        if (bytes.compare(at, 512, before, at, 512) == 0) continue;
        const std::uint64_t fate = random_.below(3);
        if (fate == 1) bytes.replace(at, 512, before, at, 512);
        if (fate == 2) bytes[at + random_.below(44)] ^= 0x55;
      }
      write_bytes(path, bytes);
    }
    system_->lose_power();
  }

  void compare() {
    Model found;
    found.base = {state_.base.index, state_.base.term};
    found.generation = *StateGenerations(path_).current();
    for (Index i = state_.base.index.next(); i <= state_.last; i = i.next()) {
      auto entry = storage_->read({i, i}, 1);
      ASSERT_TRUE(entry) << entry.error().message;
      found.entries.emplace_back(entry->front().term, *entry->front().data);
    }
    const auto it = std::ranges::find(possible_, found);
    ASSERT_TRUE(it != possible_.end())
        << "found " << found.base.index.value << ".." << found.last().value << ", acknowledged "
        << acknowledged_.base.index.value << ".." << acknowledged_.last().value;
    EXPECT_TRUE(std::ranges::count(possible_hard_, state_.hard) > 0)
        << "term " << state_.hard.term.value;
    acknowledged_ = found;
    hard_ = state_.hard;
  }

  TempFolder folder_{Medium::Memory};
  const fs::path path_ = folder_.path() / "raft";
  Random random_;
  std::shared_ptr<FaultFileSystem> system_;
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<RocksStorage> storage_;
  RecoveredState state_;
  HardState hard_{Term(1), NodeId{}};
  Model acknowledged_;
  std::vector<Model> possible_;  // after each batch of the write under way
  std::vector<HardState> possible_hard_;
};

TEST(RaftPowerCut, WhatWasAcknowledgedIsThereAfterwards) {
  for (int i = 0; i < cuts; ++i) {
    const std::uint64_t seed = first_seed + static_cast<std::uint64_t>(i);
    SCOPED_TRACE("seed " + std::to_string(seed));
    Case one(seed);
    one.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace fyr::raft

extern "C" {
ssize_t __real_pwrite(int fd, const void* bytes, size_t size, off_t at);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
ssize_t __wrap_pwrite(int fd, const void* bytes, size_t size, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

ssize_t __wrap_pwrite(int fd, const void* bytes, size_t size, off_t at) {
  if (fyr::raft::disk == nullptr || fyr::raft::disk->step())
    return __real_pwrite(fd, bytes, size, at);
  if (!fyr::raft::disk->is_dead()) (void)__real_pwrite(fd, bytes, size / 2, at);
  errno = EIO;
  return -1;
}

static int sync_and_note(int fd) {
  if (fyr::raft::disk != nullptr && !fyr::raft::disk->step()) {
    errno = EIO;
    return -1;
  }
  const std::string path = fyr::raft::path_of(fd);
  if (path.ends_with("hardstate") || path.ends_with("watermark"))
    fyr::raft::synced_bytes[path] = fyr::raft::read_bytes(path);
  return 0;
}
int __wrap_fdatasync(int fd) {
  return sync_and_note(fd);
}
int __wrap_fsync(int fd) {
  return sync_and_note(fd);
}
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) fyr::raft::cuts = std::atoi(argv[1]);
  if (argc > 2) fyr::raft::first_seed = std::strtoull(argv[2], nullptr, 10);
  return RUN_ALL_TESTS();
}
