#include "raft/checked_file.h"

#include "base/bytes.h"
#include "base/io/file.h"

namespace fyr::raft {

Result<void> write_checked_file(const std::filesystem::path& path, std::string_view kind,
                                std::string_view payload) {
  std::string bytes = "fyr " + std::string(kind) + "\n";
  bytes += payload;
  append_be32(bytes, crc32c(bytes));
  return io::write_file_atomically(path, bytes);
}

Result<std::string> read_checked_file(const std::filesystem::path& path, std::string_view kind,
                                      std::size_t max_bytes) {
  auto bytes = io::read_file(path, max_bytes);
  if (!bytes) return bytes.error();
  const std::string head = "fyr " + std::string(kind) + "\n";
  if (bytes->size() < head.size() + 4 || !bytes->starts_with(head)) {
    return fail(ErrorCode::Corrupt, path.string() + ": damaged");
  }
  const std::string_view covered = std::string_view(*bytes).substr(0, bytes->size() - 4);
  std::string crc;
  append_be32(crc, crc32c(covered));
  if (std::string_view(*bytes).substr(covered.size()) != crc) {
    return fail(ErrorCode::Corrupt, path.string() + ": damaged");
  }
  return std::string(covered.substr(head.size()));
}

}  // namespace fyr::raft
