#include "raft/snapshot_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace fyr::raft {

Result<SnapshotFileIo> SnapshotFileIo::open(const std::filesystem::path& path, Mode mode) {
  int flags = O_RDONLY;
  if (mode == Mode::Write) flags = O_RDWR;
  if (mode == Mode::Create) flags = O_RDWR | O_CREAT;
  SnapshotFileIo file(::open(path.c_str(), flags | O_CLOEXEC, 0600), path);
  if (file.fd_ >= 0) return file;
  Error error = file.system_error("open");
  if (errno == ENOENT) error.code = ErrorCode::NotFound;
  return error;
}

SnapshotFileIo::SnapshotFileIo(SnapshotFileIo&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

SnapshotFileIo::~SnapshotFileIo() {
  if (fd_ >= 0) ::close(fd_);
}

Error SnapshotFileIo::system_error(const char* what) const {
  const int error = errno;
  const ErrorCode code = error == ENOSPC ? ErrorCode::ResourceExhausted : ErrorCode::Internal;
  Error out = fail(
      code, path_.string() + ": cannot " + what + ": " + std::generic_category().message(error));
  errno = error;
  return out;
}

Result<std::string> SnapshotFileIo::read(std::uint64_t offset, std::size_t bytes) const {
  std::string out(bytes, '\0');
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n =
        ::pread(fd_, out.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("read");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  out.resize(done);
  return out;
}

Result<void> SnapshotFileIo::write(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error("write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<void> SnapshotFileIo::truncate(std::uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return system_error("cut");
  return {};
}

Result<void> SnapshotFileIo::sync() {
  if (::fsync(fd_) != 0) return system_error("flush");
  return {};
}

}  // namespace fyr::raft
