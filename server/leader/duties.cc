#include "server/leader/duties.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/time.h"
#include "server/leader/session_timers.h"

namespace fyr::server {

namespace {

constexpr Duration kPause = std::chrono::seconds(5);
constexpr std::size_t kEndedPerCommand = 64;

std::vector<SessionTtl> sessions_with_ttl(const SharedGuarded<StateStore>& state) {
  const auto sessions = state.read([](const StateStore& store) { return store.sessions(); });
  std::vector<SessionTtl> out;
  for (const SessionRow& row : sessions.rows)
    if (row->ttl_ns() > 0) out.push_back({row->id(), Duration(row->ttl_ns())});
  return out;
}

}  // namespace

struct Duties::Impl {
  Impl(const SharedGuarded<StateStore>& the_state, Propose the_propose)
      : state(the_state), propose(std::move(the_propose)) {}

  const SharedGuarded<StateStore>& state;
  const Propose propose;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false, leading = false;
  bool sessions_dirty = false, sessions_listing = false, tombstones_dirty = false;
  SessionTimers timers;
  std::thread thread;

  void run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      const Instant planned = wait(lock);
      if (stopping) return;
      const Instant time = now();
      if (!leading) continue;
      if (time - planned > kPause) {
        log::warn("leader", "this process was paused for {}; session timers start anew",
                  format_duration(time - planned));
        timers.restart(time);
      }
      work(lock, time);
    }
  }

  // Until something is to be done; returns when it should have woken at the latest.
  Instant wait(std::unique_lock<std::mutex>& lock) {
    const auto due = [this] {
      return stopping || (leading && (sessions_dirty || tombstones_dirty));
    };
    while (!due()) {
      const auto deadline = leading ? timers.next_deadline() : std::nullopt;
      if (!deadline) {
        wake.wait(lock);
        continue;
      }
      const Duration rest = *deadline - now();
      // The clock of the wait stands still while the machine sleeps: look at least every second.
      if (rest > Duration::zero())
        wake.wait_for(lock, std::min<Duration>(rest, std::chrono::seconds(1)));
      else
        return *deadline;
    }
    return now();
  }

  void work(std::unique_lock<std::mutex>& lock, Instant time) {
    if (std::exchange(sessions_dirty, false)) {
      // The lock is free meanwhile: renewals must not wait for readers of the state.
      sessions_listing = true;
      lock.unlock();
      const std::vector<SessionTtl> sessions = sessions_with_ttl(state);
      lock.lock();
      sessions_listing = false;
      if (leading) timers.set_sessions(sessions, time);
    }
    const std::vector<std::string> expired =
        leading ? timers.take_expired(time) : std::vector<std::string>();
    const bool reap = std::exchange(tombstones_dirty, false);
    lock.unlock();
    for (std::size_t at = 0; at < expired.size(); at += kEndedPerCommand)
      end_sessions(expired, at, std::min(expired.size(), at + kEndedPerCommand));
    if (reap) reap_tombstones();
    lock.lock();
  }

  void end_sessions(const std::vector<std::string>& ids, std::size_t from, std::size_t to) {
    pb::Command command;
    for (std::size_t i = from; i < to; ++i)
      command.mutable_batch()->add_commands()->mutable_session_destroy()->set_id(ids[i]);
    log::info("leader", "{} session(s) were not renewed in time and end, first {}", to - from,
              ids[from]);
    // A failure needs no answer: the timers come again.
    propose(std::move(command), [](Result<ApplyResult>) {});
  }

  void reap_tombstones() {
    const StateIndex upto = state.read([](const StateStore& store) {
      if (store.tombstone_count() <= kMaxTombstones) return StateIndex{0};
      return store.reap_index(kMaxTombstones / 2);
    });
    if (upto == 0) return;
    pb::Command command;
    command.mutable_tombstone_reap()->set_upto_index(upto);
    propose(std::move(command), [](Result<ApplyResult>) {});
  }

  void notify(bool Impl::*flag) {
    std::lock_guard lock(mutex);
    if (this->*flag) return;
    this->*flag = true;
    if (leading) wake.notify_one();
  }
};

Duties::Duties(const SharedGuarded<StateStore>& state, Propose propose)
    : impl_(std::make_unique<Impl>(state, std::move(propose))) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Duties::~Duties() {
  stop();
}

void Duties::stop() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->wake.notify_one();
  }
  if (impl_->thread.joinable()) impl_->thread.join();
}

void Duties::set_leading(bool leads) {
  std::lock_guard lock(impl_->mutex);
  if (impl_->leading == leads) return;
  impl_->leading = leads;
  impl_->timers.clear();
  impl_->sessions_dirty = impl_->tombstones_dirty = leads;
  impl_->wake.notify_one();
}

void Duties::sessions_changed() {
  impl_->notify(&Impl::sessions_dirty);
}
void Duties::tombstones_changed() {
  impl_->notify(&Impl::tombstones_dirty);
}

Result<void> Duties::renew(const std::string& session_id) {
  const SessionRow row =
      impl_->state.read([&](const StateStore& store) { return store.session(session_id); });
  const auto gone = [&] {
    return fail(ErrorCode::NotFound, "Session id '" + session_id + "' not found");
  };
  if (!row) return gone();
  if (row->ttl_ns() <= 0) return {};
  std::lock_guard lock(impl_->mutex);
  if (!impl_->leading) return fail(ErrorCode::NotLeader, "this server does not lead");
  if (impl_->timers.renew(session_id, now())) return {};
  // Made a moment ago: its timer starts as soon as the list is read.
  const bool to_come = impl_->sessions_dirty || impl_->sessions_listing;
  if (to_come && !impl_->timers.contains(session_id)) return {};
  return gone();
}

}  // namespace fyr::server
