// User events, spread like news of members but after them: small messages of anybody for all, each
// told once to its receivers. What is lost to a member for good (it was away) is not repeated.
//
// Every event has a Lamport time (Lamport 1978): later than all its sender had seen. Events more
// than kWindow behind the newest are taken for old, so that what was seen need not be remembered
// for ever.
//
// Pure; owned by the core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "agent/swim/broadcast.h"
#include "agent/swim/wire.h"

namespace fyr::agent {

class EventSpread {
 public:
  static constexpr std::uint64_t kWindow = 512;
  static constexpr std::size_t kMaxQueued = 64;  // beyond them the oldest is spread no further

  // A new event of ours; `nonce` tells apart events of one time.
  swim::Event fire(std::string payload, std::uint64_t nonce);
  // True if it was not seen before; then it is passed on.
  bool receive(const swim::Event& event);
  // The time another member has seen.
  void witness(std::uint64_t time) { time_ = time > time_ ? time : time_; }

  std::uint64_t time() const { return time_; }
  bool empty() const { return queue_.empty(); }
  std::size_t size() const { return queue_.size(); }
  void take(std::string& out, std::size_t room, int limit) { queue_.take(out, room, limit); }
  void drop_queued();

 private:
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // time, nonce
  void push(const swim::Event& event);

  std::uint64_t time_ = 0;
  std::set<Key> seen_;  // within the window
  BroadcastQueue queue_;
  std::deque<std::string> order_;  // of what was queued
};

}  // namespace fyr::agent
