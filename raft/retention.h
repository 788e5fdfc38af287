// How much log is kept behind: 20,000 entries or 256 MiB, whichever is less (raft.md §8), cut in
// large steps because many small range deletions make RocksDB slow.
//
// Sizes are kept per block of entries, not per entry. Owner: the core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/types.h"

namespace fyr::raft {

struct RetentionLimits {
  std::uint64_t entries = 20'000;
  std::uint64_t bytes = 256ull << 20;
  // What has to be in excess before anything is cut.
  std::uint64_t step_entries = 10'000;
  std::uint64_t step_bytes = 32ull << 20;
};

class Retention {
 public:
  Retention(RetentionLimits limits, Index base) : limits_(limits), base_(base) {}

  void appended(Index index, std::uint64_t bytes);
  void truncated_from(Index index);
  // The highest index that may go, once a whole step is in excess.
  std::optional<Index> excess() const;
  void compacted(Index index);
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Block {
    Index last;
    std::uint64_t bytes = 0;
  };
  RetentionLimits limits_;
  Index base_;  // before the first block
  std::deque<Block> blocks_;
  std::uint64_t bytes_ = 0;
};

}  // namespace fyr::raft
