// What all parts of the Raft simulator share: true time, the way to say that a rule is broken, a
// hash for traces.
//
// True time is what an outside observer would measure, in nanoseconds since the start of the run;
// the nodes see it only through their own clocks (clock.h).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace fyr::raft::sim {

using Nanos = std::int64_t;
inline constexpr Nanos kMicro = 1'000;
inline constexpr Nanos kMilli = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

// Thrown where a rule of raft-verification.md is found broken; ends the run.
struct Broken {
  std::string rule;  // "I4", "D3", "L2", "CHECK"
  std::string what;
};

[[noreturn]] inline void broken(std::string rule, std::string what) {
  throw Broken{std::move(rule), std::move(what)};
}

constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = (a ^ (b + 0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2)));
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  return z ^ (z >> 31);
}

}  // namespace fyr::raft::sim
