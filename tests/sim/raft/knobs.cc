#include "tests/sim/raft/knobs.h"

#include <cmath>

#include "base/random.h"

namespace fyr::raft::sim {
namespace {

constexpr std::pair<Feature, const char*> kNames[] = {
    {kDrop, "drop"},
    {kDuplicate, "duplicate"},
    {kReorder, "reorder"},
    {kPartition, "partition"},
    {kOneWay, "one-way"},
    {kFlapping, "flapping"},
    {kKill, "kill"},
    {kPowerCut, "power-cut"},
    {kPause, "pause"},
    {kSlowDisk, "slow-disk"},
    {kFrozenDisk, "frozen-disk"},
    {kClockRate, "clock-rate"},
    {kTransfer, "transfer"},
    {kMembers, "members"},
    {kSnapshots, "snapshots"},
    {kSmallWindows, "small-windows"},
    {kPriorities, "priorities"},
    {kSites, "sites"},
    {kLargeValues, "large-values"},
    {kDiskErrors, "disk-errors"},
    {kNoLease, "no-lease"},
    {kLearners, "learners"},
    {kSlowLinks, "slow-links"},
    {kDiskLoss, "disk-loss"},
};

class Draw {
 public:
  Draw(std::uint64_t seed, std::uint32_t features) : random_(seed), features_(features) {}
  // Every draw is made whether its feature is on or not: taking a feature away changes no other.
  double log_uniform(double low, double high) { return low * std::pow(high / low, random_.unit()); }
  Nanos time(Nanos low, Nanos high) {
    return static_cast<Nanos>(log_uniform(static_cast<double>(low), static_cast<double>(high)));
  }
  std::size_t size(double low, double high) {
    return static_cast<std::size_t>(log_uniform(low, high + 0.999));
  }
  template <class T>
  void when(Feature feature, T& knob, T value) {
    if (features_ & feature) knob = value;
  }
  Random& random() { return random_; }

 private:
  Random random_;
  std::uint32_t features_;
};

std::size_t draw_voters(Random& random) {
  const std::uint64_t dice = random.below(100);
  if (dice < 50) return 3;
  if (dice < 75) return 5;
  constexpr std::size_t kOthers[] = {1, 2, 4, 6, 7};
  return kOthers[random.below(5)];
}

void draw_limits(Draw& draw, Knobs& out) {
  CoreConfig& core = out.core;
  draw.when(kSmallWindows, core.window_messages, draw.size(1, 32));
  draw.when(kSmallWindows, core.window_bytes, draw.size(300, 100'000));
  draw.when(kSmallWindows, core.max_append_bytes, draw.size(100, 20'000));
  draw.when(kSmallWindows, core.max_unapplied_bytes, draw.size(4'000, 1'000'000));
  const auto kept = draw.size(10, 400);
  const auto step = draw.size(5, 50);
  draw.when(kSnapshots, core.retention.entries, std::uint64_t{kept});
  draw.when(kSnapshots, core.retention.step_entries, std::uint64_t{step});
}

}  // namespace

std::string feature_names(std::uint32_t features) {
  std::string out;
  for (const auto& [feature, name] : kNames) {
    if (!(features & feature)) continue;
    if (!out.empty()) out += ' ';
    out += name;
  }
  return out;
}

std::uint32_t feature_named(std::string_view name) {
  for (const auto& [feature, known] : kNames) {
    if (name == known) return feature;
  }
  return 0;
}

Knobs draw_knobs(std::uint64_t seed, std::uint32_t allowed) {
  Random coins(mix(seed, 0x6b6e6f6273));
  Knobs out;
  out.features = static_cast<std::uint32_t>(coins.next()) & allowed;
  Draw draw(mix(seed, 0x64726177), out.features);
  out.voters = draw_voters(draw.random());
  draw.when(kLearners, out.learners, draw.size(1, 2));
  draw.when(kMembers, out.spares, draw.size(1, 3));
  draw.when(kSites, out.sites, 2 + draw.size(0.5, 1.9) % 2);
  draw.when(kDrop, out.drop, draw.log_uniform(0.001, 0.3));
  draw.when(kDuplicate, out.duplicate, draw.log_uniform(0.001, 0.2));
  draw.when(kReorder, out.reorder, draw.log_uniform(0.01, 0.5));
  out.delay_in_site = draw.time(50 * kMicro, 2 * kMilli);
  out.delay_between = draw.time(10 * kMilli, 40 * kMilli);
  draw.when(kSlowLinks, out.heavy_tail, draw.log_uniform(0.0005, 0.02));
  out.decision_gap = draw.time(20 * kMilli, 3 * kSecond);
  out.hold = draw.time(100 * kMilli, 20 * kSecond);
  out.write_time = draw.time(10 * kMicro, 1 * kMilli);
  out.sync_time = draw.time(100 * kMicro, 10 * kMilli);
  draw.when(kSlowDisk, out.sync_time, draw.time(kMilli, 30 * kMilli));
  out.group_limit = draw.random().chance(0.3) ? 1 : 64;
  draw.when(kClockRate, out.clock_rate, draw.time(1'000, 50'000));
  out.clients = draw.size(1, 5);
  out.think = draw.time(kMilli, 100 * kMilli);
  out.reads = draw.random().unit() * 0.7;
  draw.when(kLargeValues, out.padding, draw.size(10, 3'000));
  draw_limits(draw, out);
  if (out.features & kNoLease) out.core.lease_reads = false;
  return out;
}

}  // namespace fyr::raft::sim
