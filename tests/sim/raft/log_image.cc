#include "tests/sim/raft/log_image.h"

#include <cstring>

#include "base/check.h"

namespace fyr::raft::sim {
namespace {

// Commands differ within their first bytes; the rest of a large one is padding.
std::uint64_t hash_data(const std::string& data) {
  std::uint64_t hash = data.size();
  const std::size_t words = std::min<std::size_t>(data.size() / 8, 6);
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, data.data() + i * 8, 8);
    hash = mix(hash, word);
  }
  return hash;
}

}  // namespace

std::uint64_t chain_of(std::uint64_t before, const Entry& entry) {
  std::uint64_t hash = mix(before, entry.term.value);
  hash = mix(hash, entry.index.value * 8 + static_cast<std::uint64_t>(entry.type));
  return entry.data ? mix(hash, hash_data(*entry.data)) : hash;
}

Term LogImage::term_at(Index index) const {
  if (index == base_) return base_term_;
  return holds(index) ? at(index).entry.term : Term{};
}

std::uint64_t LogImage::chain_at(Index index) const {
  if (index == base_) return base_chain_;
  return holds(index) ? at(index).chain : 0;
}

SharedConfiguration LogImage::configuration_at(Index index) const {
  SharedConfiguration found = configurations_.front().second;
  for (const auto& [from, configuration] : configurations_) {
    if (from <= index) found = configuration;
  }
  return found;
}

const Held& LogImage::append(Entry entry, WriteId write) {
  if (entry.index != last().next()) broken("I10", "an entry is appended with a gap before it");
  if (entry.term < last_term()) broken("I10", "terms fall within a log");
  if (entry.type == EntryType::Config) {
    auto decoded = decode_configuration(*entry.data);
    CHECK(decoded.has_value());
    configurations_.emplace_back(entry.index,
                                 std::make_shared<const Configuration>(std::move(*decoded)));
  }
  const std::uint64_t chain = chain_of(items_.empty() ? base_chain_ : items_.back().chain, entry);
  items_.push_back({std::move(entry), chain, write});
  return items_.back();
}

void LogImage::truncate_from(Index index) {
  if (index <= base_) broken("I10", "a log is cut at or below its base");
  while (last() >= index) items_.pop_back();
  while (configurations_.size() > 1 && configurations_.back().first >= index) {
    configurations_.pop_back();
  }
}

void LogImage::compact(Index index) {
  if (index > last()) broken("I10", "a log is compacted behind its end");
  while (base_ < index) {
    base_ = base_.next();
    base_term_ = items_.front().entry.term;
    base_chain_ = items_.front().chain;
    items_.pop_front();
  }
  while (configurations_.size() > 1 && configurations_[1].first <= index) {
    configurations_.pop_front();
  }
}

void LogImage::install(const LogBase& base, std::uint64_t chain) {
  if (base.index <= base_) broken("I16", "a snapshot below the base of the log is installed");
  if (holds(base.index) && term_at(base.index) == base.term) {
    if (chain_at(base.index) != chain) broken("I4", "equal (index, term), another history");
    compact(base.index);
    return;
  }
  items_.clear();
  configurations_.clear();
  configurations_.emplace_back(base.index,
                               std::make_shared<const Configuration>(base.configuration));
  base_ = base.index;
  base_term_ = base.term;
  base_chain_ = chain;
}

void LogImage::forget_writes() {
  for (auto it = items_.rbegin(); it != items_.rend() && it->write != WriteId{}; ++it) {
    it->write = WriteId{};
  }
}

RecoveredState LogImage::recovered() const {
  RecoveredState out;
  out.base = {base_, base_term_, *configurations_.front().second};
  out.last = last();
  for (const Held& held : items_) {
    if (out.runs.empty() || out.runs.back().term != held.entry.term) {
      out.runs.push_back({held.entry.index, held.entry.term});
    }
    out.entry_bytes.push_back(entry_cost(held.entry));
  }
  for (std::size_t i = 1; i < configurations_.size(); ++i) {
    out.configurations.emplace_back(configurations_[i].first, *configurations_[i].second);
  }
  return out;
}

}  // namespace fyr::raft::sim
