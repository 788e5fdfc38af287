// How long a suspect may take to refute (Lifeguard, section IV-B): long at first, shorter with
// every further member that says the same, so that one deaf member cannot kill a healthy one.
//
//   min = mult x max(1, log10 n) x probe interval, max = 6 x min, k = mult - 2
//   timeout(c) = max(min, max - (max - min) x ln(c + 1) / ln(k + 1))
//
// Pure; owned by the core.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "base/time.h"

namespace fyr::agent {

struct SuspicionRules {
  int mult = 4;
  int max_mult = 6;
  Duration probe_interval = std::chrono::milliseconds(500);
};

class Suspicion {
 public:
  // `members` counts everybody not failed or left, the suspect included; `from` is the accuser.
  Suspicion(const SuspicionRules& rules, std::size_t members, Instant now, std::string from);

  // True if `from` is a new voice among the first k; such a confirmation is passed on.
  bool confirm(const std::string& from);
  Instant deadline() const;
  int confirmations() const { return static_cast<int>(accusers_.size()) - 1; }
  int wanted() const { return wanted_; }
  // The process was stopped for so long; it could not have heard a refutation.
  void delay(Duration pause) { start_ += pause; }

 private:
  std::set<std::string> accusers_;
  int wanted_;  // k
  Duration min_{};
  Duration max_{};
  Instant start_;
};

}  // namespace fyr::agent
