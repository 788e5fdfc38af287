// The last user events this agent has seen: a ring of 256, each with a number that only grows and
// serves as index. Gossip carries fired events to all agents, the firing one included.
//
// Pure but for the ids given in. Threading: one owner.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fyr::agent {

struct UserEvent {
  std::string id;  // UUID
  std::string name;
  std::string payload;
  std::string node_filter;  // regular expressions; empty: all
  std::string service_filter;
  std::string tag_filter;
  std::uint64_t time = 0;    // Lamport time, the same at every agent
  std::uint64_t number = 0;  // the agent's own
};

// Texts are Consul's; Internal answers 500, as there.
Result<void> validate(const UserEvent& event);

// As gossip carries them. Corrupt: not an event.
std::string encode_event(const UserEvent& event);
Result<UserEvent> decode_event(std::uint64_t time, const std::string& bytes);

// Whether the event is for a node of this name with these services (name, tags).
struct NamedService {
  std::string name;
  std::vector<std::string> tags;
};
bool is_for(const UserEvent& event, const std::string& node,
            const std::vector<NamedService>& services);

class EventRing {
 public:
  void add(UserEvent event);
  // Oldest first; all names if `name` is empty.
  std::vector<const UserEvent*> list(std::string_view name) const;
  // Of the newest event in that list; 1 if there is none.
  std::uint64_t index(std::string_view name) const;

 private:
  static constexpr std::size_t kSize = 256;
  std::deque<UserEvent> events_;
  std::uint64_t last_ = 1;
};

void append_json(std::string& out, const UserEvent& event, bool with_time);

}  // namespace fyr::agent
