// What must hold of a core after every step: shape (raft-verification.md I10), monotony (I9),
// a leader only appends (I3), a vote never changes within a term (I2), bounds (I18).
//
// For tests and the simulator. One object watches one life of one core.
#pragma once

#include <optional>
#include <string>

#include "raft/core.h"

namespace fyr::raft {

class Invariants {
 public:
  explicit Invariants(const CoreConfig& config) : config_(config) {}
  // The first broken invariant in words; none: all hold.
  std::optional<std::string> check(CoreView now);

 private:
  std::optional<std::string> check_shape(const CoreView& now) const;
  std::optional<std::string> check_step(const CoreView& before, const CoreView& now) const;

  CoreConfig config_;
  std::optional<CoreView> before_;
};

}  // namespace fyr::raft
