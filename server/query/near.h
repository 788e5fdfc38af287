// How far nodes are from one of them, by network coordinates (Dabek et al. 2004: the estimate of
// the round trip is the distance of the vectors, plus both heights, plus the adjustments).
//
// Pure functions of the state.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/state/store.h"

namespace fyr::server {

// Seconds; of coordinates of unequal dimensions it is infinite.
double round_trip(const pb::Coordinate& a, const pb::Coordinate& b);

// Distances from one node. Copied out of the state, so that sorting needs no lock.
class Distances {
 public:
  // Without `node`, or if it has no coordinate, all is equally near.
  Distances(const StateStore& store, std::string_view node);

  bool known() const { return !from_.empty(); }
  // Infinite for a node without a coordinate.
  double to(std::string_view node) const;

  // Nearest first; of equal ones the order stays. `name_of(row)` is the node's name.
  template <class T, class NameOf>
  void sort(std::vector<T>& rows, const NameOf& name_of) const {
    if (!known()) return;
    std::vector<std::pair<double, std::size_t>> order;
    order.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) order.emplace_back(to(name_of(rows[i])), i);
    std::sort(order.begin(), order.end());
    std::vector<T> sorted;
    sorted.reserve(rows.size());
    for (const auto& [distance, i] : order) sorted.push_back(std::move(rows[i]));
    rows = std::move(sorted);
  }

 private:
  std::vector<CoordinateRow> from_;                           // one a segment
  std::map<std::string, std::vector<CoordinateRow>> others_;  // by name in lower case
};

}  // namespace fyr::server
