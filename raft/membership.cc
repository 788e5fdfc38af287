// Changes of the members by joint consensus (raft.md §7; thesis §4).
#include <algorithm>

#include "raft/core.h"

namespace fyr::raft {

void Core::configuration_changed() {
  if (role_ == Role::Leader) keep_peers();
}

// Everybody in the newest configuration but us.
void Core::keep_peers() {
  for (const Member& member : configuration().members) {
    if (member.id == config_.self || peer(member.id) != nullptr) continue;
    Progress fresh;
    fresh.id = member.id;
    fresh.next = log_.last().next();
    fresh.contact = now_;  // time to answer
    peers_.push_back(std::move(fresh));
  }
}

void Core::append_configuration(const Configuration& configuration) {
  append(EntryType::Config,
         std::make_shared<const std::string>(encode_configuration(configuration)));
}

void Core::change_configuration(Instant now, const ConfigChange& change) {
  advance(now);
  changes_.emplace_back(change.id, fail(ErrorCode::Unsupported, "not yet"));
}
void Core::found(Instant now, std::uint64_t id, const Configuration&) {
  advance(now);
  changes_.emplace_back(id, fail(ErrorCode::Unsupported, "not yet"));
}
void Core::consider_leave() {}
void Core::finish_change() {}
void Core::drop_removed_peers() {}

}  // namespace fyr::raft
