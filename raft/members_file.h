// Two files that must be readable when the log is not:
//
// `members`: the newest configuration in the log, replaced whenever a configuration entry is
// written or cut off, before that write is acknowledged. It says whether there is anybody to
// rebuild from.
// `quarantine`: acknowledged entries were lost, up to this position (raft.md §10). It stays until
// the core ends the quarantine.
#pragma once

#include <filesystem>

#include "raft/configuration.h"
#include "raft/types.h"

namespace fyr::raft {

Result<void> write_members(const std::filesystem::path& path, const Configuration& configuration);
// NotFound, Corrupt.
Result<Configuration> read_members(const std::filesystem::path& path);

struct Quarantine {
  LogPosition lost_upto;
  std::string reason;
};
Result<void> write_quarantine(const std::filesystem::path& path, const Quarantine& quarantine);
// NotFound, Corrupt.
Result<Quarantine> read_quarantine(const std::filesystem::path& path);

}  // namespace fyr::raft
