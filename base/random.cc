#include "base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace fyr {
namespace {

std::uint64_t rotate_left(std::uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

}  // namespace

// SplitMix64 spreads the seed, as the authors of xoshiro advise: never all zeros.
Random::Random(std::uint64_t seed) {
  for (auto& word : state_) {
    seed += 0x9e3779b97f4a7c15ull;
    auto z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    word = z ^ (z >> 31);
  }
}

Random Random::from_system() {
  std::uint8_t bytes[8];
  fill_secure_random(bytes);
  std::uint64_t seed = 0;
  for (const auto byte : bytes) seed = seed << 8 | byte;
  return Random(seed);
}

std::uint64_t Random::next() {
  const auto result = rotate_left(state_[1] * 5, 7) * 9;
  const auto t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

// Lemire, "Fast Random Integer Generation in an Interval": the high word of a product, with the
// few values that would be too frequent rejected.
std::uint64_t Random::below(std::uint64_t bound) {
  CHECK(bound > 0);
  __extension__ using Wide = unsigned __int128;
  auto product = static_cast<Wide>(next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const auto threshold = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < threshold) {
      product = static_cast<Wide>(next()) * bound;
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Random::unit() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

Duration Random::between(Duration low, Duration high) {
  if (high <= low) return low;
  return low + Duration(static_cast<std::int64_t>(
                   below(static_cast<std::uint64_t>((high - low).count()))));
}

void fill_secure_random(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const auto n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    CHECK_MSG(n > 0, "getrandom");
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace fyr
