// The two small files beside the log (raft.md §9), both in the form of slot_file.h:
//
// `hardstate` {incarnation, term, vote}: durable before anything that depends on it.
// `watermark` {index, term}: the highest entry that was ever acknowledged. The log may end later
// after a crash, never earlier; a shorter log has lost data and must not be taken for a whole one.
//
// Not thread-safe. Errors name the path.
#pragma once

#include <cstdint>

#include "raft/slot_file.h"
#include "raft/types.h"

namespace fyr::raft {

class HardStateFile {
 public:
  // For the first life: incarnation 1. The folder is left for the caller to sync.
  static Result<HardStateFile> create(const std::filesystem::path& path, HardState initial);
  static Result<HardStateFile> open(const std::filesystem::path& path);

  HardState state() const { return state_; }
  std::uint64_t incarnation() const { return incarnation_; }
  Result<void> write(HardState state);  // durable on return
  Result<void> raise_incarnation();     // durable on return

 private:
  HardStateFile(SlotFile file, HardState state, std::uint64_t incarnation)
      : file_(std::move(file)), state_(state), incarnation_(incarnation) {}
  SlotFile file_;
  HardState state_;
  std::uint64_t incarnation_;
};

struct Watermark {
  Index index{};
  Term term{};
  bool operator==(const Watermark&) const = default;
};

class WatermarkFile {
 public:
  static Result<WatermarkFile> create(const std::filesystem::path& path, Watermark initial);
  static Result<WatermarkFile> open(const std::filesystem::path& path);

  Watermark value() const { return value_; }
  Result<void> raise(Watermark value);  // durable after the next sync()
  Result<void> lower(Watermark value);  // durable on return: before a truncation
  Result<void> sync();                  // does nothing when nothing is new

 private:
  WatermarkFile(SlotFile file, Watermark value) : file_(std::move(file)), value_(value) {}
  SlotFile file_;
  Watermark value_;
  bool dirty_ = true;  // what was read may never have reached the disk
};

}  // namespace fyr::raft
