// News waiting to be spread by riding on other packets (SWIM, Das et al. 2002, section 4.1). One
// entry a member: newer news replaces older. Fewest transmissions go first, then the longest; an
// entry is dropped after mult x ceil(log10(n + 1)) transmissions. Holds at most one entry per
// known member, so it needs no cap of its own.
//
// Pure; owned by the core.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace fyr::agent {

int retransmit_limit(int mult, std::size_t members);

class BroadcastQueue {
 public:
  // `urgent` news (a refutation) goes before all others until it was sent once.
  void push(const std::string& node, std::string message, bool urgent = false);
  void drop(const std::string& node);
  // Appends whole messages to `out` while they fit in `room` bytes; each counts as sent once.
  // Returns how many were appended.
  int take(std::string& out, std::size_t room, int limit);
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  bool contains(const std::string& node) const { return entries_.count(node) != 0; }

 private:
  struct Entry {
    std::string message;
    bool urgent = false;
    int sent = 0;
    std::uint64_t serial = 0;
  };
  // (sent, not urgent, -length, -serial, node): begin() is the next to go.
  using Key = std::tuple<int, bool, std::int64_t, std::int64_t, std::string>;
  static Key key_of(const std::string& node, const Entry& entry);

  std::map<std::string, Entry> entries_;
  std::set<Key> order_;
  std::uint64_t next_serial_ = 0;
};

}  // namespace fyr::agent
