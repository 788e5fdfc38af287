// Consistent hashing: which endpoint a key belongs to, such that keys stay where they are when
// other endpoints come or go.
//
// Ring: every endpoint has up to 1,024 points on a circle of 64 bits, in proportion to its weight;
// a key belongs to the next point. Maglev: a table of 65,537 entries filled in turns (Eisenbud et
// al., NSDI 2016, section 3.4); more even, one memory access a pick.
//
// Pure; immutable after it was built, so that all threads share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/balancer.h"

namespace fyr::proxy {

std::uint64_t hash_of(std::string_view text, std::uint64_t seed = 0);

struct HashMember {
  std::string name;  // identity: decides which keys are its own
  int weight = 0;    // 0: owns nothing
  bool operator==(const HashMember&) const = default;
};

class HashTable {
 public:
  static std::shared_ptr<const HashTable> ring(std::span<const HashMember> members);
  static std::shared_ptr<const HashTable> maglev(std::span<const HashMember> members);

  // Index of the owner of `key`; of the next one along the table while `usable(i)` is false.
  template <class Usable>
  std::size_t pick(std::uint64_t key, Usable&& usable) const {
    if (owners_.empty()) return kNothingPicked;
    std::size_t at = start(key);
    std::size_t refused = kNothingPicked;
    for (int step = 0; step < kMaxSteps; ++step) {
      const std::size_t owner = owners_[at];
      if (owner != refused && usable(owner)) return owner;
      refused = owner;
      if (++at == owners_.size()) at = 0;
    }
    // Most are out: whoever is left.
    for (std::size_t i = 0; i < members_; ++i) {
      const std::size_t index = (key + i) % members_;
      if (usable(index)) return index;
    }
    return kNothingPicked;
  }

  std::size_t size() const { return owners_.size(); }

 private:
  static constexpr int kMaxSteps = 64;
  std::size_t start(std::uint64_t key) const;

  std::size_t members_ = 0;
  std::vector<std::uint64_t> points_;  // of a ring, sorted; empty for maglev
  std::vector<std::uint32_t> owners_;  // beside points_, or the maglev table
};

}  // namespace fyr::proxy
