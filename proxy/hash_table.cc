#include "proxy/hash_table.h"

#include <algorithm>

namespace fyr::proxy {
namespace {

constexpr std::uint64_t kPointsOfHeaviest = 1024;
constexpr std::uint64_t kMaxRing = 8'000'000;
constexpr std::uint32_t kMaglevSize = 65537;  // prime: every step visits every entry
constexpr std::uint32_t kEmpty = ~std::uint32_t{0};

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t heaviest(std::span<const HashMember> members) {
  int most = 0;
  for (const auto& member : members) most = std::max(most, member.weight);
  return static_cast<std::uint64_t>(most);
}

}  // namespace

std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ mix(seed);
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return mix(hash);
}

std::shared_ptr<const HashTable> HashTable::ring(std::span<const HashMember> members) {
  auto table = std::make_shared<HashTable>();
  table->members_ = members.size();
  const std::uint64_t most = heaviest(members);
  if (most == 0) return table;
  const std::uint64_t each =
      std::clamp<std::uint64_t>(kMaxRing / members.size(), 1, kPointsOfHeaviest);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> points;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].weight <= 0) continue;
    const auto weight = static_cast<std::uint64_t>(members[i].weight);
    const std::uint64_t count = std::max<std::uint64_t>(1, each * weight / most);
    const std::uint64_t base = hash_of(members[i].name);
    for (std::uint64_t k = 0; k < count; ++k) {
      points.emplace_back(mix(base + k * 0x9e3779b97f4a7c15ULL), static_cast<std::uint32_t>(i));
    }
  }
  std::sort(points.begin(), points.end());
  for (const auto& [point, owner] : points) {
    table->points_.push_back(point);
    table->owners_.push_back(owner);
  }
  return table;
}

std::shared_ptr<const HashTable> HashTable::maglev(std::span<const HashMember> members) {
  auto table = std::make_shared<HashTable>();
  table->members_ = members.size();
  const std::uint64_t most = heaviest(members);
  if (most == 0) return table;
  struct Turn {
    std::uint32_t index;
    std::uint64_t at;
    std::uint64_t step;
    std::uint64_t credit = 0;
  };
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].weight <= 0) continue;
    turns.push_back({static_cast<std::uint32_t>(i), hash_of(members[i].name, 1) % kMaglevSize,
                     hash_of(members[i].name, 2) % (kMaglevSize - 1) + 1});
  }
  // By name, so that the order of the list has no say in who comes first.
  std::sort(turns.begin(), turns.end(), [&](const Turn& a, const Turn& b) {
    return members[a.index].name < members[b.index].name;
  });
  table->owners_.assign(kMaglevSize, kEmpty);
  std::uint32_t filled = 0;
  while (filled < kMaglevSize) {
    for (auto& turn : turns) {
      turn.credit += static_cast<std::uint64_t>(members[turn.index].weight);
      if (turn.credit < most) continue;
      turn.credit -= most;
      while (table->owners_[turn.at] != kEmpty) turn.at = (turn.at + turn.step) % kMaglevSize;
      table->owners_[turn.at] = turn.index;
      if (++filled == kMaglevSize) break;
    }
  }
  return table;
}

std::size_t HashTable::start(std::uint64_t key) const {
  if (points_.empty()) return key % owners_.size();
  const auto next = std::lower_bound(points_.begin(), points_.end(), key);
  return next == points_.end() ? 0 : static_cast<std::size_t>(next - points_.begin());
}

}  // namespace fyr::proxy
