#include "server/dns/scratch.h"

#include <bit>
#include <limits>

#include "base/check.h"

namespace fyr::dns {

void SeenBytes::reset(std::size_t expected) {
  const auto wanted = std::bit_ceil(expected * 2 + 8);
  if (slots_.size() < wanted || stamp_ == std::numeric_limits<std::uint32_t>::max()) {
    slots_.assign(wanted, Slot{});
    stamp_ = 0;
  }
  mask_ = wanted - 1;
  used_ = 0;
  ++stamp_;
}

bool SeenBytes::insert(const std::string& message, std::size_t at, std::size_t size) {
  CHECK(used_ <= mask_ / 2);
  const std::string_view bytes(message.data() + at, size);
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : bytes) hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211u;
  for (std::size_t i = (hash ^ hash >> 32) & mask_;; i = (i + 1) & mask_) {
    auto& slot = slots_[i];
    if (slot.stamp != stamp_) {
      slot = {stamp_, static_cast<std::uint16_t>(at), static_cast<std::uint16_t>(size)};
      ++used_;
      return true;
    }
    if (bytes == std::string_view(message).substr(slot.at, slot.size)) return false;
  }
}

Draw::Draw(Space& space, std::size_t count, Random& random)
    : space_(space), random_(random), count_(count) {
  CHECK(space_.swaps.empty());
  while (space_.order.size() < count)
    space_.order.push_back(static_cast<std::uint32_t>(space_.order.size()));
}

std::optional<std::uint32_t> Draw::next() {
  const auto taken = space_.swaps.size();
  if (taken == count_) return std::nullopt;
  const auto chosen = static_cast<std::uint32_t>(taken + random_.below(count_ - taken));
  std::swap(space_.order[taken], space_.order[chosen]);
  space_.swaps.push_back(chosen);
  return space_.order[taken];
}

Draw::~Draw() {
  while (!space_.swaps.empty()) {
    const auto taken = space_.swaps.size() - 1;
    std::swap(space_.order[taken], space_.order[space_.swaps.back()]);
    space_.swaps.pop_back();
  }
}

}  // namespace fyr::dns
