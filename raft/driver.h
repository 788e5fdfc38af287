// What stands between the core and the threads: batching of inputs, messages held back until
// their write is durable, and the callbacks of those who wait, keyed by where their proposal
// went. Single-threaded and pure, so that the simulator runs what ships.
//
// A proposal ends (D9, raft.md §11)
//  - applied here, with its own term: its outcome;
//  - with another term at its index, cut away, or passed by a snapshot: CommitUnknown, for another
//    node may still hold it;
//  - else, at the latest two seconds after the leadership was lost: CommitUnknown.
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
using RequestDone = std::function<void(Result<void>)>;

struct DriverInput {
  struct Propose {
    std::shared_ptr<const std::string> data;
    ProposeDone done;
    EntryType type = EntryType::App;
  };
  struct Read {
    ReadMode mode;
    ReadDone done;
  };
  struct AppliedTo {
    Index applied, durable;
  };
  struct Change {
    ConfigChange change;  // its id is not looked at
    RequestDone done;
  };
  struct Transfer {
    NodeId to;  // 0: to the best voter
    RequestDone done;
  };
  struct Found {
    Configuration configuration;
    RequestDone done;  // when it is durable here
  };
  struct Digest {
    Index check;
    std::uint64_t digest;
  };
  std::deque<Propose> proposals;
  std::vector<Read> reads;
  WriteId written{};
  std::optional<AppliedTo> applied;
  std::vector<Message> messages;
  std::vector<std::pair<NodeId, LinkState>> links;
  std::vector<FetchedLog> fetched;
  std::vector<SnapshotEvent> snapshots;
  std::vector<Change> changes;
  std::vector<Transfer> transfers;
  std::vector<Found> founds;
  std::optional<Digest> digest;
  std::optional<bool> disk_low;

  // Takes over a later input.
  void merge(DriverInput& later);
};

struct DriverOutput {
  std::vector<PersistBatch> persist;
  std::vector<Message> send;  // everything they depend on is durable
  std::optional<LogBase> compact;
  std::optional<ApplyTask> apply;  // holds `activate` of the core, too
  std::vector<std::pair<ReadDone, Result<Index>>> reads;
  std::vector<std::pair<RequestDone, Result<void>>> requests;  // changes, transfers, founds
  std::vector<FetchLog> fetch;
  bool make_snapshot = false;
  std::optional<FetchSnapshot> fetch_snapshot;
  bool drop_snapshot = false;
  SoftState soft;
  std::optional<Instant> wake_at;
};

class Driver {
 public:
  Driver(const CoreConfig& config, RecoveredState recovered, std::uint64_t seed = 0)
      : core_(config, std::move(recovered), seed) {}

  // Takes everything but proposals, of which at most 1,024 or 1 MiB leave `input`, so that
  // nothing waits long behind them; call again while some are left.
  DriverOutput step(Instant now, DriverInput& input);
  // Ends everything that waits, in `input` too: proposals in the log, changes and transfers as
  // CommitUnknown, others and reads as Stopped.
  DriverOutput abandon(DriverInput& input);

  const Core& core() const { return core_; }

 private:
  struct LeadershipLoss {
    Instant give_up;
    Index upto;  // of the waiters there were
  };

  void feed(Instant now, DriverInput& input);
  void feed_requests(Instant now, DriverInput& input);
  void feed_proposals(Instant now, std::deque<DriverInput::Propose>& proposals);
  void settle_proposals(std::vector<ProposalResult>& results, ApplyTask& task);
  void settle_reads(std::vector<ReadGrant>& grants, DriverOutput& out);
  void settle_requests(Outputs& outputs, DriverOutput& out);
  void forget_truncated(const std::vector<PersistBatch>& persist, ApplyTask& task);
  void watch_leadership(Instant now, const SoftState& soft);
  void give_up(Instant now, ApplyTask& task);
  void refuse_waiters(Index upto, const char* reason, ApplyTask& task);
  void hand_out(IndexRange range, ApplyTask& task);
  void hold(std::vector<Outgoing>& send);
  void release(Term term, DriverOutput& out);
  std::optional<Instant> wake_at(std::optional<Instant> core) const;

  Core core_;
  std::uint64_t next_id_ = 1;
  WriteId written_{};
  std::multimap<WriteId, Message> held_;  // by the write they wait for, each in order
  std::deque<ProposeDone> proposed_;      // in the order of their results
  std::deque<Waiter> waiters_;            // by index
  std::deque<LeadershipLoss> losses_;     // with waiters left
  bool led_ = false;
  Term term_{};
  std::map<std::uint64_t, ReadDone> reads_;
  std::map<std::uint64_t, RequestDone> requests_;
  std::vector<Proposal> chunk_;
};

}  // namespace fyr::raft
