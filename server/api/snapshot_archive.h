// The archive of `snapshot save`: a gzip'd tar of meta.json, state.bin and SHA256SUMS, in that
// order, as Consul's command line expects and verifies it. state.bin is ours (state/saved_rows.h).
//
// Pure. Errors of read_archive are Corrupt and start with Consul's words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr::server {

struct SnapshotArchive {
  std::string id;
  std::uint64_t index = 0;
  std::uint64_t term = 0;
  std::string state;
};

constexpr std::size_t kMaxStateBytes = std::size_t{1} << 30;

std::string write_archive(const SnapshotArchive& archive);
// Checks everything: that nothing is missing, doubled or follows, and the checksums.
Result<SnapshotArchive> read_archive(std::string_view bytes);

}  // namespace fyr::server
