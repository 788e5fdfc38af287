#include "raft/commit_note.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"

namespace fyr::raft {
namespace {

constexpr std::string_view kMagic = "FYRCOMM1";
constexpr std::size_t kBootBytes = 36;
constexpr std::size_t kBytes = 8 + 8 + 8 + kBootBytes + 4;

std::string read_at_most(int fd, std::size_t size) {
  std::string out(size, '\0');
  const ssize_t got = ::read(fd, out.data(), size);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

std::string boot_id() {
  const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string out = read_at_most(fd, kBootBytes);
  ::close(fd);
  return out.size() == kBootBytes ? out : std::string();
}

}  // namespace

CommitNote::CommitNote(std::filesystem::path path)
    : path_(std::move(path)),
      boot_(boot_id()),
      fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (fd_ < 0) return;
  const std::string bytes = read_at_most(fd_, kBytes);
  if (bytes.size() != kBytes || !bytes.starts_with(kMagic)) return;
  const std::string_view all = bytes;
  std::string crc;
  append_be32(crc, crc32c(all.substr(0, kBytes - 4)));
  if (all.substr(kBytes - 4) != crc) return;
  found_ = LogPosition{Index(read_be64(all.substr(8, 8))), Term(read_be64(all.substr(16, 8)))};
  complete_ = !boot_.empty() && all.substr(24, kBootBytes) == boot_;
}

CommitNote::~CommitNote() {
  if (fd_ >= 0) ::close(fd_);
}

void CommitNote::note(LogPosition position) {
  if (fd_ < 0) return;
  std::string bytes(kMagic);
  append_be64(bytes, position.index.value);
  append_be64(bytes, position.term.value);
  bytes += boot_;
  bytes.resize(kBytes - 4);
  append_be32(bytes, crc32c(bytes));
  if (::pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(kBytes)) return;
  const int reason = errno;
  log::warn("raft", "{}: cannot be written: {}", path_.string(),
            std::generic_category().message(reason));
  ::close(std::exchange(fd_, -1));
  std::error_code error;
  std::filesystem::remove(path_, error);
}

}  // namespace fyr::raft
