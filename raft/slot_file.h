// A small value in a file that survives torn and rotten sectors: two slots of 4 KiB, each
// {magic, generation, payload, CRC32C}. The newest valid slot counts (raft.md §9).
//
// A synced update writes slot A, flushes, writes slot B, flushes, and only then is durable: one
// torn or rotten slot never hides it. On opening the other slot is made equal to the newest one.
//
// Layout: do not change; a new form gets a new magic.
//
// Not thread-safe. Errors name the path. After a failed write the content is unknown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr::raft {

class SlotFile {
 public:
  static constexpr std::size_t kSlotBytes = 4096;

  // `magic` has 8 bytes. Creates or replaces the file; its bytes are durable on return, its entry
  // in the folder once that is synced.
  static Result<SlotFile> create(const std::filesystem::path& path, std::string_view magic,
                                 std::string_view payload);
  // Corrupt: no slot is valid.
  static Result<SlotFile> open(const std::filesystem::path& path, std::string_view magic,
                               std::size_t payload_bytes);
  SlotFile(SlotFile&& other) noexcept;
  SlotFile& operator=(SlotFile&& other) noexcept;
  ~SlotFile();

  const std::string& payload() const { return payload_; }
  Result<void> write_synced(std::string_view payload);
  // One slot, left to the page cache: survives the process, not a power cut before sync(). The
  // other slot keeps what was synced last, so that a torn write hides no more than that.
  Result<void> write_unsynced(std::string_view payload);
  Result<void> sync();

 private:
  SlotFile(int fd, std::filesystem::path path, std::string_view magic)
      : fd_(fd), path_(std::move(path)), magic_(magic) {}
  Result<void> put(int slot, const std::string& bytes);
  Result<void> flush();
  std::string encode(std::string_view payload, std::uint64_t generation) const;
  Error system_error(const char* what) const;

  int fd_ = -1;
  std::filesystem::path path_;
  std::string magic_;
  std::string payload_;
  std::uint64_t generation_ = 0;
  int loose_ = 1;       // the slot that unsynced writes go to; the other one is durable
  bool dirty_ = false;  // the loose slot is newer
};

}  // namespace fyr::raft
