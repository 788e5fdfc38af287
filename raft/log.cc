#include "raft/log.h"

#include <algorithm>

#include "base/check.h"
#include "raft/mutation.h"

namespace fyr::raft {

std::size_t entry_cost(const Entry& entry) {
  constexpr std::size_t kOverhead = 64;
  return kOverhead + (entry.data ? entry.data->size() : 0);
}

Log::Log(Index base, Term base_term, std::vector<TermRun> runs, Index last)
    : base_(base),
      last_(last),
      durable_(last),
      base_term_(base_term),
      runs_(runs.begin(), runs.end()) {
  CHECK(base_ <= last_);
  CHECK(runs_.empty() == (base_ == last_));
  CHECK(runs_.empty() || runs_.front().first == first());
}

Term Log::last_term() const {
  return runs_.empty() ? base_term_ : runs_.back().term;
}

std::optional<Term> Log::term_at(Index index) const {
  if (index < base_ || index > last_) return std::nullopt;
  if (index == base_) return base_term_;
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                      [](Index i, const TermRun& run) { return i < run.first; });
  CHECK(after != runs_.begin());
  return std::prev(after)->term;
}

Index Log::last_at_most(Index from, Term term) const {
  from = std::min(from, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first <= from && run->term <= term) return from;
    from = std::min(from, run->first.previous());
  }
  return base_;
}

WriteId Log::write_of(Index index) const {
  CHECK(index <= last_);
  if (index <= durable_) return WriteId{};
  const auto found = std::lower_bound(writes_.begin(), writes_.end(), index,
                                      [](const Write& write, Index i) { return write.last < i; });
  CHECK(found != writes_.end());
  return found->id;
}

void Log::append(Entry entry, WriteId write) {
  CHECK(entry.index == last_.next());
  CHECK(entry.term >= last_term());
  if (runs_.empty() || entry.term > runs_.back().term) runs_.push_back({entry.index, entry.term});
  last_ = entry.index;
  cached_bytes_ += entry_cost(entry);
  cache_.push_back(std::move(entry));
  if (!writes_.empty() && writes_.back().id == write) {
    writes_.back().last = last_;
  } else {
    CHECK(writes_.empty() || writes_.back().id < write);
    writes_.push_back({write, last_});
  }
}

void Log::truncate_from(Index index) {
  CHECK(index > base_);
  if (index > last_) return;
  const Index new_last = index.previous();
  while (!cache_.empty() && cache_.back().index >= index) {
    cached_bytes_ -= entry_cost(cache_.back());
    cache_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
  // A write that carried both kept and vanished entries still makes the kept ones durable.
  while (!writes_.empty() && writes_.back().last >= index && !mutated(Mutation::M28)) {
    const bool keeps_some =
        writes_.size() > 1 ? writes_[writes_.size() - 2].last < new_last : durable_ < new_last;
    if (keeps_some) {
      writes_.back().last = new_last;
      break;
    }
    writes_.pop_back();
  }
  last_ = new_last;
  durable_ = std::min(durable_, new_last);
}

void Log::on_written(WriteId upto) {
  while (!writes_.empty() && writes_.front().id <= upto) {
    durable_ = std::max(durable_, std::min(last_, writes_.front().last));
    writes_.pop_front();
  }
  CHECK(durable_ <= last_);
}

void Log::compact(Index index) {
  if (index <= base_) return;
  CHECK(index <= durable_);
  base_term_ = *term_at(index);
  base_ = index;
  release(index);
  while (runs_.size() > 1 && runs_[1].first <= first()) runs_.pop_front();
  if (base_ == last_) {
    runs_.clear();
  } else {
    runs_.front().first = std::max(runs_.front().first, first());
  }
}

void Log::install(Index index, Term term) {
  CHECK(index >= base_);
  CHECK_MSG(writes_.empty() && durable_ == last_, "nothing may be appended while it is written");
  if (term_at(index) == term || (mutated(Mutation::M23) && index <= last_)) {
    compact(index);
    return;
  }
  *this = Log(index, term, {}, index);
}

std::optional<std::vector<Entry>> Log::cached(IndexRange range) const {
  if (cache_.empty() || range.first < first_cached() || range.last > last_) return std::nullopt;
  const auto from = static_cast<std::ptrdiff_t>(range.first.value - first_cached().value);
  const auto to = static_cast<std::ptrdiff_t>(range.last.value - first_cached().value + 1);
  return std::vector<Entry>(cache_.begin() + from, cache_.begin() + to);
}

std::vector<Entry> Log::slice(Index from, std::size_t max_bytes) const {
  CHECK(is_cached(from));
  auto at = cache_.begin() + static_cast<std::ptrdiff_t>(from.value - first_cached().value);
  std::vector<Entry> out;
  std::size_t bytes = 0;
  for (; at != cache_.end(); ++at) {
    bytes += entry_cost(*at);
    if (!out.empty() && bytes > max_bytes) break;
    out.push_back(*at);
  }
  return out;
}

void Log::release(Index index, std::size_t keep_bytes) {
  const Index upto = std::min(index, durable_);
  while (cached_bytes_ > keep_bytes && !cache_.empty() && cache_.front().index <= upto) {
    cached_bytes_ -= entry_cost(cache_.front());
    cache_.pop_front();
  }
}

std::size_t Log::cached_cost(IndexRange range) const {
  std::size_t sum = 0;
  if (cache_.empty()) return sum;
  for (Index i = std::max(range.first, first_cached()); i <= std::min(range.last, last_);
       i = i.next()) {
    sum += entry_cost(cache_[i.value - first_cached().value]);
  }
  return sum;
}

}  // namespace fyr::raft
