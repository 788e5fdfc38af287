#include "raft/retention.h"

#include "base/check.h"

namespace fyr::raft {
void Retention::appended(Index index, std::uint64_t bytes) {
  CHECK(index == (blocks_.empty() ? base_ : blocks_.back().last).next());
  const Index before_block = blocks_.size() > 1 ? blocks_[blocks_.size() - 2].last : base_;
  // A tenth of a step is exact enough.
  if (blocks_.empty() || blocks_.back().bytes > limits_.step_bytes / 10 ||
      index.value - before_block.value > limits_.step_entries / 10) {
    blocks_.push_back({});
  }
  blocks_.back().last = index;
  blocks_.back().bytes += bytes;
  bytes_ += bytes;
}

void Retention::truncated_from(Index index) {
  while (!blocks_.empty() && blocks_.back().last >= index) {
    const Index before_block = blocks_.size() > 1 ? blocks_[blocks_.size() - 2].last : base_;
    if (before_block.next() < index) {
      blocks_.back().last = index.previous();  // its bytes are now an upper bound
      return;
    }
    bytes_ -= blocks_.back().bytes;
    blocks_.pop_back();
  }
}

std::optional<Index> Retention::excess() const {
  if (blocks_.empty()) return std::nullopt;
  const std::uint64_t entries = blocks_.back().last.value - base_.value;
  Index cut = base_;
  std::uint64_t cut_bytes = 0;
  for (const Block& block : blocks_) {
    const std::uint64_t entries_left = entries - (block.last.value - base_.value);
    const std::uint64_t bytes_left = bytes_ - cut_bytes - block.bytes;
    // A block goes when what stays behind it still fills one of the limits.
    if (entries_left < limits_.entries && bytes_left < limits_.bytes) break;
    cut = block.last;
    cut_bytes += block.bytes;
  }
  const std::uint64_t cut_entries = cut.value - base_.value;
  if (cut_entries == 0) return std::nullopt;
  if (cut_entries < limits_.step_entries && cut_bytes < limits_.step_bytes) return std::nullopt;
  return cut;
}

void Retention::compacted(Index index) {
  while (!blocks_.empty() && blocks_.front().last <= index) {
    bytes_ -= blocks_.front().bytes;
    blocks_.pop_front();
  }
  if (index > base_) base_ = index;
}

}  // namespace fyr::raft
