#include "proxy/balancer.h"

namespace fyr::proxy {

std::vector<double> tier_shares(std::span<const TierHealth> tiers, double overprovision) {
  std::vector<double> shares;
  double left = 1;
  double sum = 0;
  for (const auto& tier : tiers) {
    double share = 0;
    if (tier.total > 0) {
      share = std::min(1.0, overprovision * tier.healthy / tier.total) * left;
    }
    shares.push_back(share);
    left -= share;
    sum += share;
  }
  if (sum > 0) {
    for (double& share : shares) share /= sum;
  }
  return shares;
}

}  // namespace fyr::proxy
