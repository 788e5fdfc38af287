// When sessions with a TTL end.
//
// A session ends when it was not renewed for twice its TTL: clients ask for half of what they mean
// (Consul's rule, they depend on it). Timers belong to the leader; a new leader starts every one
// anew. A session that is being ended can no longer be renewed: its holder must not believe in a
// lock that is about to go.
//
// Pure: time comes in as an argument. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace fyr::server {

struct SessionTtl {
  std::string id;
  Duration ttl{};
};

class SessionTimers {
 public:
  // The sessions there are now: new ones start, those not named are forgotten.
  void set_sessions(const std::vector<SessionTtl>& sessions, Instant now);
  bool renew(std::string_view id, Instant now);  // false: unknown or ending
  bool contains(std::string_view id) const { return timers_.contains(id); }
  // All start anew: after a change of leadership or a pause of this process.
  void restart(Instant now);
  void clear();

  // Sessions that end now. Each comes again, with growing delay (1 s to 30 s), until it is gone
  // from the list: ending it may fail.
  std::vector<std::string> take_expired(Instant now);
  std::optional<Instant> next_deadline() const;
  std::size_t size() const { return timers_.size(); }

 private:
  struct Timer {
    Duration ttl{};
    Instant deadline{};
    int attempts = 0;  // to end it
  };
  using Timers = std::map<std::string, Timer, std::less<>>;
  void arm(Timers::iterator timer, Instant deadline);

  Timers timers_;
  std::set<std::pair<Instant, std::string>> deadlines_;
};

}  // namespace fyr::server
