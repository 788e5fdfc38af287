// Random numbers. Cores take a `Random&` made from a seed and are reproducible; drivers seed one
// from the system with `Random::from_system()`. xoshiro256** (Blackman, Vigna 2018); not for keys.
#pragma once

#include <cstdint>
#include <span>

#include "base/time.h"

namespace fyr {

class Random {
 public:
  using result_type = std::uint64_t;
  explicit Random(std::uint64_t seed);
  static Random from_system();

  std::uint64_t next();
  // Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
  double unit();  // [0, 1)
  bool chance(double probability) { return unit() < probability; }
  Duration between(Duration low, Duration high);  // [low, high)

  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  // UniformRandomBitGenerator, for the standard distributions.
  std::uint64_t operator()() { return next(); }
  static constexpr std::uint64_t min() { return 0; }
  static constexpr std::uint64_t max() { return ~std::uint64_t{0}; }

 private:
  std::uint64_t state_[4] = {};
};

// Cryptographic bytes from the kernel, for ids and nonces.
void fill_secure_random(std::span<std::uint8_t> out);

}  // namespace fyr
