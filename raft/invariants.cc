#include "raft/invariants.h"

#include <algorithm>

namespace fyr::raft {
namespace {

using Broken = std::optional<std::string>;

// No-ops, configurations: never refused, and small.
constexpr std::size_t kOwnEntries = 64u << 10;

std::string text(Index index) {
  return std::to_string(index.value);
}

Broken check_runs(const CoreView& now) {
  Index previous_first = now.base;
  Term previous_term{};
  for (const TermRun& run : now.runs) {
    if (run.first <= previous_first) return "I10: term runs do not rise at " + text(run.first);
    if (run.term <= previous_term) return "I10: terms fall at " + text(run.first);
    previous_first = run.first;
    previous_term = run.term;
  }
  if (now.runs.empty() != (now.base == now.last)) return "I10: term runs do not cover the log";
  if (!now.runs.empty() && now.runs.front().first != now.base.next()) {
    return "I10: term runs do not start at the first entry";
  }
  return std::nullopt;
}

// Entries both views still know must have the same terms.
bool same_prefix(const CoreView& a, const CoreView& b) {
  const auto term_at = [](const CoreView& view, Index index) {
    Term found{};
    for (const TermRun& run : view.runs) {
      if (run.first <= index) found = run.term;
    }
    return found;
  };
  const Index low = std::max(a.base, b.base).next();
  const Index high = std::min(a.last, b.last);
  if (low > high) return true;
  // Terms change only where a run begins, in one or the other.
  const auto agree_at_runs_of = [&](const CoreView& view) {
    return std::ranges::all_of(view.runs, [&](const TermRun& run) {
      return run.first < low || run.first > high || term_at(a, run.first) == term_at(b, run.first);
    });
  };
  return term_at(a, low) == term_at(b, low) && agree_at_runs_of(a) && agree_at_runs_of(b);
}

}  // namespace

Broken Invariants::check(CoreView now) {
  Broken broken = check_shape(now);
  if (!broken && before_) broken = check_step(*before_, now);
  before_ = std::move(now);
  return broken;
}

Broken Invariants::check_shape(const CoreView& now) const {
  if (Broken broken = check_runs(now)) return broken;
  if (now.base > std::max(now.durable_applied, now.activating))
    return "I10: the log was cut above the durable state";
  if (now.durable_applied > now.applied) return "I10: durable_applied > applied";
  if (now.applied > now.handed) return "I10: applied what was not handed out";
  if (now.activating != Index{} && now.activating < now.base) return "I10: activates the past";
  if (now.handed > now.commit) return "D5: handed out uncommitted entries";
  if (now.handed > now.durable) return "D5: handed out entries that are not durable";
  if (now.commit > now.last) return "I10: commit > last";
  if (now.durable > now.last) return "I10: durable > last";
  if (now.last_term > now.hard.term) return "I10: the log is of a later term than the node";
  if (now.role == Role::Leader && now.durable_hard.term != now.hard.term) {
    return "D2: leads in a term that is not durable";
  }
  if (now.waiting_reads > config_.max_waiting_reads) return "I18: too many waiting reads";
  return std::nullopt;
}

Broken Invariants::check_step(const CoreView& before, const CoreView& now) const {
  if (now.hard.term < before.hard.term) return "I9: the term fell";
  if (now.durable_hard.term < before.durable_hard.term) return "I9: the durable term fell";
  if (now.commit < before.commit) return "I9: commit fell";
  if (now.applied < before.applied) return "I9: applied fell";
  if (now.durable_applied < before.durable_applied) return "I9: durable_applied fell";
  if (now.base < before.base) return "I9: the base of the log fell";
  if (now.hard.term == before.hard.term && before.hard.voted_for.value != 0 &&
      now.hard.voted_for != before.hard.voted_for) {
    return "I2: the vote changed within a term";
  }
  const bool led =
      before.role == Role::Leader && now.role == Role::Leader && before.hard.term == now.hard.term;
  // What comes with a leadership, or from a leader, is not a matter of choice.
  if (led && now.unapplied_bytes > before.unapplied_bytes &&
      now.unapplied_bytes > config_.max_unapplied_bytes + config_.max_entry_bytes + kOwnEntries) {
    return "I18: too many unapplied bytes";
  }
  if (led && now.last < before.last) return "I3: a leader's log became shorter";
  if (led && !same_prefix(before, now)) return "I3: a leader's log was changed";
  if (led && now.durable < before.durable) return "I9: a leader's durable index fell";
  return std::nullopt;
}

}  // namespace fyr::raft
