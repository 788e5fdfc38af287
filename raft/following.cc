// The follower's side of replication (raft.md §4; paper §5.3).
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"
#include "raft/mutation.h"

namespace fyr::raft {

// ---- own log ----------------------------------------------------------------------------------

void Core::append_entry(Entry entry) {
  const std::size_t cost = entry_cost(entry);
  unapplied_.push_back(cost);
  unapplied_bytes_ += cost;
  retention_.appended(entry.index, cost);
  const Index index = entry.index;
  const bool configures = entry.type == EntryType::Config;
  if (configures) {
    auto decoded = decode_configuration(*entry.data);
    CHECK_MSG(decoded.has_value(), "was decoded before");
    configurations_.emplace_back(index, std::move(*decoded));
  }
  PersistBatch& write = batch();
  write.entries.push_back(entry);
  log_.append(std::move(entry), write.id);
  if (configures) configuration_changed();  // in force when appended (raft.md §7)
}

// Entries >= index vanish: another leader's took their place.
void Core::truncate_from(Index index) {
  CHECK_MSG(index > commit_, "a committed entry would be overwritten");
  PersistBatch& write = batch();
  const Index on_disk =
      write.entries.empty() ? log_.last() : write.entries.front().index.previous();
  while (!write.entries.empty() && write.entries.back().index >= index) write.entries.pop_back();
  if (index <= on_disk) write.truncate_from = index;
  while (!unapplied_.empty() && unapplied_from_.value + unapplied_.size() > index.value) {
    unapplied_bytes_ -= unapplied_.back();
    unapplied_.pop_back();
  }
  unapplied_from_ = std::min(unapplied_from_, index);
  retention_.truncated_from(index);
  log_.truncate_from(index);
  bool undone = false;
  while (configurations_.size() > 1 && configurations_.back().first >= index) {
    configurations_.pop_back();
    undone = true;
  }
  if (undone) configuration_changed();
}

// ---- appends ----------------------------------------------------------------------------------

bool Core::well_formed(const Append& body, Term term) const {
  Index index = body.prev;
  Term last = body.prev_term;
  for (const Entry& entry : body.entries) {
    index = index.next();
    if (entry.index != index || entry.term < last || entry.term > term) return false;
    last = entry.term;
    if (entry.type == EntryType::Noop) continue;
    if (entry.type == EntryType::App && !entry.data) return false;
    if (entry.type == EntryType::Config && (!entry.data || !decode_configuration(*entry.data))) {
      return false;
    }
  }
  return last <= term;
}

AppendReply Core::append_reply(const Append& body) const {
  AppendReply out;
  out.prev = body.prev;
  out.round = body.round;
  out.durable_last = log_.durable();
  out.disk = disk_.state(now_);
  out.quarantined = quarantine_.has_value();
  return out;
}

void Core::handle(const Message& message, Append& body) {
  if (message.term < hard_.term) {
    reply(message, append_reply(body));  // our term, so that it steps down (D1)
    return;
  }
  if (!follow(message) || installing_) return;
  if (!well_formed(body, message.term)) {
    ++protocol_errors_;
    return;
  }
  held_by_all_ = std::max(held_by_all_, body.held_by_all);
  const bool blind = mutated(Mutation::M27) && body.prev_term == Term{};
  if (body.prev >= commit_ && log_.term_at(body.prev) != body.prev_term && !blind) {
    reject(message, body);
  } else {
    accept_entries(message, body);
  }
}

void Core::reject(const Message& message, const Append& body) {
  AppendReply out = append_reply(body);
  // Nothing committed has to be probed: the leader has all of it.
  out.hint = std::max(commit_, log_.last_at_most(body.prev, body.prev_term));
  out.hint_term = *log_.term_at(out.hint);
  reply(message, out);
}

void Core::accept_entries(const Message& message, Append& body) {
  const Index reach(body.prev.value + body.entries.size());
  for (Entry& entry : body.entries) {
    const std::optional<Term> known = log_.term_at(entry.index);
    if (entry.index <= commit_) {
      // Below the base nothing is known any more, and it is committed.
      CHECK_MSG(!known || *known == entry.term, "a committed entry differs from the leader's");
      continue;
    }
    if (known == entry.term) {
      const Entry* cached = log_.find_cached(entry.index);
      const bool same = cached == nullptr || !cached->data || !entry.data ||
                        cached->data == entry.data || *cached->data == *entry.data;
      CHECK_MSG(same, "two entries with one index and one term");
      continue;
    }
    if (known) truncate_from(entry.index);  // a real conflict; never because less came
    append_entry(std::move(entry));
  }
  if (mutated(Mutation::M14) && reach >= commit_ && reach < log_.last())
    truncate_from(reach.next());
  // What this message has shown to be equal, and not our own last entry.
  const Index agreed = std::max(commit_, reach);
  verified_ = std::max(verified_, agreed);
  commit_to(std::min(body.commit, mutated(Mutation::M12) ? log_.last() : agreed));
  AppendReply out = append_reply(body);
  out.success = true;
  out.match = agreed;
  reply(message, out, mutated(Mutation::M04) ? WriteId{} : log_.write_of(agreed));  // D3
}

// ---- heartbeats -------------------------------------------------------------------------------

void Core::handle(const Message& message, const Heartbeat& body) {
  HeartbeatReply out;
  out.round = body.round;
  if (message.term >= hard_.term) {
    if (!follow(message)) return;
    held_by_all_ = std::max(held_by_all_, body.held_by_all);
    // Its commit is bounded by what we acknowledged; after a start that may be more than is left
    // here, so it counts only as far as this leader's appends went in this life.
    const Index most = mutated(Mutation::M13) ? log_.last() : verified_;
    if (!installing_) commit_to(std::min(body.commit, most));
  }
  out.durable_last = log_.durable();
  out.disk = disk_.state(now_);
  out.quarantined = quarantine_.has_value();
  out.check = check_;
  out.digest = digest_;
  reply(message, out);
}

void Core::end_quarantine_if_whole() {
  if (!quarantine_ || quarantine_ends_ != WriteId{} || installing_) return;
  if (leader_ == NodeId{} || leader_ == config_.self) return;
  // An entry of the serving leader's own term, committed, compared with it and durable here.
  const Index held = std::min({commit_, log_.durable(), verified_});
  if (log_.term_at(held) != hard_.term) return;
  if (held < quarantine_->index && hard_.term <= quarantine_->term) return;
  batch().end_quarantine = true;
  quarantine_ends_ = batch().id;
}

}  // namespace fyr::raft
