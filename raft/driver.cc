#include "raft/driver.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "raft/mutation.h"

namespace fyr::raft {
namespace {
constexpr std::size_t kMaxChunk = 1'024;
constexpr std::size_t kMaxChunkBytes = 1u << 20;
constexpr std::size_t kMaxHeld = 4'096;
constexpr Duration kUnknownAfter = std::chrono::seconds(2);

template <class C>
void move_to_end(C& to, C& from) {
  if (to.empty()) {
    to.swap(from);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

template <class T>
void take_newer(std::optional<T>& to, std::optional<T>& from) {
  if (from) to = std::exchange(from, std::nullopt);
}
}  // namespace

void DriverInput::merge(DriverInput& later) {
  move_to_end(proposals, later.proposals);
  move_to_end(reads, later.reads);
  move_to_end(messages, later.messages);
  move_to_end(links, later.links);
  move_to_end(fetched, later.fetched);
  move_to_end(snapshots, later.snapshots);
  move_to_end(changes, later.changes);
  move_to_end(transfers, later.transfers);
  move_to_end(founds, later.founds);
  written = std::max(written, later.written);
  take_newer(applied, later.applied);
  take_newer(digest, later.digest);
  take_newer(disk_low, later.disk_low);
}

DriverOutput Driver::step(Instant now, DriverInput& input) {
  feed(now, input);
  core_.on_time(now);
  feed_proposals(now, input.proposals);

  Outputs outputs = core_.take();
  DriverOutput out;
  ApplyTask task;
  // Before new ones, which may go to the same indexes.
  forget_truncated(outputs.persist, task);
  settle_proposals(outputs.results, task);
  watch_leadership(now, outputs.soft);
  settle_reads(outputs.reads, out);
  settle_requests(outputs, out);
  out.persist = std::move(outputs.persist);
  out.compact = std::move(outputs.compact);
  out.fetch = std::move(outputs.fetch);
  out.make_snapshot = outputs.make_snapshot;
  out.fetch_snapshot = std::move(outputs.fetch_snapshot);
  out.drop_snapshot = outputs.drop_snapshot;
  out.soft = outputs.soft;
  hold(outputs.send);
  release(outputs.soft.term, out);
  if (outputs.activate) {
    task.activate = outputs.activate;
    refuse_waiters(outputs.activate->index, "a snapshot took the write's place", task);
  }
  if (outputs.apply) hand_out(*outputs.apply, task);
  give_up(now, task);
  task.flush = outputs.flush_state;
  if (!task.empty()) out.apply = std::move(task);
  out.wake_at = wake_at(outputs.wake_at);
  return out;
}

void Driver::feed(Instant now, DriverInput& input) {
  // Before the proposals: what became durable or applied makes room for them.
  if (input.applied) core_.on_applied(now, input.applied->applied, input.applied->durable);
  input.applied.reset();
  if (input.written > written_) {
    written_ = input.written;
    core_.on_written(now, written_);
  }
  for (const auto& [peer, state] : input.links) core_.on_link(now, peer, state);
  input.links.clear();
  for (Message& message : input.messages) core_.on_message(now, std::move(message));
  input.messages.clear();
  for (FetchedLog& fetched : input.fetched) core_.on_log_fetched(now, std::move(fetched));
  input.fetched.clear();
  for (SnapshotEvent& event : input.snapshots) core_.on_snapshot(now, std::move(event));
  input.snapshots.clear();
  if (input.digest) core_.on_digest(now, input.digest->check, input.digest->digest);
  input.digest.reset();
  if (input.disk_low) core_.on_disk_low(now, *input.disk_low);
  input.disk_low.reset();
  for (DriverInput::Read& read : input.reads) {
    const std::uint64_t id = next_id_++;
    reads_.emplace(id, std::move(read.done));
    core_.read(now, {id, read.mode});
  }
  input.reads.clear();
  feed_requests(now, input);
}

void Driver::feed_requests(Instant now, DriverInput& input) {
  for (DriverInput::Change& change : input.changes) {
    change.change.id = next_id_++;
    requests_.emplace(change.change.id, std::move(change.done));
    core_.change_configuration(now, change.change);
  }
  input.changes.clear();
  for (DriverInput::Transfer& transfer : input.transfers) {
    const std::uint64_t id = next_id_++;
    requests_.emplace(id, std::move(transfer.done));
    core_.transfer(now, {id, transfer.to});
  }
  input.transfers.clear();
  for (DriverInput::Found& found : input.founds) {
    const std::uint64_t id = next_id_++;
    requests_.emplace(id, std::move(found.done));
    core_.found(now, id, found.configuration);
  }
  input.founds.clear();
}

void Driver::feed_proposals(Instant now, std::deque<DriverInput::Propose>& proposals) {
  chunk_.clear();
  std::size_t bytes = 0;
  while (!proposals.empty() && chunk_.size() < kMaxChunk && bytes < kMaxChunkBytes) {
    DriverInput::Propose& next = proposals.front();
    bytes += next.data->size();
    chunk_.push_back({next_id_++, next.type, std::move(next.data)});
    proposed_.push_back(std::move(next.done));
    proposals.pop_front();
  }
  if (!chunk_.empty()) core_.propose(now, chunk_);
}

// ---- messages ---------------------------------------------------------------------------------

void Driver::hold(std::vector<Outgoing>& send) {
  for (Outgoing& each : send) held_.emplace(each.after, std::move(each.message));
  // A disk that does not come back: what it would allow to say is of no use any more.
  while (held_.size() > kMaxHeld) held_.erase(held_.begin());
}

// D1-D3: only what is durable may be said. What was to be said in an earlier term is dropped: an
// acknowledgement of it may be about entries that were cut away meanwhile.
void Driver::release(Term term, DriverOutput& out) {
  const auto end = held_.upper_bound(written_);
  for (auto it = held_.begin(); it != end; ++it) {
    if (it->first == WriteId{} || it->second.term == term) {
      out.send.push_back(std::move(it->second));
    }
  }
  held_.erase(held_.begin(), end);
}

// ---- those who wait ---------------------------------------------------------------------------

void Driver::settle_proposals(std::vector<ProposalResult>& results, ApplyTask& task) {
  for (ProposalResult& result : results) {
    CHECK(!proposed_.empty());
    if (result.refused) {
      task.refused.push_back({std::move(proposed_.front()), std::move(*result.refused)});
    } else {
      CHECK(waiters_.empty() || waiters_.back().index < result.index);
      waiters_.push_back({result.term, result.index, std::move(proposed_.front())});
    }
    proposed_.pop_front();
  }
}

void Driver::settle_reads(std::vector<ReadGrant>& grants, DriverOutput& out) {
  for (ReadGrant& grant : grants) {
    const auto found = reads_.find(grant.id);
    CHECK(found != reads_.end());
    if (grant.refused) {
      out.reads.emplace_back(std::move(found->second), std::move(*grant.refused));
    } else {
      out.reads.emplace_back(std::move(found->second), grant.index);
    }
    reads_.erase(found);
  }
}

void Driver::settle_requests(Outputs& outputs, DriverOutput& out) {
  for (auto* outcomes : {&outputs.changes, &outputs.transfers}) {
    for (auto& [id, error] : *outcomes) {
      const auto found = requests_.find(id);
      CHECK(found != requests_.end());
      out.requests.emplace_back(std::move(found->second),
                                error ? Result<void>(std::move(*error)) : Result<void>());
      requests_.erase(found);
    }
  }
}

void Driver::forget_truncated(const std::vector<PersistBatch>& persist, ApplyTask& task) {
  for (const PersistBatch& batch : persist) {
    if (batch.truncate_from == Index{}) continue;
    const auto first = std::ranges::lower_bound(waiters_, batch.truncate_from, {}, &Waiter::index);
    for (auto it = first; it != waiters_.end(); ++it) {
      task.refused.push_back(
          {std::move(it->done),
           fail(mutated(Mutation::M35) ? ErrorCode::NotLeader : ErrorCode::CommitUnknown,
                "another leader's log took over")});
    }
    waiters_.erase(first, waiters_.end());
  }
}

void Driver::watch_leadership(Instant now, const SoftState& soft) {
  const bool leads = soft.role == Role::Leader;
  const bool lost = led_ && (!leads || soft.term != term_);
  if (lost && !waiters_.empty()) {
    losses_.push_back({now + kUnknownAfter, waiters_.back().index});
  }
  led_ = leads;
  term_ = soft.term;
}

void Driver::give_up(Instant now, ApplyTask& task) {
  while (!losses_.empty() && losses_.front().give_up <= now) {
    refuse_waiters(losses_.front().upto, "leadership was lost", task);
    losses_.pop_front();
  }
}

void Driver::refuse_waiters(Index upto, const char* reason, ApplyTask& task) {
  while (!waiters_.empty() && waiters_.front().index <= upto) {
    task.refused.push_back(
        {std::move(waiters_.front().done),
         fail(mutated(Mutation::M35) ? ErrorCode::NotLeader : ErrorCode::CommitUnknown, reason)});
    waiters_.pop_front();
  }
}

void Driver::hand_out(IndexRange range, ApplyTask& task) {
  task.range = range;
  if (auto entries = core_.cached(range)) task.entries = std::move(*entries);
  while (!waiters_.empty() && waiters_.front().index <= range.last) {
    task.waiters.push_back(std::move(waiters_.front()));
    waiters_.pop_front();
  }
}

std::optional<Instant> Driver::wake_at(std::optional<Instant> core) const {
  if (losses_.empty()) return core;
  return core ? std::min(*core, losses_.front().give_up) : losses_.front().give_up;
}

DriverOutput Driver::abandon(DriverInput& input) {
  DriverOutput out;
  ApplyTask task;
  const Error stopping = fail(ErrorCode::Stopped, "stopping");
  for (Waiter& waiter : waiters_) {
    task.refused.push_back({std::move(waiter.done), fail(ErrorCode::CommitUnknown,
                                                         "stopped before the write was applied")});
  }
  waiters_.clear();
  losses_.clear();
  for (DriverInput::Propose& proposal : input.proposals) {
    task.refused.push_back({std::move(proposal.done), stopping});
  }
  for (auto& [id, done] : reads_) out.reads.emplace_back(std::move(done), stopping);
  reads_.clear();
  for (DriverInput::Read& read : input.reads)
    out.reads.emplace_back(std::move(read.done), stopping);
  const Error unknown = fail(ErrorCode::CommitUnknown, "stopped before it was done");
  for (auto& [id, done] : requests_) out.requests.emplace_back(std::move(done), unknown);
  requests_.clear();
  for (auto& each : input.changes) out.requests.emplace_back(std::move(each.done), stopping);
  for (auto& each : input.transfers) out.requests.emplace_back(std::move(each.done), stopping);
  for (auto& each : input.founds) out.requests.emplace_back(std::move(each.done), stopping);
  input = {};
  if (!task.refused.empty()) out.apply = std::move(task);
  return out;
}

}  // namespace fyr::raft
