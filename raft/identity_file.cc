#include "raft/identity_file.h"

#include <charconv>

#include "base/bytes.h"
#include "base/io/file.h"

namespace fyr::raft {
namespace {

constexpr std::string_view kFirstLine = "fyr-raft 1\n";

std::string number(std::uint64_t value) {
  std::string bytes;
  append_be64(bytes, value);
  return to_hex(bytes);
}

}  // namespace

Result<void> write_identity(const std::filesystem::path& path, const Identity& identity) {
  std::string text(kFirstLine);
  text += "node " + number(identity.node.value) + "\n";
  if (!identity.cluster.empty()) text += "cluster " + identity.cluster + "\n";
  // Absent while it is 0: folders of earlier versions have none.
  if (identity.recovery_epoch != 0) {
    text += "epoch " + std::to_string(identity.recovery_epoch) + "\n";
  }
  text += std::string("state ") + (identity.ready ? "ready" : "preparing") + "\n";
  std::string crc;
  append_be32(crc, crc32c(text));
  text += "crc " + to_hex(crc) + "\n";
  return io::write_file_atomically(path, text);
}

Result<Identity> read_identity(const std::filesystem::path& path) {
  auto text = io::read_file(path, 4096);
  if (!text) return text.error();
  const auto damaged = [&] { return fail(ErrorCode::Corrupt, path.string() + ": damaged"); };
  const std::string_view all = *text;
  if (!all.starts_with("fyr-raft ")) return damaged();
  if (!all.starts_with(kFirstLine)) {
    return fail(ErrorCode::Unsupported, path.string() + ": written by a later version");
  }
  const std::size_t crc_line = all.rfind("crc ");
  if (crc_line == std::string_view::npos) return damaged();
  std::string crc;
  append_be32(crc, crc32c(all.substr(0, crc_line)));
  if (all.substr(crc_line) != "crc " + to_hex(crc) + "\n") return damaged();

  Identity out;
  for (const std::string_view line : split(all.substr(0, crc_line), '\n')) {
    if (line.starts_with("node ")) {
      const auto bytes = from_hex(line.substr(5));
      if (!bytes || bytes->size() != 8) return damaged();
      out.node = NodeId(read_be64(*bytes));
    } else if (line.starts_with("cluster ")) {
      out.cluster = line.substr(8);
    } else if (line.starts_with("epoch ")) {
      const std::string_view digits = line.substr(6);
      const auto parsed =
          std::from_chars(digits.data(), digits.data() + digits.size(), out.recovery_epoch);
      if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return damaged();
    } else if (line.starts_with("state ")) {
      out.ready = line == "state ready";
    }
  }
  if (out.node == NodeId{}) return damaged();
  return out;
}

}  // namespace fyr::raft
