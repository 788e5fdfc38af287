#include "raft/members_file.h"

#include "base/bytes.h"
#include "raft/checked_file.h"

namespace fyr::raft {
namespace {
constexpr char kMembers[] = "members-1";
constexpr char kQuarantine[] = "quarantine-1";
}  // namespace

Result<void> write_members(const std::filesystem::path& path, const Configuration& configuration) {
  return write_checked_file(path, kMembers, encode_configuration(configuration));
}

Result<Configuration> read_members(const std::filesystem::path& path) {
  auto bytes = read_checked_file(path, kMembers);
  if (!bytes) return bytes.error();
  auto configuration = decode_configuration(*bytes);
  if (!configuration) {
    return fail(ErrorCode::Corrupt, path.string() + ": " + configuration.error().message);
  }
  return configuration;
}

Result<void> write_quarantine(const std::filesystem::path& path, const Quarantine& quarantine) {
  std::string bytes;
  append_be64(bytes, quarantine.lost_upto.index.value);
  append_be64(bytes, quarantine.lost_upto.term.value);
  bytes += quarantine.reason;
  return write_checked_file(path, kQuarantine, bytes);
}

Result<Quarantine> read_quarantine(const std::filesystem::path& path) {
  auto bytes = read_checked_file(path, kQuarantine);
  if (!bytes) return bytes.error();
  if (bytes->size() < 16) return fail(ErrorCode::Corrupt, path.string() + ": too short");
  const std::string_view all = *bytes;
  return Quarantine{{Index(read_be64(all)), Term(read_be64(all.substr(8)))},
                    std::string(all.substr(16))};
}

}  // namespace fyr::raft
