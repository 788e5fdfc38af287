// Quorum arithmetic over a Configuration: majorities of the voters, of both sets when joint.
// Learners never count (raft.md §4, §7). An empty set of voters decides nothing.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "raft/configuration.h"
#include "raft/mutation.h"

namespace fyr::raft {

// How many of `voters` make a majority.
constexpr std::size_t majority(std::size_t voters) {
  return voters % 2 == 0 && mutated(Mutation::M07) ? voters / 2 : voters / 2 + 1;
}

namespace detail {
template <class T, class F>
T majority_value(const std::vector<NodeId>& voters, F&& value_of, const T& lowest) {
  if (voters.empty()) return lowest;
  std::vector<T> values;
  values.reserve(voters.size());
  for (const NodeId id : voters) values.push_back(value_of(id));
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(majority(values.size()) - 1);
  std::nth_element(values.begin(), nth, values.end(), std::greater<>());
  return *nth;
}
}  // namespace detail

// The highest value which a quorum has reached: match indexes give the commit index, times of
// contact give the start of a lease.
template <class T, class F>
T quorum_value(const Configuration& configuration, F&& value_of, const T& lowest) {
  const T incoming = detail::majority_value<T>(configuration.voters, value_of, lowest);
  if (!configuration.is_joint() || mutated(Mutation::M09)) return incoming;
  return std::min(incoming, detail::majority_value<T>(configuration.outgoing, value_of, lowest));
}

// True when a quorum satisfies `agrees`.
template <class F>
bool quorum_agrees(const Configuration& configuration, F&& agrees) {
  return quorum_value<int>(
             configuration, [&](NodeId id) { return agrees(id) ? 1 : 0; }, 0) == 1;
}

}  // namespace fyr::raft
