#include "server/leader/session_timers.h"

#include <algorithm>

namespace fyr::server {

namespace {
constexpr Duration kFirstRetry = std::chrono::seconds(1), kLastRetry = std::chrono::seconds(30);
}  // namespace

void SessionTimers::arm(Timers::iterator timer, Instant deadline) {
  deadlines_.erase({timer->second.deadline, timer->first});
  timer->second.deadline = deadline;
  deadlines_.emplace(deadline, timer->first);
}

void SessionTimers::set_sessions(const std::vector<SessionTtl>& sessions, Instant now) {
  std::set<std::string_view> named;
  for (const SessionTtl& session : sessions) {
    named.insert(session.id);
    auto [it, is_new] = timers_.try_emplace(session.id);
    if (!is_new) continue;
    it->second.ttl = session.ttl;
    arm(it, now + 2 * session.ttl);
  }
  for (auto it = timers_.begin(); it != timers_.end();) {
    if (named.contains(it->first)) {
      ++it;
      continue;
    }
    deadlines_.erase({it->second.deadline, it->first});
    it = timers_.erase(it);
  }
}

bool SessionTimers::renew(std::string_view id, Instant now) {
  auto it = timers_.find(id);
  if (it == timers_.end() || it->second.attempts > 0) return false;
  arm(it, now + 2 * it->second.ttl);
  return true;
}

void SessionTimers::restart(Instant now) {
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    it->second.attempts = 0;
    arm(it, now + 2 * it->second.ttl);
  }
}

void SessionTimers::clear() {
  timers_.clear();
  deadlines_.clear();
}

std::vector<std::string> SessionTimers::take_expired(Instant now) {
  std::vector<std::string> expired;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    auto it = timers_.find(deadlines_.begin()->second);
    expired.push_back(it->first);
    const Duration delay = kFirstRetry * (1 << std::min(it->second.attempts, 5));
    ++it->second.attempts;
    arm(it, now + std::min(delay, kLastRetry));
  }
  return expired;
}

std::optional<Instant> SessionTimers::next_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

}  // namespace fyr::server
