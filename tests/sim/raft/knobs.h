// What kind of world a seed stands for: each feature is on with probability one half, with an
// intensity of its own (swarm testing), so that rare combinations are met undiluted.
#pragma once

#include <string>
#include <string_view>

#include "raft/outputs.h"
#include "tests/sim/raft/basics.h"

namespace fyr::raft::sim {

// Features that shrinking may take away, as bits.
enum Feature : std::uint32_t {
  kDrop = 1u << 0,
  kDuplicate = 1u << 1,
  kReorder = 1u << 2,
  kPartition = 1u << 3,
  kOneWay = 1u << 4,
  kFlapping = 1u << 5,
  kKill = 1u << 6,
  kPowerCut = 1u << 7,
  kPause = 1u << 8,
  kSlowDisk = 1u << 9,
  kFrozenDisk = 1u << 10,
  kClockRate = 1u << 11,
  kTransfer = 1u << 12,
  kMembers = 1u << 13,
  kSnapshots = 1u << 14,
  kSmallWindows = 1u << 15,
  kPriorities = 1u << 16,
  kSites = 1u << 17,
  kLargeValues = 1u << 18,
  kDiskErrors = 1u << 19,
  kNoLease = 1u << 20,
  kLearners = 1u << 21,
  kSlowLinks = 1u << 22,
  kDiskLoss = 1u << 23,
};
inline constexpr std::uint32_t kAllFeatures = (1u << 24) - 1;
std::string feature_names(std::uint32_t features);
std::uint32_t feature_named(std::string_view name);  // 0: none

struct Knobs {
  std::uint32_t features = 0;
  std::size_t voters = 3, learners = 0, spares = 0;
  std::size_t sites = 1;
  double drop = 0, duplicate = 0, reorder = 0;
  Nanos delay_in_site = kMilli, delay_between = 20 * kMilli;
  double heavy_tail = 0;         // share of messages which take up to 3 s
  Nanos decision_gap = kSecond;  // between faults
  Nanos hold = kSecond;          // how long a cut lasts, about
  Nanos write_time = kMilli, sync_time = kMilli;
  std::uint64_t group_limit = 64;  // batches in one write
  Nanos clock_rate = 0;            // parts per million, either way
  std::size_t clients = 3;
  Nanos think = 10 * kMilli;
  double reads = 0.4;
  std::size_t padding = 0;
  CoreConfig core;
};

// `allowed`: features that may be on.
Knobs draw_knobs(std::uint64_t seed, std::uint32_t allowed = kAllFeatures);

}  // namespace fyr::raft::sim
