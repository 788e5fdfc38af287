// A Raft log as an observer sees it: what a node has written, or what is on its disk. Each entry
// carries a hash of everything up to it, so that two logs are compared by one number (I4).
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "raft/outputs.h"
#include "tests/sim/raft/basics.h"

namespace fyr::raft::sim {

struct Held {
  Entry entry;
  std::uint64_t chain = 0;
  WriteId write{};  // the PersistBatch that carried it last, in this life of the node
};

using SharedConfiguration = std::shared_ptr<const Configuration>;

class LogImage {
 public:
  LogImage() = default;

  Index base() const { return base_; }
  Term base_term() const { return base_term_; }
  std::uint64_t base_chain() const { return base_chain_; }
  Index last() const { return Index(base_.value + items_.size()); }
  Term last_term() const { return items_.empty() ? base_term_ : items_.back().entry.term; }
  // 0 where it is not known any more, or not yet.
  Term term_at(Index index) const;
  std::uint64_t chain_at(Index index) const;
  const Held& at(Index index) const { return items_[index.value - base_.value - 1]; }
  bool holds(Index index) const { return index > base_ && index <= last(); }
  // (0, nothing) before any configuration is known.
  const std::pair<Index, SharedConfiguration>& configuration() const {
    return configurations_.back();
  }
  const std::deque<std::pair<Index, SharedConfiguration>>& configurations() const {
    return configurations_;
  }
  SharedConfiguration configuration_at(Index index) const;

  const Held& append(Entry entry, WriteId write);
  void truncate_from(Index index);
  void compact(Index index);
  // The log continues behind this point; `chain` is the observer's hash at it. What was behind it
  // stays if the log holds that entry.
  void install(const LogBase& base, std::uint64_t chain);
  void forget_writes();  // a new life begins: what is there is durable

  RecoveredState recovered() const;

 private:
  Index base_{};
  Term base_term_{};
  std::uint64_t base_chain_ = 0;
  std::deque<Held> items_;
  // The first one in force at the base.
  std::deque<std::pair<Index, SharedConfiguration>> configurations_{
      {Index{}, std::make_shared<const Configuration>()}};
};

std::uint64_t chain_of(std::uint64_t before, const Entry& entry);

}  // namespace fyr::raft::sim
