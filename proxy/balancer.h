// Smooth weighted round robin (the rule nginx made known): every candidate gains its weight, the
// richest is picked and pays the sum. Picks of one endpoint are spread evenly instead of coming in
// a row, and over any full cycle each gets exactly its share.
//
// Pure; one state a thread, so there is nothing to lock. O(candidates) a pick.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fyr::proxy {

// Lives in the caller's endpoint object and survives list changes, so that an update of the list
// does not reset the distribution.
struct RoundRobinCredit {
  std::int64_t value = 0;
};

inline constexpr std::size_t kNothingPicked = static_cast<std::size_t>(-1);

// `weight(i)` is 0 for candidates that must not be picked now; `credit(i)` is the state of i.
// Ties go to the lower index.
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

}  // namespace fyr::proxy
