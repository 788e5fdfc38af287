#include "base/io/disk_space.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace fyr::io {

std::uint64_t DiskSpace::low_mark() const {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 30;
  return std::min(kMost, total / 20);
}

Result<DiskSpace> disk_space(const std::filesystem::path& path) {
  struct statvfs figures {};
  if (::statvfs(path.c_str(), &figures) != 0)
    return fail(ErrorCode::Internal, path.string() + ": " + std::generic_category().message(errno));
  return DiskSpace{figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize};
}

}  // namespace fyr::io
