// Makes PersistBatches for storage tests.
#pragma once

#include <memory>
#include <string>

#include "raft/outputs.h"

namespace fyr::raft {

inline Entry make_entry(std::uint64_t term, std::uint64_t index, std::string data = "data") {
  return {Term(term), Index(index), EntryType::App,
          std::make_shared<const std::string>(std::move(data))};
}

// Entries [first, last] of one term.
inline PersistBatch make_batch(std::uint64_t term, std::uint64_t first, std::uint64_t last,
                               std::uint64_t truncate_from = 0) {
  PersistBatch out;
  out.truncate_from = Index(truncate_from);
  for (std::uint64_t i = first; i <= last; ++i) {
    out.entries.push_back(
        make_entry(term, i, "entry " + std::to_string(i) + " of term " + std::to_string(term)));
  }
  return out;
}

}  // namespace fyr::raft
