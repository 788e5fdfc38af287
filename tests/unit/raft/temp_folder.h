// A folder of its own for one test, removed afterwards.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace fyr::raft {

// Memory: for tests that open a log hundreds of times and are not about flushing.
enum class Medium { Disk, Memory };

class TempFolder {
 public:
  explicit TempFolder(Medium medium = Medium::Disk) {
    std::filesystem::path parent = std::filesystem::temp_directory_path();
    if (medium == Medium::Memory && ::access("/dev/shm", W_OK) == 0) parent = "/dev/shm";
    std::string name = (parent / "fyr-raft-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// What was written to a file of the write-ahead log: without the zeros it was made with.
inline void cut_to_content(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  std::filesystem::resize_file(path, bytes.find_last_not_of('\0') + 1);
}

inline void copy_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

}  // namespace fyr::raft
