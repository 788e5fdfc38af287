// Which folder below state/ is the node's state: `current` names it, and an install of a snapshot
// is the replacement of that file (raft.md §8). Without the file it is generation 1.
//
// The next generation is always the current one plus one, so that the state machine, which makes
// it, and the storage, which installs it, need no other agreement.
//
// Not thread-safe; values of the same folder may be used on several threads as long as only one
// writes. Errors name the path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace fyr::raft {

class StateGenerations {
 public:
  // `folder` is the Raft folder.
  explicit StateGenerations(const std::filesystem::path& folder) : folder_(folder / "state") {}

  // Corrupt: the file is damaged.
  Result<std::uint64_t> current() const;
  std::filesystem::path path_of(std::uint64_t generation) const {
    return folder_ / std::to_string(generation);
  }
  // Internal: there is no such generation. Durable on return.
  Result<void> set_current(std::uint64_t generation) const;
  // Removes every generation but the current one.
  Result<void> remove_others() const;
  Result<void> remove(std::uint64_t generation) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace fyr::raft
