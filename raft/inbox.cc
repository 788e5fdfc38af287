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
std::optional<Error> Inbox::add(F&& f) {
  std::unique_lock lock(mutex_);
  if (stopped_) return fail(ErrorCode::Stopped, "stopping");
  auto error = f();
  if (!error) wake(lock);
  return error;
}

template <class T>
std::optional<Error> Inbox::add_request(std::vector<T>& requests, T& request) {
  return add([&]() -> std::optional<Error> {
    if (requests.size() >= kMaxRequests) {
      return fail(ErrorCode::ResourceExhausted, "too many requests are waiting");
    }
    requests.push_back(std::move(request));
    return std::nullopt;
  });
}

void Inbox::wake(std::unique_lock<std::mutex>& lock) {
  const bool sleeps = !awake_;
  awake_ = true;
  lock.unlock();
  if (sleeps) wake_.notify_one();
}

std::optional<Error> Inbox::propose(DriverInput::Propose& proposal) {
  return add([&]() -> std::optional<Error> {
    const std::size_t size = proposal.data->size() + 64;
    if (proposal_bytes_ + size > kMaxProposalBytes) {
      return fail(ErrorCode::ResourceExhausted, "too many writes are waiting");
    }
    proposal_bytes_ += size;
    waiting_.proposals.push_back(std::move(proposal));
    return std::nullopt;
  });
}

std::optional<Error> Inbox::read(DriverInput::Read& read) {
  return add([&]() -> std::optional<Error> {
    if (waiting_.reads.size() >= kMaxReads) {
      return fail(ErrorCode::ResourceExhausted, "too many reads are waiting");
    }
    waiting_.reads.push_back(std::move(read));
    return std::nullopt;
  });
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

void Inbox::messages(std::vector<Message> got) {
  static metrics::Counter& dropped = metrics::counter("fyr.raft.messages_dropped");
  std::size_t bytes = 0;
  for (const Message& message : got) bytes += cost(message);
  add([&]() -> std::optional<Error> {
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

void Inbox::link(NodeId peer, LinkState state) {
  add([&]() -> std::optional<Error> {
    waiting_.links.emplace_back(peer, state);
    return std::nullopt;
  });
}

void Inbox::written(WriteId upto) {
  add([&]() -> std::optional<Error> {
    waiting_.written = upto;
    return std::nullopt;
  });
}

void Inbox::applied(Index applied, Index durable, bool urgent) {
  std::unique_lock lock(mutex_);
  waiting_.applied = DriverInput::AppliedTo{applied, durable};
  if (urgent || applied >= wanted_) wake(lock);
}

void Inbox::fetched(FetchedLog log) {
  add([&]() -> std::optional<Error> {
    waiting_.fetched.push_back(std::move(log));
    return std::nullopt;
  });
}

void Inbox::snapshot(SnapshotEvent event) {
  add([&]() -> std::optional<Error> {
    waiting_.snapshots.push_back(std::move(event));
    return std::nullopt;
  });
}

void Inbox::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  wake(lock);
}

bool Inbox::take(DriverInput& input, std::optional<Instant> until, Index wanted) {
  std::unique_lock lock(mutex_);
  wanted_ = wanted;
  const bool relevant = waiting_.applied && waiting_.applied->applied >= wanted;
  awake_ = awake_ || stopped_ || relevant || !input.proposals.empty();
  while (!awake_) {
    if (!until) {
      wake_.wait(lock);
      continue;
    }
    const Duration left = *until - now();
    if (left <= Duration::zero()) break;
    wake_.wait_for(lock, left);
  }
  awake_ = false;
  proposal_bytes_ = 0;
  message_bytes_ = 0;
  input.merge(waiting_);
  return !stopped_;
}

}  // namespace fyr::raft
