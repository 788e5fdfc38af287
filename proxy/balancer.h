// The rules by which one of several candidates is picked (specification, section 2, `balance`);
// consistent hashing is in hash_table.h.
//
// In all of them `weight(i)` is 0 for candidates that must not be picked now, and the answer is
// kNothingPicked if there is no other. Pure; one state a thread, so there is nothing to lock.
// O(candidates) a pick.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace fyr::proxy {

// Lives in the caller's endpoint object and survives list changes, so that an update of the list
// does not reset the distribution.
struct RoundRobinCredit {
  std::int64_t value = 0;
};

inline constexpr std::size_t kNothingPicked = static_cast<std::size_t>(-1);

// Smooth weighted round robin (the rule nginx made known): every candidate gains its weight, the
// richest is picked and pays the sum. Picks of one endpoint are spread evenly instead of coming in
// a row, and over any full cycle each gets exactly its share. `credit(i)` is the state of i. Ties
// go to the lower index.
template <class WeightOf, class CreditOf>
std::size_t pick_round_robin(std::size_t count, WeightOf&& weight, CreditOf&& credit) {
  std::int64_t total = 0;
  std::size_t best = kNothingPicked;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t w = weight(i);
    if (w <= 0) continue;
    total += w;
    RoundRobinCredit& mine = credit(i);
    mine.value += w;
    if (best == kNothingPicked || mine.value > credit(best).value) best = i;
  }
  if (best != kNothingPicked) {
    RoundRobinCredit& winner = credit(best);
    winner.value -= total;
    // A candidate that was not pickable for long must not have stored up a burst.
    if (winner.value > total) winner.value = total;
    if (winner.value < -total) winner.value = -total;
  }
  return best;
}

// The smallest cost(i) / weight(i). Ties go to the first at or after `turn`, which the caller
// moves on, so that idle candidates take turns.
template <class WeightOf, class CostOf>
std::size_t pick_least(std::size_t count, std::size_t turn, WeightOf&& weight, CostOf&& cost) {
  std::size_t best = kNothingPicked;
  double best_cost = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t i = (turn + k) % count;
    const auto w = weight(i);
    if (w <= 0) continue;
    const double here = static_cast<double>(cost(i)) / static_cast<double>(w);
    if (best == kNothingPicked || here < best_cost) {
      best = i;
      best_cost = here;
    }
  }
  return best;
}

// In proportion to the weights.
template <class WeightOf>
std::size_t pick_random(std::size_t count, Random& random, WeightOf&& weight,
                        std::size_t except = kNothingPicked) {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != except) total += weight(i);
  }
  if (total <= 0) return kNothingPicked;
  auto left = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(total)));
  for (std::size_t i = 0; i < count; ++i) {
    if (i == except) continue;
    const std::int64_t w = weight(i);
    if (left < w) return i;
    left -= w;
  }
  return kNothingPicked;
}

// Two different ones at random, the cheaper of the two by cost(i) / weight(i) (Mitzenmacher, "The
// power of two choices"): nearly as good as the least of all, without everybody running to it.
template <class WeightOf, class CostOf>
std::size_t pick_of_two(std::size_t count, Random& random, WeightOf&& weight, CostOf&& cost) {
  const auto present = [&](std::size_t i) -> std::int64_t { return weight(i) > 0 ? 1 : 0; };
  const std::size_t a = pick_random(count, random, present);
  if (a == kNothingPicked) return a;
  const std::size_t b = pick_random(count, random, present, a);
  if (b == kNothingPicked) return a;
  const double cost_a = static_cast<double>(cost(a)) / static_cast<double>(weight(a));
  const double cost_b = static_cast<double>(cost(b)) / static_cast<double>(weight(b));
  return cost_b < cost_a ? b : a;
}

// The lowest rank(i).
template <class WeightOf, class RankOf>
std::size_t pick_first(std::size_t count, WeightOf&& weight, RankOf&& rank) {
  std::size_t best = kNothingPicked;
  for (std::size_t i = 0; i < count; ++i) {
    if (weight(i) > 0 && (best == kNothingPicked || rank(i) < rank(best))) best = i;
  }
  return best;
}

// Answer time that jumps to a peak at once and forgets it slowly (peak EWMA, as in Finagle).
class PeakEwma {
 public:
  static constexpr Duration kDecay = std::chrono::seconds(10);
  void add(Instant now, Duration value) {
    const double sample = static_cast<double>(value.count());
    value_ = std::max(sample, weight_of_old(now) * (value_ - sample) + sample);
    at_ = now;
  }
  // Nanoseconds, at least one; fades while nothing is measured, so that a slow one is tried again.
  double value(Instant now) const { return std::max(1.0, value_ * weight_of_old(now)); }

 private:
  double weight_of_old(Instant now) const {
    const double age = static_cast<double>(std::max<Duration>(now - at_, Duration::zero()).count());
    return std::exp(-age / static_cast<double>(Duration(kDecay).count()));
  }
  double value_ = 0;
  Instant at_{};
};

// Part of its weight an endpoint gets `elapsed` after it came back: `least` at first, all of it
// after `window`; aggression above 1 rises faster at the start.
inline double slow_start_share(Duration elapsed, Duration window, double aggression, double least) {
  if (elapsed >= window || window <= Duration::zero()) return 1;
  const double part = static_cast<double>(std::max<Duration>(elapsed, Duration::zero()).count()) /
                      static_cast<double>(window.count());
  return std::max(least, std::pow(part, 1 / aggression));
}

struct TierHealth {
  int healthy = 0;
  int total = 0;
};

// How much of the traffic each tier of endpoints (own site first) gets: a tier keeps
// min(1, overprovision x healthy / total) of what comes to it, the rest goes on to the next. If all
// together are short, what there is is shared in proportion (specification, section 6).
std::vector<double> tier_shares(std::span<const TierHealth> tiers, double overprovision);

}  // namespace fyr::proxy
