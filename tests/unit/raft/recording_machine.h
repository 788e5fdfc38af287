// A state machine that remembers what it was given; optionally it starts where an earlier one was.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "raft/node.h"

namespace fyr::raft {

inline std::string outcome_text(const ApplyOutcome& outcome) {
  return outcome ? *static_cast<const std::string*>(outcome.get()) : "";
}

// Thread-safe.
class RecordingMachine : public StateMachine {
 public:
  explicit RecordingMachine(Index applied = Index{}) : applied_(applied), durable_(applied) {}

  Index applied() const override {
    std::lock_guard lock(mutex_);
    return applied_;
  }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    std::lock_guard lock(mutex_);
    batch_sizes_.push_back(entries.size());
    for (const Entry& entry : entries) {
      if (entry.index <= applied_) order_broken_ = true;
      applied_ = entry.index;
      seen_.push_back(entry.index);
      data_.push_back(*entry.data);
      outcomes.push_back(
          std::make_shared<const std::string>("done " + std::to_string(entry.index.value)));
    }
  }
  Index durable_applied() const override {
    std::lock_guard lock(mutex_);
    return durable_;
  }
  void flush() override {
    std::lock_guard lock(mutex_);
    durable_ = applied_;
    ++flushes_;
  }

  std::vector<Index> seen() const { return get(seen_); }
  std::vector<std::string> data() const { return get(data_); }
  std::vector<std::size_t> batch_sizes() const { return get(batch_sizes_); }
  int flushes() const { return get(flushes_); }
  bool order_broken() const { return get(order_broken_); }

 private:
  template <class T>
  T get(const T& member) const {
    std::lock_guard lock(mutex_);
    return member;
  }

  mutable std::mutex mutex_;
  Index applied_, durable_;
  std::vector<Index> seen_;
  std::vector<std::string> data_;
  std::vector<std::size_t> batch_sizes_;
  int flushes_ = 0;
  bool order_broken_ = false;
};

}  // namespace fyr::raft
