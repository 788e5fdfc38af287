// UpstreamPool, the choice of an endpoint: sites, then the listener's rule of balance.
#include <algorithm>

#include "proxy/upstream_pool.h"

namespace fyr::proxy {
namespace {

constexpr std::int64_t kWeightScale = 64;  // so that a part of weight 1 is still a weight
constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

// Less than the whole while the endpoint comes back from DOWN.
std::int64_t UpstreamPool::weight_now(const Endpoint& endpoint) const {
  const std::int64_t weight = endpoint.weight.load(kRelaxed) * kWeightScale;
  const std::int64_t since = endpoint.ramp_since.load(kRelaxed);
  if (since == 0 || weight == 0) return weight;
  const SlowStartConfig& config = shared_.config.slow_start;
  const Duration elapsed = loop_.now() - Instant(Duration(since));
  if (elapsed >= config.window) return weight;
  const double share =
      slow_start_share(elapsed, config.window, config.aggression, config.min_percent / 100.0);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(weight) * share));
}

template <class WeightOf>
std::size_t UpstreamPool::choose(WeightOf&& weight, std::optional<std::uint64_t> key) {
  const std::size_t count = slots_.size();
  const auto load = [&](std::size_t i) {
    return static_cast<double>(slots_[i]->endpoint->active.load(kRelaxed)) + 1;
  };
  switch (shared_.config.balance) {
    case Balance::LeastConn:
      return pick_least(count, ++turn_, weight, load);
    case Balance::LeastRequest:
      return pick_of_two(count, random_, weight, load);
    case Balance::Ewma:
      return pick_of_two(count, random_, weight, [&](std::size_t i) {
        return load(i) * slots_[i]->recent.value(loop_.now());
      });
    case Balance::Random:
      return pick_random(count, random_, weight);
    case Balance::First:
      return pick_first(count, weight, [&](std::size_t i) {
        const Endpoint& endpoint = *slots_[i]->endpoint;
        return (static_cast<std::int64_t>(endpoint.rank.load(kRelaxed)) << 40) +
               (static_cast<std::int64_t>(endpoint.tier.load(kRelaxed)) << 20) +
               endpoint.position.load(kRelaxed);
      });
    case Balance::RingHash:
    case Balance::Maglev:
    case Balance::Source:
      if (key && hash_) return hash_->pick(*key, [&](std::size_t i) { return weight(i) > 0; });
      break;  // what the key is taken from is not there
    case Balance::RoundRobin:
      break;
  }
  return pick_round_robin(count, weight,
                          [&](std::size_t i) -> RoundRobinCredit& { return slots_[i]->credit; });
}

// The own site as far as it is healthy, then the next.
std::size_t UpstreamPool::pick_among_sites(std::span<const Endpoint* const> tried,
                                           std::optional<std::uint64_t> key) {
  const auto at = [&](int tier) {
    return choose(
        [&, tier](std::size_t i) -> std::int64_t {
          const Endpoint& endpoint = *slots_[i]->endpoint;
          const bool take = endpoint.tier.load(kRelaxed) == tier && endpoint.healthy.load(kRelaxed);
          return take && usable(*slots_[i], tried) ? weight_now(endpoint) : 0;
        },
        key);
  };
  double draw = random_.unit();
  std::size_t drawn = 0;
  while (drawn + 1 < site_shares_.size() && draw >= site_shares_[drawn]) {
    draw -= site_shares_[drawn++];
  }
  auto picked = at(static_cast<int>(drawn));
  for (std::size_t tier = 0; picked == kNothingPicked && tier < site_shares_.size(); ++tier) {
    if (tier != drawn) picked = at(static_cast<int>(tier));
  }
  return picked;
}

std::shared_ptr<UpstreamSlot> UpstreamPool::pick(std::span<const Endpoint* const> tried,
                                                 std::optional<std::uint64_t> key) {
  const auto healthy = [&](std::size_t i) -> std::int64_t {
    const Endpoint& endpoint = *slots_[i]->endpoint;
    const bool take = endpoint.healthy.load(kRelaxed) && usable(*slots_[i], tried);
    return take ? weight_now(endpoint) : 0;
  };
  const auto last_resort = [&](std::size_t i) -> std::int64_t {
    const Endpoint& endpoint = *slots_[i]->endpoint;
    const bool take = endpoint.last_resort.load(kRelaxed) && usable(*slots_[i], tried);
    return take ? weight_now(endpoint) : 0;
  };
  auto picked = site_shares_.empty() ? choose(healthy, key) : pick_among_sites(tried, key);
  if (picked == kNothingPicked) picked = choose(last_resort, key);
  return picked == kNothingPicked ? nullptr : slots_[picked];
}

// Each site's share of the requests, after every change of the list or of somebody's health.
void UpstreamPool::share_out() {
  site_shares_.clear();
  // The order of the tags comes before the site: there is one primary, wherever it is.
  if (shared_.config.balance == Balance::First) return;
  std::vector<TierHealth> tiers;
  for (const auto& slot : slots_) {
    const Endpoint& endpoint = *slot->endpoint;
    const int tier = endpoint.tier.load(kRelaxed);
    if (tier < 0) continue;
    const auto index = static_cast<std::size_t>(tier);
    if (index >= tiers.size()) tiers.resize(index + 1);
    ++tiers[index].total;
    if (endpoint.healthy.load(kRelaxed) && endpoint.weight.load(kRelaxed) > 0) {
      ++tiers[index].healthy;
    }
  }
  if (tiers.size() > 1) site_shares_ = tier_shares(tiers, shared_.config.locality.overprovision);
}

}  // namespace fyr::proxy
