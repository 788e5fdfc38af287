// `identity`: says that a folder is a Raft folder of ours, and whose. A random NodeId is made
// together with the folder and never used again; an empty disk under an old name is a new node
// (raft.md §1).
//
// Text, one "key value" a line. `state preparing` means that the first start did not get to its
// end: nothing was acknowledged and the rest of the folder may be made again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "raft/types.h"

namespace fyr::raft {

struct Identity {
  NodeId node{};
  std::string cluster;  // 32 hex digits, made at bootstrap; empty: of no cluster yet
  bool ready = false;
  std::uint32_t recovery_epoch = 0;  // raised by a forced recovery (raft.md §12)
};

Result<void> write_identity(const std::filesystem::path& path, const Identity& identity);
// Corrupt: not our file, or damaged; Unsupported: a later version wrote it.
Result<Identity> read_identity(const std::filesystem::path& path);

}  // namespace fyr::raft
