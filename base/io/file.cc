#include "base/io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <system_error>

#include "base/bytes.h"
#include "base/random.h"

namespace fyr::io {
namespace {

ErrorCode code_of(int error) {
  switch (error) {
    case ENOENT:
      return ErrorCode::NotFound;
    case EACCES:
    case EPERM:
      return ErrorCode::PermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return ErrorCode::ResourceExhausted;
    default:
      return ErrorCode::Internal;
  }
}

Error system_error(const std::filesystem::path& path, int error) {
  return fail(code_of(error), path.string() + ": " + std::generic_category().message(error));
}

// Closes on the way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  // close() may report a write that failed late.
  bool close_now() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const auto n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string random_suffix() {
  std::uint8_t bytes[6];
  fill_secure_random(bytes);
  return to_hex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return system_error(path, errno);
  std::string content;
  std::size_t size = 0;
  for (;;) {
    if (size == content.size()) content.resize(std::max<std::size_t>(4096, size * 2));
    const auto n = ::read(file.get(), content.data() + size, content.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
    if (size > max_bytes) {
      return fail(ErrorCode::ResourceExhausted,
                  path.string() + ": longer than " + std::to_string(max_bytes) + " bytes");
    }
  }
  content.resize(size);
  return content;
}

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content,
                                   unsigned mode, bool sync) {
  auto temporary = path;
  temporary += ".tmp-" + random_suffix();
  const auto give_up = [&temporary](const std::filesystem::path& where) {
    const int error = errno;
    ::unlink(temporary.c_str());
    return system_error(where, error);
  };
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (file.get() < 0) return system_error(temporary, errno);
  // The umask may have taken bits away.
  if (::fchmod(file.get(), mode) != 0) return give_up(temporary);
  if (!write_all(file.get(), content)) return give_up(temporary);
  if (sync && ::fsync(file.get()) != 0) return give_up(temporary);
  if (!file.close_now()) return give_up(temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up(path);
  return sync ? sync_directory(folder_of(path)) : Result<void>();
}

namespace {

// Beyond this many open files each is waited for when it is written.
constexpr std::size_t kMaxOpenFiles = 256;

struct Pending {
  std::size_t group = 0;
  std::filesystem::path temporary;
  std::filesystem::path path;
  Descriptor file;
};

Result<void> write_pending(Pending& pending, const std::string& content, bool wait) {
  const auto failed = [&] { return system_error(pending.temporary, errno); };
  if (pending.file.get() < 0) return failed();
  if (::fchmod(pending.file.get(), 0600) != 0) return failed();
  if (!write_all(pending.file.get(), content)) return failed();
  if (!wait) {
    (void)::sync_file_range(pending.file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    return {};
  }
  if (::fsync(pending.file.get()) != 0 || !pending.file.close_now()) return failed();
  return {};
}

}  // namespace

std::vector<Result<void>> change_files(const std::vector<std::vector<FileChange>>& groups) {
  std::vector<Result<void>> results(groups.size());
  std::vector<std::unique_ptr<Pending>> pending;
  std::map<std::filesystem::path, std::vector<std::size_t>> folders;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    for (const FileChange& change : groups[group]) {
      if (!change.content || !results[group]) continue;
      auto temporary = change.path;
      temporary += ".tmp-" + random_suffix();
      const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      pending.emplace_back(new Pending{group, temporary, change.path, Descriptor(fd)});
      results[group] =
          write_pending(*pending.back(), *change.content, pending.size() > kMaxOpenFiles);
    }
  }
  for (const auto& one : pending) {
    if (!results[one->group] || one->file.get() < 0) continue;
    if (::fsync(one->file.get()) != 0 || !one->file.close_now()) {
      results[one->group] = system_error(one->temporary, errno);
    }
  }
  for (const auto& one : pending) {
    if (results[one->group] && ::rename(one->temporary.c_str(), one->path.c_str()) != 0) {
      results[one->group] = system_error(one->path, errno);
    }
    if (!results[one->group]) ::unlink(one->temporary.c_str());
  }
  for (std::size_t group = 0; group < groups.size(); ++group) {
    for (const FileChange& change : groups[group]) {
      if (!results[group]) break;
      if (!change.content) results[group] = remove_file(change.path);
      folders[folder_of(change.path)].push_back(group);
    }
  }
  for (const auto& [folder, users] : folders) {
    const Result<void> synced = sync_directory(folder);
    for (const std::size_t group : users) {
      if (!synced && results[group]) results[group] = synced;
    }
  }
  return results;
}

Result<void> remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(path, errno);
  return {};
}

Result<void> make_directories(const std::filesystem::path& path, unsigned mode) {
  std::filesystem::path sofar;
  for (const auto& part : path) {
    sofar /= part;
    if (::mkdir(sofar.c_str(), mode) == 0) continue;
    const int error = errno;
    struct stat status {};
    const bool is_folder = ::stat(sofar.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    if (!is_folder) return system_error(sofar, error == EEXIST ? ENOTDIR : error);
  }
  return {};
}

Result<void> sync_directory(const std::filesystem::path& path) {
  Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return system_error(path, errno);
  return {};
}

Result<std::vector<std::string>> list_files(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::directory_iterator entries(path, code);
  std::vector<std::string> names;
  while (!code && entries != std::filesystem::directory_iterator()) {
    std::error_code ignored;  // gone since it was listed
    if (entries->is_regular_file(ignored)) names.push_back(entries->path().filename().string());
    entries.increment(code);
  }
  if (code) return fail(code_of(code.value()), path.string() + ": " + code.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<FileLock> FileLock::acquire(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return system_error(path, errno);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return FileLock(fd);
  const int error = errno;
  ::close(fd);
  if (error != EWOULDBLOCK) return system_error(path, error);
  return fail(ErrorCode::Conflict,
              path.string() + ": another process is using " + folder_of(path).string());
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace fyr::io
