// Offering and installing snapshots (raft.md §8).
//
// The leader offers, the follower fetches, verifies and opens what it was offered beside its
// state, and only then the log and the state are exchanged, in one step of the storage.
#include <algorithm>

#include "base/check.h"
#include "raft/core.h"

namespace fyr::raft {
namespace {
constexpr Duration kMakeAgain = std::chrono::seconds(5);
constexpr int kMaxFailures = 3;
}  // namespace

// ---- leader -----------------------------------------------------------------------------------

void Core::consider_snapshots() {
  for (Progress& peer : peers_) {
    if (peer.state != Progress::State::Snapshot) continue;
    const bool forgotten = peer.contact + config_.snapshot_unpin <= now_;
    const bool useless = peer.snapshot && peer.snapshot->index < log_.base();
    if (forgotten || useless) peer.snapshot.reset();
    if (peer.contact + config_.election_min <= now_) continue;  // nobody there to fetch it
    if (!peer.snapshot && snapshot_ && snapshot_->index >= log_.base()) {
      peer.snapshot = snapshot_;  // this one until it is done, whatever is made meanwhile
      peer.failures = 0;
    }
    if (peer.snapshot) {
      offer(peer);
    } else if (!making_snapshot_ && make_snapshot_after_ <= now_) {
      making_snapshot_ = applied_;
      make_snapshot_ = true;
    }
  }
}

// Again and again: an offer may be lost, and so may the news that it was fetched.
void Core::offer(Progress& peer) {
  if (peer.offered != Instant::min() && peer.offered + config_.election_min > now_) return;
  peer.offered = now_;
  send(peer.id, SnapshotOffer{*peer.snapshot, rounds_.current()});
}

// The log behind it is kept, so that who fetched a snapshot can go on from there.
Index Core::pinned_from() const {
  Index out(~std::uint64_t{0});
  if (making_snapshot_) out = *making_snapshot_;
  for (const Progress& peer : peers_) {
    if (peer.snapshot) out = std::min(out, peer.snapshot->index);
  }
  return out;
}

// In any state of the peer, and never backwards.
void Core::handle(const Message& message, const SnapshotDone& body) {
  Progress* known = replying_peer(message);
  if (known == nullptr) return;
  if (!body.installed) {
    if (known->snapshot && known->snapshot->id == body.id && ++known->failures >= kMaxFailures) {
      known->snapshot.reset();  // it may be broken or gone: another one
      if (snapshot_ && snapshot_->id == body.id) snapshot_.reset();
    }
    return;
  }
  if (body.index > log_.last()) {
    ++protocol_errors_;
    return;
  }
  if (log_.term_at(body.index) != body.term) {
    known->snapshot.reset();  // our log begins behind it by now
    return;
  }
  known->acknowledge(body.index, now_);
  if (known->state != Progress::State::Replicate && body.index == known->match) {
    known->replicate();
  }
  advance_commit();
}

// ---- events -----------------------------------------------------------------------------------

void Core::on_snapshot(Instant now, SnapshotEvent event) {
  advance(now);
  const bool fetched = fetching_ && fetching_->snapshot.id == event.snapshot.id;
  switch (event.kind) {
    case SnapshotEvent::Kind::Made:
      making_snapshot_.reset();
      if (!snapshot_ || snapshot_->index < event.snapshot.index) {
        snapshot_ = std::move(event.snapshot);
      }
      consider_snapshots();
      break;
    case SnapshotEvent::Kind::Prepared:
      if (fetched && !installing_) {
        prepared(event);
      } else if (!installing_) {
        drop_snapshot_ = true;
      }
      break;
    case SnapshotEvent::Kind::Failed:
      if (fetched && !installing_) {
        const FetchSnapshot failed = *fetching_;
        drop_fetch();
        send(failed.from, SnapshotDone{failed.snapshot.id, false, Index{}, Term{}});
      } else if (making_snapshot_) {
        making_snapshot_.reset();
        make_snapshot_after_ = now_ + kMakeAgain;
      }
      break;
  }
}

// ---- follower ---------------------------------------------------------------------------------

// Our log as far as it is committed and durable; nothing has to be fetched for that.
void Core::report_position(const Message& offer, const std::string& id) {
  const Index at = std::min(commit_, log_.durable());
  reply(offer, SnapshotDone{id, true, at, *log_.term_at(at)});
}

void Core::handle(const Message& message, const SnapshotOffer& body) {
  const SnapshotMeta& offered = body.snapshot;
  if (message.term < hard_.term) {
    reply(message, SnapshotDone{offered.id, false, Index{}, Term{}});
    return;
  }
  if (!follow(message) || installing_) return;
  if (log_.term_at(offered.index) == offered.term) {
    verified_ = std::max(verified_, offered.index);
    commit_to(offered.index);  // a snapshot holds nothing else, and we have that
  }
  if (offered.index <= commit_) {
    if (fetching_) drop_fetch();
    report_position(message, offered.id);
    return;
  }
  const bool repeated =
      fetching_ && fetching_->from == message.from && fetching_->snapshot == offered;
  if (repeated) return;
  fetching_ = FetchSnapshot{message.from, offered};
  fetch_snapshot_ = fetching_;
}

void Core::drop_fetch() {
  fetching_.reset();
  fetch_snapshot_.reset();
  drop_snapshot_ = true;
}

void Core::prepared(SnapshotEvent& event) {
  installing_ = Install{
      LogBase{fetching_->snapshot.index, fetching_->snapshot.term, std::move(event.configuration)},
      fetching_->snapshot.id, fetching_->from, WriteId{}};
  fetching_.reset();
  consider_install();
}

// What was handed out before may still be read from the log which now goes.
void Core::consider_install() {
  if (!installing_ || installing_->write != WriteId{} || applied_ < handed_) return;
  if (activating_ != Index{}) return;
  PersistBatch& write = new_batch();  // behind whatever was to be written until now
  write.install = installing_->base;
  installing_->write = write.id;
}

// D8: files, pointer and log are durable; only now the leader may know.
void Core::installed() {
  const Install done = std::move(*installing_);
  installing_.reset();
  const LogBase& base = done.base;
  CHECK_MSG(base.index > commit_ && base.index > handed_, "a snapshot of the past");
  const bool keeps = log_.term_at(base.index) == base.term;
  log_.install(base.index, base.term);
  if (keeps) {
    retention_.compacted(base.index);
    while (!configurations_.empty() && configurations_.front().first <= base.index) {
      configurations_.pop_front();
    }
    while (!unapplied_.empty() && unapplied_from_ <= base.index) {
      unapplied_bytes_ -= unapplied_.front();
      unapplied_.pop_front();
      unapplied_from_ = unapplied_from_.next();
    }
  } else {
    retention_ = Retention(config_.retention, base.index);
    configurations_.clear();
    unapplied_.clear();
    unapplied_bytes_ = 0;
    unapplied_from_ = base.index.next();
  }
  configurations_.emplace_front(base.index, base.configuration);
  commit_ = handed_ = activating_ = base.index;
  verified_ = std::max(verified_, base.index);
  activate_ = LogPosition{base.index, base.term};
  configuration_changed();
  send(leader_ == NodeId{} ? done.from : leader_,
       SnapshotDone{done.id, true, base.index, base.term});
}

}  // namespace fyr::raft
