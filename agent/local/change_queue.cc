#include "agent/local/change_queue.h"

#include <algorithm>
#include <utility>

#include "base/metrics.h"

namespace fyr::agent {

namespace {

constexpr std::size_t kMaxWaiting = 4096;
constexpr std::size_t kMaxWaitingBytes = 64 << 20;
constexpr std::size_t kMaxRound = 128;

Error stopping() {
  return fail(ErrorCode::Stopped, "agent is stopping");
}

}  // namespace

ChangeQueue::ChangeQueue(io::Runtime& runtime, int thread, int disk_thread,
                         std::shared_ptr<Persistence> disk, std::function<void()> applied)
    : runtime_(runtime),
      thread_(thread),
      disk_thread_(disk_thread),
      disk_(std::move(disk)),
      applied_(std::move(applied)) {}

void ChangeQueue::add(Operation operation) {
  if (stopping_) return operation.done(stopping());
  const bool full =
      waiting_.size() >= kMaxWaiting || waiting_bytes_ + operation.bytes > kMaxWaitingBytes;
  if (full && !operation.always) {
    metrics::counter("fyr.agent.registrations_refused").add();
    return operation.done(fail(ErrorCode::ResourceExhausted,
                               "agent: too many registrations are waiting for the disk"));
  }
  waiting_bytes_ += operation.bytes;
  waiting_.push_back(std::move(operation));
  if (!busy_) begin();
}

void ChangeQueue::stop(std::function<void()> done) {
  stopping_ = true;
  waiting_bytes_ = 0;
  for (Operation& operation : std::exchange(waiting_, {})) operation.done(stopping());
  if (!busy_) return done();
  stopped_ = std::move(done);
}

// False if the first one waiting has to wait for this round to end.
bool ChangeQueue::take(Round& round, std::set<std::string>& touched, Answers& answers) {
  Operation& first = waiting_.front();
  const auto is_touched = [&](const std::string& name) { return touched.contains(name); };
  if (first.alone && !round.empty()) return false;
  if (std::any_of(first.touches.begin(), first.touches.end(), is_touched)) return false;
  Result<Step> step = first.plan();
  if (step && std::any_of(step->touches.begin(), step->touches.end(), is_touched)) return false;

  Operation operation = std::move(first);
  waiting_bytes_ -= operation.bytes;
  waiting_.pop_front();
  if (!step) {
    answers.emplace_back(std::move(operation.done), step.error());
  } else if (step->change.empty()) {
    if (step->apply) step->apply();
    answers.emplace_back(std::move(operation.done), Result<void>());
  } else {
    touched.insert(operation.touches.begin(), operation.touches.end());
    touched.insert(step->touches.begin(), step->touches.end());
    round.push_back({std::move(*step), std::move(operation.done)});
  }
  return true;
}

void ChangeQueue::begin() {
  busy_ = true;
  Round round;
  std::set<std::string> touched;
  Answers answers;
  while (!waiting_.empty() && round.size() < kMaxRound && take(round, touched, answers)) {
  }
  if (round.empty()) {
    busy_ = false;
  } else {
    metrics::counter("fyr.agent.disk_rounds").add();
    runtime_.post(disk_thread_, [this, disk = disk_, round = std::move(round)]() mutable {
      std::vector<Persistence::Change> changes;
      changes.reserve(round.size());
      for (Planned& planned : round) changes.push_back(std::move(planned.step.change));
      auto results = disk->write(changes);
      runtime_.post(thread_, [this, round = std::move(round), results = std::move(results)] {
        written(round, results);
      });
    });
  }
  // Last: an answer may bring the next operation.
  for (auto& [done, result] : answers) done(std::move(result));
}

void ChangeQueue::written(Round round, const std::vector<Result<void>>& results) {
  bool any = false;
  for (std::size_t i = 0; i < round.size(); ++i) {
    if (!results[i]) continue;
    if (round[i].step.apply) round[i].step.apply();
    any = true;
  }
  if (any) applied_();
  for (std::size_t i = 0; i < round.size(); ++i) {
    // Our own trouble, whatever the file system called it.
    round[i].done(
        results[i] ? Result<void>()
                   : fail(ErrorCode::Internal, "not kept on disk: " + results[i].error().message));
  }
  busy_ = false;
  if (stopped_) return std::exchange(stopped_, nullptr)();
  if (!waiting_.empty()) begin();
}

}  // namespace fyr::agent
