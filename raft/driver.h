// What stands between the core and the threads: batching of inputs, and the callbacks of those
// who wait, keyed by where their proposal went. Single-threaded and pure, so that the simulator
// runs what ships.
//
// Owner: the raft thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "raft/applier.h"
#include "raft/core.h"

namespace fyr::raft {

using ReadDone = std::function<void(Result<Index>)>;

struct DriverInput {
  struct Propose {
    std::shared_ptr<const std::string> data;
    ProposeDone done;
  };
  struct Read {
    ReadMode mode;
    ReadDone done;
  };
  struct AppliedTo {
    Index applied, durable;
  };
  std::deque<Propose> proposals;
  std::vector<Read> reads;
  WriteId written{};
  std::optional<AppliedTo> applied;

  // Takes over a later input.
  void merge(DriverInput& later);
};

struct DriverOutput {
  std::vector<PersistBatch> persist;
  std::optional<LogBase> compact;
  std::optional<ApplyTask> apply;
  std::vector<std::pair<ReadDone, Result<Index>>> reads;
  SoftState soft;
  std::optional<Instant> wake_at;
};

class Driver {
 public:
  Driver(const CoreConfig& config, RecoveredState recovered)
      : core_(config, std::move(recovered)) {}

  // Takes everything but proposals, of which at most 1,024 or 1 MiB leave `input`, so that
  // nothing waits long behind them; call again while some are left.
  DriverOutput step(Instant now, DriverInput& input);
  // Ends everything that waits, in `input` too: proposals in the log as CommitUnknown, others and
  // reads as Stopped.
  DriverOutput abandon(DriverInput& input);

  const Core& core() const { return core_; }

 private:
  void feed_proposals(Instant now, std::deque<DriverInput::Propose>& proposals);
  void settle_proposals(std::vector<ProposalResult>& results, ApplyTask& task);
  void settle_reads(std::vector<ReadGrant>& grants, DriverOutput& out);
  void hand_out(IndexRange range, ApplyTask& task);

  Core core_;
  std::uint64_t next_id_ = 1;
  std::deque<ProposeDone> proposed_;  // in the order of their results
  std::deque<Waiter> waiters_;        // by index
  std::map<std::uint64_t, ReadDone> reads_;
  std::vector<Proposal> chunk_;
};

}  // namespace fyr::raft
