// The log as the core sees it: no entry is read from disk here.
//
// Terms come from a run-length list (one run a term), entries from a cache that holds everything
// not yet released. Durability: an entry is durable when the last write that carried it is, known
// by WriteId and never by comparing (index, term): a tail that was overwritten and written again
// must not be acknowledged by the first write (raft.md §2).
//
// Owner: the core. Invariants: base <= durable <= last; runs have strictly rising terms and
// indexes; the cache is a suffix of the log.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "raft/types.h"

namespace fyr::raft {

struct TermRun {
  Index first;
  Term term;
  bool operator==(const TermRun&) const = default;
};

// What an entry costs in queues and caches, in bytes: never 0, so that empty ones are bounded too.
std::size_t entry_cost(const Entry& entry);

class Log {
 public:
  // `base` is the index before the first entry, whose term is still known. What was recovered
  // from disk is durable.
  Log(Index base, Term base_term, std::vector<TermRun> runs, Index last);

  Index base() const { return base_; }
  Index first() const { return base_.next(); }
  Index last() const { return last_; }
  Index durable() const { return durable_; }
  Term last_term() const;
  // Known from base to last.
  std::optional<Term> term_at(Index index) const;
  const std::deque<TermRun>& runs() const { return runs_; }
  // The largest position in [base, from] whose term is not above `term`; base if there is none.
  Index last_at_most(Index from, Term term) const;
  // The write with which everything up to `index` is durable; 0: it already is.
  WriteId write_of(Index index) const;

  // `entry` follows the last one; its term is not lower.
  void append(Entry entry, WriteId write);
  // Entries >= index vanish; index > base.
  void truncate_from(Index index);
  // Every write up to `upto` is durable.
  void on_written(WriteId upto);
  // Entries <= index are gone from disk; they were durable.
  void compact(Index index);
  // A snapshot at (index, term) was installed durably: what follows that entry stays if the log
  // holds it, else everything goes.
  void install(Index index, Term term);

  // The entries of the range if all of them are cached.
  std::optional<std::vector<Entry>> cached(IndexRange range) const;
  bool is_cached(Index index) const {
    return !cache_.empty() && index >= first_cached() && index <= last_;
  }
  // Cached entries from `from` on: at least one, more as long as they cost no more than max_bytes
  // together. `from` must be cached.
  std::vector<Entry> slice(Index from, std::size_t max_bytes) const;
  const Entry* find_cached(Index index) const {
    return is_cached(index) ? &cache_[index.value - first_cached().value] : nullptr;
  }
  // Entries <= index, as far as they are durable, need not be cached any more; those that cost
  // `keep_bytes` together, the newest ones, are.
  void release(Index index, std::size_t keep_bytes = 0);
  std::size_t cached_bytes() const { return cached_bytes_; }
  // Sum of entry_cost over cached entries in the range.
  std::size_t cached_cost(IndexRange range) const;

 private:
  struct Write {
    WriteId id;
    Index last;  // highest index whose newest version this write carries
  };
  Index first_cached() const { return Index(last_.value - cache_.size() + 1); }

  Index base_, last_, durable_;
  Term base_term_;
  std::deque<TermRun> runs_;
  std::deque<Entry> cache_;
  std::size_t cached_bytes_ = 0;
  std::deque<Write> writes_;  // not yet durable, ids and indexes rising
};

}  // namespace fyr::raft
