#include "raft/driver.h"

#include <iterator>

#include "base/check.h"

namespace fyr::raft {
namespace {
constexpr std::size_t kMaxChunk = 1'024;
constexpr std::size_t kMaxChunkBytes = 1u << 20;
}  // namespace

void DriverInput::merge(DriverInput& later) {
  if (proposals.empty()) {
    proposals.swap(later.proposals);
  } else {
    proposals.insert(proposals.end(), std::make_move_iterator(later.proposals.begin()),
                     std::make_move_iterator(later.proposals.end()));
    later.proposals.clear();
  }
  reads.insert(reads.end(), std::make_move_iterator(later.reads.begin()),
               std::make_move_iterator(later.reads.end()));
  later.reads.clear();
  written = std::max(written, later.written);
  if (later.applied) applied = later.applied;
  later.applied.reset();
}

DriverOutput Driver::step(Instant now, DriverInput& input) {
  // Before the proposals: what became durable or applied makes room for them.
  if (input.applied) core_.on_applied(now, input.applied->applied, input.applied->durable);
  input.applied.reset();
  if (input.written != WriteId{}) core_.on_written(now, input.written);
  for (DriverInput::Read& read : input.reads) {
    const std::uint64_t id = next_id_++;
    reads_.emplace(id, std::move(read.done));
    core_.read(now, {id, read.mode});
  }
  input.reads.clear();
  core_.on_time(now);
  feed_proposals(now, input.proposals);

  Outputs outputs = core_.take();
  DriverOutput out;
  out.persist = std::move(outputs.persist);
  out.compact = std::move(outputs.compact);
  out.soft = outputs.soft;
  out.wake_at = outputs.wake_at;
  ApplyTask task;
  settle_proposals(outputs.results, task);
  settle_reads(outputs.reads, out);
  if (outputs.apply) hand_out(*outputs.apply, task);
  task.flush = outputs.flush_state;
  if (task.applies() || task.flush || !task.refused.empty()) out.apply = std::move(task);
  return out;
}

void Driver::feed_proposals(Instant now, std::deque<DriverInput::Propose>& proposals) {
  chunk_.clear();
  std::size_t bytes = 0;
  while (!proposals.empty() && chunk_.size() < kMaxChunk && bytes < kMaxChunkBytes) {
    DriverInput::Propose& next = proposals.front();
    bytes += next.data->size();
    chunk_.push_back({next_id_++, EntryType::App, std::move(next.data)});
    proposed_.push_back(std::move(next.done));
    proposals.pop_front();
  }
  if (!chunk_.empty()) core_.propose(now, chunk_);
}

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

void Driver::hand_out(IndexRange range, ApplyTask& task) {
  task.range = range;
  if (auto entries = core_.cached(range)) task.entries = std::move(*entries);
  while (!waiters_.empty() && waiters_.front().index <= range.last) {
    task.waiters.push_back(std::move(waiters_.front()));
    waiters_.pop_front();
  }
}

DriverOutput Driver::abandon(DriverInput& input) {
  DriverOutput out;
  ApplyTask task;
  for (Waiter& waiter : waiters_) {
    task.refused.push_back({std::move(waiter.done), fail(ErrorCode::CommitUnknown,
                                                         "stopped before the write was applied")});
  }
  waiters_.clear();
  for (DriverInput::Propose& proposal : input.proposals) {
    task.refused.push_back({std::move(proposal.done), fail(ErrorCode::Stopped, "stopping")});
  }
  input.proposals.clear();
  for (auto& [id, done] : reads_) {
    out.reads.emplace_back(std::move(done), fail(ErrorCode::Stopped, "stopping"));
  }
  reads_.clear();
  for (DriverInput::Read& read : input.reads) {
    out.reads.emplace_back(std::move(read.done), fail(ErrorCode::Stopped, "stopping"));
  }
  input.reads.clear();
  if (!task.refused.empty()) out.apply = std::move(task);
  return out;
}

}  // namespace fyr::raft
