// Files that must be whole or absent: temporary file, fsync, rename, fsync of the folder.
// Blocking; not for io threads except at start. Errors name the path and the system's reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fyr::io {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes = 64 << 20);
// Mode 0600 unless given.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content,
                                   unsigned mode = 0600, bool sync = true);
Result<void> remove_file(const std::filesystem::path& path);  // absent is fine
Result<void> make_directories(const std::filesystem::path& path, unsigned mode = 0700);
Result<void> sync_directory(const std::filesystem::path& path);
// Names in a folder, sorted; regular files only.
Result<std::vector<std::string>> list_files(const std::filesystem::path& path);

// Holds an exclusive flock on `path` (created) for the life of the object; an error says that
// another process uses the folder.
class FileLock {
 public:
  static Result<FileLock> acquire(const std::filesystem::path& path);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace fyr::io
