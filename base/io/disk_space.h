// How much room a file system has left. Blocking; errors name the path.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/error.h"

namespace fyr::io {

struct DiskSpace {
  std::uint64_t total = 0, available = 0;  // bytes; available to us, without root's reserve

  // Below it nothing may be written that can be done without: 5 %, at most 1 GiB (raft.md §10).
  std::uint64_t low_mark() const;
  bool is_low() const { return available < low_mark(); }
};

// Of the file system that holds `path`, which must exist.
Result<DiskSpace> disk_space(const std::filesystem::path& path);

}  // namespace fyr::io
