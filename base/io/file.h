// Files that must be whole or absent: temporary file, fsync, rename, fsync of the folder.
// Blocking; not for io threads except at start. Errors name the path and the system's reason.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fyr::io {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes = 64 << 20);
// Mode 0600 unless given.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content,
                                   unsigned mode = 0600, bool sync = true);

struct FileChange {
  std::filesystem::path path;
  std::optional<std::string> content;  // nothing: the file is removed, absent is fine
};
// Many changes of files for the price of few waits: all temporary files are written and on their
// way before the first is waited for, and each folder is synced once. A group's files follow its
// order and its result says whether all of them are on disk, removals too; groups do not depend on
// each other. Mode 0600.
std::vector<Result<void>> change_files(const std::vector<std::vector<FileChange>>& groups);

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
