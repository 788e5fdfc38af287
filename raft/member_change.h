// What a ConfigChange makes of a configuration (raft.md §7), as a function of values.
#pragma once

#include "raft/outputs.h"

namespace fyr::raft {

// The configuration after `change`; never joint. InvalidArgument: a member's fields, an id named
// twice, no voter left, too many; NotFound: an unknown server is promoted or demoted. What is
// already as wanted is no error, nor is the removal of somebody unknown.
Result<Configuration> changed(const Configuration& before, const ConfigChange& change,
                              const CoreConfig& limits);

// Whether going from one to the other takes a majority of both.
bool same_voters(const Configuration& a, const Configuration& b);

// Both voter sets at once: `after` coming, `before` going.
Configuration joint(const Configuration& before, const Configuration& after);

// A joint configuration without those who go.
Configuration left(const Configuration& joint);

}  // namespace fyr::raft
