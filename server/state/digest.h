// A 64-bit hash that is the same on every machine and in every release: the running digest of the
// state adds up the hashes of its rows. Not for keys an attacker chooses.
#pragma once

#include <cstdint>
#include <string_view>

namespace fyr::server {

// Folds eight bytes at a time by a 64x64->128 bit multiplication.
inline std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t kA = 0x9e3779b97f4a7c15u, kB = 0xd6e8feb86659fd93u;
  const auto fold = [](std::uint64_t x, std::uint64_t y) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(x) * y;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  std::uint64_t hash = fold(seed ^ kA, bytes.size() ^ kB);
  std::size_t i = 0;
  const auto word = [&bytes](std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t k = 0; k < size; ++k)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + k])) << (8 * k);
    return value;
  };
  for (; i + 8 <= bytes.size(); i += 8) hash = fold(hash ^ word(i, 8), kB);
  if (i < bytes.size()) hash = fold(hash ^ word(i, bytes.size() - i), kA);
  return fold(hash ^ kB, kA);
}

}  // namespace fyr::server
