#include "raft/slot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/io/file.h"

namespace fyr::raft {
namespace {

constexpr std::size_t kMagicBytes = 8;

struct Slot {
  std::uint64_t generation;
  std::string payload;
};

std::optional<Slot> decode(std::string_view bytes, std::string_view magic,
                           std::size_t payload_bytes) {
  const std::size_t covered = kMagicBytes + 8 + payload_bytes;
  if (bytes.size() < covered + 4 || bytes.substr(0, kMagicBytes) != magic) return std::nullopt;
  std::string crc;
  append_be32(crc, crc32c(bytes.substr(0, covered)));
  if (bytes.substr(covered, 4) != crc) return std::nullopt;
  return Slot{read_be64(bytes.substr(kMagicBytes, 8)),
              std::string(bytes.substr(kMagicBytes + 8, payload_bytes))};
}

}  // namespace

SlotFile::SlotFile(SlotFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      magic_(std::move(other.magic_)),
      payload_(std::move(other.payload_)),
      generation_(other.generation_),
      loose_(other.loose_),
      dirty_(other.dirty_) {}

SlotFile& SlotFile::operator=(SlotFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(magic_, other.magic_);
  std::swap(payload_, other.payload_);
  std::swap(generation_, other.generation_);
  std::swap(loose_, other.loose_);
  std::swap(dirty_, other.dirty_);
  return *this;
}

SlotFile::~SlotFile() {
  if (fd_ >= 0) ::close(fd_);
}

Error SlotFile::system_error(const char* what) const {
  const int error = errno;
  return fail(ErrorCode::Internal,
              path_.string() + ": cannot " + what + ": " + std::generic_category().message(error));
}

std::string SlotFile::encode(std::string_view payload, std::uint64_t generation) const {
  std::string out = magic_;
  append_be64(out, generation);
  out += payload;
  append_be32(out, crc32c(out));
  CHECK(out.size() <= kSlotBytes);
  return out;
}

Result<void> SlotFile::put(int slot, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto at = static_cast<off_t>(static_cast<std::size_t>(slot) * kSlotBytes + done);
    const ssize_t n = ::pwrite(fd_, bytes.data() + done, bytes.size() - done, at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error("write");
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> SlotFile::flush() {
  if (::fdatasync(fd_) != 0) return system_error("flush");
  return {};
}

Result<void> SlotFile::sync() {
  if (auto done = flush(); !done) return done;
  if (!dirty_) return {};
  // What was loose is the durable one now; the other follows, so that a rotten slot hides nothing.
  dirty_ = false;
  loose_ = 1 - loose_;
  return put(loose_, encode(payload_, generation_));
}

Result<SlotFile> SlotFile::create(const std::filesystem::path& path, std::string_view magic,
                                  std::string_view payload) {
  CHECK(magic.size() == kMagicBytes);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  SlotFile file(fd, path, magic);
  if (fd < 0) return file.system_error("create");
  // The full size at once, so that later updates change no metadata.
  std::string slot = file.encode(payload, 1);
  slot.resize(kSlotBytes);
  if (auto done = file.put(0, slot + slot); !done) return done.error();
  if (::fsync(fd) != 0) return file.system_error("flush");
  file.payload_ = payload;
  file.generation_ = 1;
  return file;
}

Result<SlotFile> SlotFile::open(const std::filesystem::path& path, std::string_view magic,
                                std::size_t payload_bytes) {
  CHECK(magic.size() == kMagicBytes);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  SlotFile file(fd, path, magic);
  if (fd < 0) {
    const bool absent = errno == ENOENT;
    Error error = file.system_error("open");
    if (absent) error.code = ErrorCode::Corrupt;
    return error;
  }
  auto content = io::read_file(path, 1 << 20);
  if (!content) return content.error();
  content->resize(2 * kSlotBytes);
  const std::string_view bytes = *content;
  std::optional<Slot> slots[2] = {
      decode(bytes.substr(0, kSlotBytes), magic, payload_bytes),
      decode(bytes.substr(kSlotBytes), magic, payload_bytes),
  };
  if (!slots[0] && !slots[1]) {
    return fail(ErrorCode::Corrupt, path.string() + ": both copies are damaged");
  }
  const int newest = !slots[0] || (slots[1] && slots[1]->generation > slots[0]->generation) ? 1 : 0;
  file.generation_ = slots[newest]->generation;
  file.payload_ = slots[newest]->payload;
  const bool equal = slots[1 - newest] && slots[1 - newest]->generation == file.generation_;
  // The newest one stays untouched until its copy is durable.
  if (!equal) {
    auto done = file.put(1 - newest, file.encode(file.payload_, file.generation_));
    if (!done) return done.error();
  }
  if (auto done = file.flush(); !done) return done.error();
  return file;
}

Result<void> SlotFile::write_synced(std::string_view payload) {
  const std::string bytes = encode(payload, generation_ + 1);
  for (const int slot : {loose_, 1 - loose_}) {
    if (auto done = put(slot, bytes); !done) return done;
    if (auto done = flush(); !done) return done;
  }
  payload_ = payload;
  ++generation_;
  dirty_ = false;
  return {};
}

Result<void> SlotFile::write_unsynced(std::string_view payload) {
  if (auto done = put(loose_, encode(payload, generation_ + 1)); !done) return done;
  payload_ = payload;
  ++generation_;
  dirty_ = true;
  return {};
}

}  // namespace fyr::raft
