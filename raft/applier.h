// Feeds committed entries to the state machine and answers those who wait for them.
//
// A batch is at most 1,000 entries or 4 MiB (raft.md §11). Entries still in memory come with the
// task, older ones are read from storage. Application entries reach the machine, and at Check
// entries it is asked for its digest.
//
// Pure apart from what the machine and `fetch` do. Owner: the apply thread.
#pragma once

#include <functional>
#include <vector>

// tidy: arrows: for the StateMachine, an interface that names no thread and no disk
#include "raft/node.h"
#include "raft/outputs.h"

namespace fyr::raft {

using ProposeDone = std::function<void(Result<Node::Applied>)>;

struct Waiter {
  Term term;
  Index index;
  ProposeDone done;
};

struct Refusal {
  ProposeDone done;
  Error error;
};

struct ApplyTask {
  std::vector<Refusal> refused;         // answered first
  std::optional<LogPosition> activate;  // then the machine's prepared state becomes the live one
  IndexRange range{};                   // first 0: nothing to apply
  std::vector<Entry> entries;           // the whole range, or empty: read it from storage
  std::vector<Waiter> waiters;          // by index, within the range
  bool flush = false;                   // make the state durable at the end

  bool applies() const { return range.first != Index{}; }
  bool empty() const { return !applies() && !flush && !activate && refused.empty(); }
  // Appends a later task, if that leaves one task of the same meaning.
  bool merge(ApplyTask& later);
};

class Applier {
 public:
  using Fetch = std::function<Result<std::vector<Entry>>(IndexRange, std::size_t max_bytes)>;
  // State is at `applied` and would be at `durable` after a power cut. Called after each batch,
  // before those who wait are answered, and after a flush.
  using Progress = std::function<void(Index applied, Index durable, bool flushed)>;

  // What Check entries showed (state_check.h); may be empty.
  struct Checks {
    std::function<void(Index check, std::uint64_t digest)> taken;
    std::function<void(Index check)> odd;  // the majority had something else there
  };
  // Told before the machine gets a batch, with its last application entry.
  using Ahead = std::function<void(LogPosition)>;

  Applier(StateMachine& machine, Index applied, Fetch fetch, Progress progress, Checks checks = {},
          Ahead ahead = {});

  // Stops at the first entry that cannot be read; everything not answered then ends as
  // CommitUnknown.
  Result<void> run(ApplyTask& task);

 private:
  Result<std::vector<Entry>> next_batch(ApplyTask& task, Index from);
  void apply(std::vector<Entry>& batch);
  void apply_apps();
  void check(const Entry& entry);
  void answer(ApplyTask& task, Index upto);
  void report(bool flushed);

  StateMachine& machine_;
  Fetch fetch_;
  Progress progress_;
  Checks checks_;
  Ahead ahead_;
  Index applied_;
  Index durable_{};  // as reported last
  std::vector<Entry> apps_;
  std::vector<ApplyOutcome> outcomes_;
  Index checked_{};  // the last Check entry
  std::uint64_t digest_ = 0;
  std::size_t waiter_ = 0;  // first one of the task not answered yet
};

}  // namespace fyr::raft
