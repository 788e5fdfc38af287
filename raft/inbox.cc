#include "raft/inbox.h"

#include "base/metrics.h"

namespace fyr::raft {
namespace {

std::size_t cost(const Message& message) {
  std::size_t bytes = sizeof(Message);
  if (const auto* append = std::get_if<Append>(&message.body)) {
    for (const Entry& entry : append->entries) bytes += entry_cost(entry);
  }
  return bytes;
}

}  // namespace

template <class F>
Inbox::Left Inbox::add(May may, F&& f) {
  std::unique_lock lock(mutex_);
  if (stopped_) return {fail(ErrorCode::Stopped, "stopping"), false, {}};
  if (auto error = f()) return {std::move(error), false, {}};
  if (may != May::Never && !busy_ && !awake_) {
    const Instant at = now();
    if (may == May::Always || !until_ || at < *until_) {
      begin_turn();
      return {std::nullopt, true, at};
    }
  }
  wake(lock);
  return {};
}

template <class T>
std::optional<Error> Inbox::add_request(std::vector<T>& requests, T& request) {
  return add(May::Never,
             [&]() -> std::optional<Error> {
               if (requests.size() >= kMaxRequests) {
                 return fail(ErrorCode::ResourceExhausted, "too many requests are waiting");
               }
               requests.push_back(std::move(request));
               return std::nullopt;
             })
      .error;
}

// Under the lock.
void Inbox::begin_turn() {
  busy_ = true;
  awake_ = false;
  urgent_ = false;
  proposal_bytes_ = 0;
  message_bytes_ = 0;
  input_.merge(waiting_);
}

// Who has the turn looks at awake_ when it gives it back.
void Inbox::wake(std::unique_lock<std::mutex>& lock) {
  const bool sleeps = !awake_ && !busy_;
  awake_ = true;
  lock.unlock();
  if (sleeps) wake_.notify_one();
}

Inbox::Left Inbox::propose(DriverInput::Propose& proposal) {
  return add(May::NothingDue, [&]() -> std::optional<Error> {
    const std::size_t size = proposal.data->size() + 64;
    if (proposal_bytes_ + size > kMaxProposalBytes) {
      return fail(ErrorCode::ResourceExhausted, "too many writes are waiting");
    }
    proposal_bytes_ += size;
    waiting_.proposals.push_back(std::move(proposal));
    return std::nullopt;
  });
}

Inbox::Left Inbox::messages(std::vector<Message> got) {
  static metrics::Counter& dropped = metrics::counter("fyr.raft.messages_dropped");
  std::size_t bytes = 0;
  for (const Message& message : got) bytes += cost(message);
  return add(May::Always, [&]() -> std::optional<Error> {
    const bool full = waiting_.messages.size() + got.size() > kMaxMessages ||
                      message_bytes_ + bytes > kMaxMessageBytes;
    if (full) {
      dropped.add(got.size());
      return std::nullopt;
    }
    message_bytes_ += bytes;
    if (waiting_.messages.empty()) {
      waiting_.messages.swap(got);
    } else {
      for (Message& message : got) waiting_.messages.push_back(std::move(message));
    }
    return std::nullopt;
  });
}

Inbox::Left Inbox::written(WriteId upto) {
  return add(May::Always, [&]() -> std::optional<Error> {
    waiting_.written = upto;
    return std::nullopt;
  });
}

std::optional<Error> Inbox::read(DriverInput::Read& read) {
  return add(May::Never,
             [&]() -> std::optional<Error> {
               if (waiting_.reads.size() >= kMaxReads) {
                 return fail(ErrorCode::ResourceExhausted, "too many reads are waiting");
               }
               waiting_.reads.push_back(std::move(read));
               return std::nullopt;
             })
      .error;
}

std::optional<Error> Inbox::change(DriverInput::Change& change) {
  return add_request(waiting_.changes, change);
}
std::optional<Error> Inbox::transfer(DriverInput::Transfer& transfer) {
  return add_request(waiting_.transfers, transfer);
}
std::optional<Error> Inbox::found(DriverInput::Found& found) {
  return add_request(waiting_.founds, found);
}

void Inbox::link(NodeId peer, LinkState state) {
  add(May::Never, [&]() -> std::optional<Error> {
    waiting_.links.emplace_back(peer, state);
    return std::nullopt;
  });
}

void Inbox::applied(Index applied, Index durable, bool urgent) {
  std::lock_guard lock(mutex_);
  waiting_.applied = DriverInput::AppliedTo{applied, durable};
  urgent_ = urgent_ || urgent;
}

bool Inbox::look_at_applied() {
  std::unique_lock lock(mutex_);
  if (stopped_ || !waiting_.applied) return false;
  if (!urgent_ && waiting_.applied->applied < wanted_) return false;
  if (!busy_ && !awake_) {
    begin_turn();
    return true;
  }
  wake(lock);
  return false;
}

void Inbox::fetched(FetchedLog log) {
  add(May::Never, [&]() -> std::optional<Error> {
    waiting_.fetched.push_back(std::move(log));
    return std::nullopt;
  });
}

void Inbox::snapshot(SnapshotEvent event) {
  add(May::Never, [&]() -> std::optional<Error> {
    waiting_.snapshots.push_back(std::move(event));
    return std::nullopt;
  });
}

void Inbox::digest(Index check, std::uint64_t digest) {
  add(May::Never, [&]() -> std::optional<Error> {
    waiting_.digest = DriverInput::Digest{check, digest};
    return std::nullopt;
  });
}

void Inbox::disk_low(bool low) {
  add(May::Never, [&]() -> std::optional<Error> {
    waiting_.disk_low = low;
    return std::nullopt;
  });
}

void Inbox::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  wake(lock);
}

bool Inbox::take() {
  std::unique_lock lock(mutex_);
  while (busy_ || !awake_) {
    // Whoever has the turn says when the next step is due.
    sleeps_ = busy_ ? std::nullopt : until_;
    if (!sleeps_) {
      wake_.wait(lock);
      continue;
    }
    const Duration left = *sleeps_ - now();
    if (left <= Duration::zero()) break;
    wake_.wait_for(lock, left);
  }
  begin_turn();
  return !stopped_;
}

void Inbox::finish(std::optional<Instant> until, Index wanted, bool again) {
  bool notify = false;
  {
    std::lock_guard lock(mutex_);
    busy_ = false;
    until_ = until;
    wanted_ = wanted;
    const bool relevant = waiting_.applied && (urgent_ || waiting_.applied->applied >= wanted);
    awake_ = awake_ || stopped_ || relevant || again || !input_.proposals.empty();
    notify = awake_ || (until_ && (!sleeps_ || *until_ < *sleeps_));
  }
  if (notify) wake_.notify_one();
}

}  // namespace fyr::raft
