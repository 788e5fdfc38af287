#include "raft/applier.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "raft/state_check.h"

namespace fyr::raft {
namespace {
constexpr std::size_t kMaxBatchEntries = 1'000;
constexpr std::size_t kMaxBatchBytes = 4u << 20;

template <class T>
void move_to_end(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}
}  // namespace

bool ApplyTask::merge(ApplyTask& later) {
  if (flush || later.activate) return false;
  if (applies() && later.applies()) {
    CHECK(range.last.next() == later.range.first);
    if (entries.empty() || later.entries.empty()) return false;
  }
  if (later.applies()) {
    range = applies() ? IndexRange{range.first, later.range.last} : later.range;
    move_to_end(entries, later.entries);
    move_to_end(waiters, later.waiters);
  }
  move_to_end(refused, later.refused);
  flush = later.flush;
  return true;
}

Applier::Applier(StateMachine& machine, Index applied, Fetch fetch, Progress progress,
                 Checks checks, Ahead ahead)
    : machine_(machine),
      fetch_(std::move(fetch)),
      progress_(std::move(progress)),
      checks_(std::move(checks)),
      ahead_(std::move(ahead)),
      applied_(applied) {}

Result<void> Applier::run(ApplyTask& task) {
  for (Refusal& refusal : task.refused) refusal.done(std::move(refusal.error));
  task.refused.clear();
  waiter_ = 0;
  if (task.activate) {
    CHECK(task.activate->index > applied_);
    machine_.activate();
    checked_ = Index{};  // another state's
    applied_ = task.activate->index;
    report(false);
  }
  if (task.applies()) {
    CHECK(task.range.first == applied_.next());
    while (applied_ < task.range.last) {
      auto batch = next_batch(task, applied_.next());
      if (!batch) {
        for (; waiter_ < task.waiters.size(); ++waiter_) {
          task.waiters[waiter_].done(fail(ErrorCode::CommitUnknown, "the node failed"));
        }
        return batch.error();
      }
      apply(*batch);
      report(false);
      answer(task, applied_);
    }
  }
  if (task.flush) {
    machine_.flush();
    report(true);
  }
  return {};
}

Result<std::vector<Entry>> Applier::next_batch(ApplyTask& task, Index from) {
  if (task.entries.empty()) {
    const Index last(std::min(task.range.last.value, from.value + kMaxBatchEntries - 1));
    return fetch_({from, last}, kMaxBatchBytes);
  }
  const std::size_t offset = from.value - task.range.first.value;
  std::size_t bytes = 0;
  std::size_t end = offset;
  while (end < task.entries.size() && end - offset < kMaxBatchEntries) {
    bytes += entry_cost(task.entries[end]);
    if (end > offset && bytes > kMaxBatchBytes) break;
    ++end;
  }
  const auto at = [&](std::size_t i) {
    return std::make_move_iterator(task.entries.begin() + static_cast<std::ptrdiff_t>(i));
  };
  return std::vector<Entry>(at(offset), at(end));
}

void Applier::apply(std::vector<Entry>& batch) {
  CHECK(!batch.empty() && batch.front().index == applied_.next());
  applied_ = batch.back().index;
  apps_.clear();
  outcomes_.clear();
  for (Entry& entry : batch) {
    if (entry.type == EntryType::App) apps_.push_back(std::move(entry));
    if (entry.type == EntryType::Check) check(entry);
  }
  apply_apps();
}

void Applier::apply_apps() {
  const std::size_t done = outcomes_.size();
  if (done == apps_.size()) return;
  if (ahead_) ahead_({apps_.back().index, apps_.back().term});
  machine_.apply(std::span(apps_).subspan(done), outcomes_);
  CHECK_MSG(outcomes_.size() == apps_.size(), "one outcome for each entry");
}

void Applier::check(const Entry& entry) {
  apply_apps();  // everything before it
  if (!entry.data || entry.data->empty()) {
    digest_ = machine_.digest();
    checked_ = entry.index;
    if (digest_ != 0 && checks_.taken) checks_.taken(checked_, digest_);
    return;
  }
  const auto agreed = decode_agreed(*entry.data);
  if (!agreed || agreed->check != checked_ || digest_ == 0) return;  // not looked at in this life
  if (agreed->digest != digest_ && checks_.odd) checks_.odd(checked_);
}

void Applier::report(bool flushed) {
  // Not more than the machine itself claims: entries of Raft behind it may not be cut either, or
  // at the next start the state would seem to end before the log begins.
  progress_(applied_, machine_.durable_applied(), flushed);
}

void Applier::answer(ApplyTask& task, Index upto) {
  std::size_t at = 0;
  for (; waiter_ < task.waiters.size() && task.waiters[waiter_].index <= upto; ++waiter_) {
    Waiter& waiter = task.waiters[waiter_];
    while (at < apps_.size() && apps_[at].index < waiter.index) ++at;
    const bool ours =
        at < apps_.size() && apps_[at].index == waiter.index && apps_[at].term == waiter.term;
    if (ours) {
      waiter.done(Node::Applied{waiter.term, waiter.index, std::move(outcomes_[at])});
    } else {
      waiter.done(fail(ErrorCode::CommitUnknown, "leadership was lost"));
    }
    waiter.done = nullptr;
  }
}

}  // namespace fyr::raft
