// A file of a snapshot, read and written at positions. Only for the files of this folder.
// Errors name the path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr::raft {

class SnapshotFileIo {
 public:
  enum class Mode { Read, Write, Create };  // Create: or open

  static Result<SnapshotFileIo> open(const std::filesystem::path& path, Mode mode);
  SnapshotFileIo(SnapshotFileIo&& other) noexcept;
  SnapshotFileIo& operator=(SnapshotFileIo&&) = delete;
  ~SnapshotFileIo();

  // Fewer bytes only at the end of the file.
  Result<std::string> read(std::uint64_t offset, std::size_t bytes) const;
  Result<void> write(std::uint64_t offset, std::string_view bytes);
  Result<void> truncate(std::uint64_t size);
  Result<void> sync();

 private:
  SnapshotFileIo(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  Error system_error(const char* what) const;
  int fd_;
  std::filesystem::path path_;
};

}  // namespace fyr::raft
