#include "server/query/near.h"

#include <cmath>
#include <limits>

#include "base/bytes.h"

namespace fyr::server {

double round_trip(const pb::Coordinate& a, const pb::Coordinate& b) {
  if (a.vec_size() != b.vec_size()) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (int i = 0; i < a.vec_size(); ++i) sum += (a.vec(i) - b.vec(i)) * (a.vec(i) - b.vec(i));
  const double distance = std::sqrt(sum) + a.height() + b.height();
  const double adjusted = distance + a.adjustment() + b.adjustment();
  return adjusted > 0 ? adjusted : distance;
}

Distances::Distances(const StateStore& store, std::string_view node) {
  if (!node.empty()) from_ = store.node_coordinates(node);
  if (from_.empty()) return;
  for (CoordinateRow& row : store.coordinates().rows)
    others_[to_lower(row->node())].push_back(std::move(row));
}

double Distances::to(std::string_view node) const {
  double best = std::numeric_limits<double>::infinity();
  auto it = others_.find(to_lower(node));
  if (it == others_.end()) return best;
  // Only coordinates of one segment can be compared.
  for (const CoordinateRow& a : from_)
    for (const CoordinateRow& b : it->second)
      if (a->segment() == b->segment()) best = std::min(best, round_trip(*a, *b));
  return best;
}

}  // namespace fyr::server
