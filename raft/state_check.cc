#include "raft/state_check.h"

#include <algorithm>

#include "base/bytes.h"

namespace fyr::raft {

StateVerdict judge(std::span<const StateDigest> reports) {
  StateVerdict out;
  if (reports.empty()) return out;
  const auto count = [&](std::uint64_t digest) {
    return static_cast<std::size_t>(std::ranges::count(reports, digest, &StateDigest::digest));
  };
  out.differ = count(reports.front().digest) != reports.size();
  if (!out.differ || reports.size() < 3) return out;
  for (const StateDigest& report : reports) {
    if (count(report.digest) * 2 > reports.size()) out.agreed = report.digest;
  }
  if (!out.agreed) return out;
  for (const StateDigest& report : reports) {
    if (report.digest != *out.agreed) out.odd.push_back(report.node);
  }
  return out;
}

std::string encode(const AgreedDigest& agreed) {
  std::string out;
  append_be64(out, agreed.check.value);
  append_be64(out, agreed.digest);
  return out;
}

std::optional<AgreedDigest> decode_agreed(std::string_view data) {
  if (data.size() != 16) return std::nullopt;
  return AgreedDigest{Index(read_be64(data)), read_be64(data.substr(8))};
}

}  // namespace fyr::raft
