// When most servers are lost for good: one survivor goes on alone (raft.md §12).
//
// Nothing makes that safe by itself: what the others acknowledged without this node is gone, and
// two survivors that both go on are two clusters. The recovery epoch, raised first, keeps the old
// members away (peer_guard.h), so that none of them ever counts in a majority again; they come back
// with empty folders, as new members.
//
// Offline: the folder is locked, a running server makes it Conflict.
#pragma once

#include <filesystem>
#include <string>

#include "raft/configuration.h"
#include "raft/identity_file.h"
#include "raft/types.h"

namespace fyr::raft {

struct FolderReport {
  Identity identity;
  HardState hard;
  Index first{};  // of the log
  LogPosition last;
  std::string quarantine;  // why; empty: none
  Configuration members;   // newest in the log
};

// Opens the folder as a start would, and changes no more than a start does. NotFound: there is no
// Raft folder; Conflict: in use; Corrupt: as at a start.
Result<FolderReport> inspect_folder(const std::filesystem::path& directory);

// This node is the only member from now on: in a term 1,000 higher, in the next recovery epoch, out
// of quarantine. May be repeated if it was cut off. Returns the folder as it is then.
Result<FolderReport> force_recovery(const std::filesystem::path& directory);

}  // namespace fyr::raft
