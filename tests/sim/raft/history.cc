#include "tests/sim/raft/history.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::raft::sim {
namespace {
std::string named(std::uint64_t attempt) {
  return "attempt " + std::to_string(attempt);
}
}  // namespace

std::uint64_t History::begin_write() {
  attempts_.emplace_back();
  return attempts_.size();  // from 1 on
}

void History::committed(std::uint64_t attempt, Index index) {
  Attempt& at = attempts_.at(attempt - 1);
  if (at.committed != Index{}) {
    broken("I15", named(attempt) + " is committed twice, at " + std::to_string(at.committed.value) +
                      " and " + std::to_string(index.value));
  }
  at.committed = index;
  if (at.state == State::Failed) {
    broken("I15", named(attempt) + " was answered as failed and is committed at " +
                      std::to_string(index.value));
  }
  if (at.state == State::Unknown) ++unknown_committed_;
}

void History::write_succeeded(std::uint64_t attempt, Index index) {
  Attempt& at = attempts_.at(attempt - 1);
  if (at.state == State::Succeeded) broken("I15", named(attempt) + " was answered twice");
  if (at.committed != index) {
    broken("D9", named(attempt) + " was acknowledged at " + std::to_string(index.value) +
                     " but is committed at " + std::to_string(at.committed.value));
  }
  at.state = State::Succeeded;
  floor_ = std::max(floor_, index);
  ++writes_;
}

void History::write_failed(std::uint64_t attempt) {
  Attempt& at = attempts_.at(attempt - 1);
  // An answer may come after the client gave up.
  const bool open = at.state == State::Open || at.state == State::Unknown;
  if (!open) broken("I15", named(attempt) + " was answered twice");
  if (at.committed != Index{}) {
    broken("I15", named(attempt) + " is committed at " + std::to_string(at.committed.value) +
                      " and answered as failed");
  }
  at.state = State::Failed;
  ++failures_;
}

void History::write_unknown(std::uint64_t attempt) {
  Attempt& at = attempts_.at(attempt - 1);
  if (at.state != State::Open) return;
  at.state = State::Unknown;
  ++unknowns_;
  if (at.committed != Index{}) ++unknown_committed_;
}

void History::read_succeeded(Index floor_at_begin, Index index, Index state) {
  ++reads_;
  if (index < floor_at_begin) {
    broken("I13", "a read returned index " + std::to_string(index.value) +
                      ", but somebody had seen " + std::to_string(floor_at_begin.value));
  }
  if (state < index) {
    broken("R6", "a read was granted at " + std::to_string(index.value) + " by a state at " +
                     std::to_string(state.value));
  }
  floor_ = std::max(floor_, index);
}

}  // namespace fyr::raft::sim
