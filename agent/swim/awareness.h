// How much a member trusts its own ears (Lifeguard, Dadgar et al. 2017, section IV-A): a score of
// 0 (healthy) to 7 that stretches its own probing, so that a starved member accuses less.
#pragma once

#include <algorithm>

#include "base/time.h"

namespace fyr::agent {

class Awareness {
 public:
  static constexpr int kMaxScore = 7;

  void add(int delta) { score_ = std::clamp(score_ + delta, 0, kMaxScore); }
  int score() const { return score_; }
  Duration scale(Duration interval) const { return interval * (score_ + 1); }

 private:
  int score_ = 0;
};

}  // namespace fyr::agent
