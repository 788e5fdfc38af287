#include "raft/member_change.h"

#include <algorithm>
#include <set>

namespace fyr::raft {
namespace {

constexpr std::size_t kMaxText = 255;

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

void erase(std::vector<NodeId>& ids, NodeId id) {
  std::erase(ids, id);
}

std::string in_words(NodeId id) {
  return "server " + std::to_string(id.value);
}

std::optional<Error> refuse_fields(const Member& member) {
  const auto bad = [&](const char* field, const char* why) {
    return fail(ErrorCode::InvalidArgument, std::string(field) + ": " + why);
  };
  if (member.id == NodeId{}) return bad("id", "must not be 0");
  if (member.address.empty()) return bad("address", "must not be empty");
  if (member.name.size() > kMaxText) return bad("name", "longer than 255 bytes");
  if (member.address.size() > kMaxText) return bad("address", "longer than 255 bytes");
  if (member.site.size() > kMaxText) return bad("site", "longer than 255 bytes");
  return std::nullopt;
}

std::optional<Error> put(Configuration& to, const Member& member) {
  if (auto error = refuse_fields(member)) return error;
  const auto found = std::ranges::find(to.members, member.id, &Member::id);
  if (found == to.members.end()) {
    to.members.push_back(member);
    to.learners.push_back(member.id);
    return std::nullopt;
  }
  if (found->kind != member.kind && contains(to.voters, member.id)) {
    return fail(ErrorCode::InvalidArgument, "kind: " + in_words(member.id) + " is a voter");
  }
  *found = member;
  return std::nullopt;
}

std::optional<Error> promote(Configuration& to, NodeId id) {
  const Member* member = to.find(id);
  if (member == nullptr) return fail(ErrorCode::NotFound, in_words(id) + " is no member");
  if (member->kind == MemberKind::ReadServer) {
    return fail(ErrorCode::InvalidArgument, in_words(id) + " is a read server: it never votes");
  }
  if (contains(to.voters, id)) return std::nullopt;
  erase(to.learners, id);
  to.voters.push_back(id);
  return std::nullopt;
}

std::optional<Error> demote(Configuration& to, NodeId id) {
  if (to.find(id) == nullptr) return fail(ErrorCode::NotFound, in_words(id) + " is no member");
  if (contains(to.learners, id)) return std::nullopt;
  erase(to.voters, id);
  to.learners.push_back(id);
  return std::nullopt;
}

void remove(Configuration& from, NodeId id) {
  erase(from.voters, id);
  erase(from.learners, id);
  std::erase_if(from.members, [id](const Member& member) { return member.id == id; });
}

std::optional<Error> refuse_contradiction(const ConfigChange& change) {
  std::set<NodeId> seen;
  for (const auto* ids : {&change.promote, &change.demote, &change.remove}) {
    for (const NodeId id : *ids) {
      if (!seen.insert(id).second) {
        return fail(ErrorCode::InvalidArgument, in_words(id) + " is named twice");
      }
    }
  }
  for (const Member& member : change.put) {
    if (contains(change.remove, member.id)) {
      return fail(ErrorCode::InvalidArgument, in_words(member.id) + " is named twice");
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Configuration> changed(const Configuration& before, const ConfigChange& change,
                              const CoreConfig& limits) {
  if (auto error = refuse_contradiction(change)) return *error;
  Configuration out = before;
  for (const Member& member : change.put) {
    if (auto error = put(out, member)) return *error;
  }
  for (const NodeId id : change.promote) {
    if (auto error = promote(out, id)) return *error;
  }
  for (const NodeId id : change.demote) {
    if (auto error = demote(out, id)) return *error;
  }
  for (const NodeId id : change.remove) remove(out, id);
  if (out.voters.empty()) return fail(ErrorCode::InvalidArgument, "no voter would be left");
  if (out.voters.size() > limits.max_voters) {
    return fail(ErrorCode::InvalidArgument,
                "more than " + std::to_string(limits.max_voters) + " voters");
  }
  if (out.learners.size() > limits.max_learners) {
    return fail(ErrorCode::InvalidArgument,
                "more than " + std::to_string(limits.max_learners) + " servers without a vote");
  }
  return out;
}

bool same_voters(const Configuration& a, const Configuration& b) {
  return std::set<NodeId>(a.voters.begin(), a.voters.end()) ==
         std::set<NodeId>(b.voters.begin(), b.voters.end());
}

Configuration joint(const Configuration& before, const Configuration& after) {
  Configuration out = after;
  out.outgoing = before.voters;
  for (const NodeId id : out.outgoing) {
    const Member* member = before.find(id);
    if (member != nullptr && out.find(id) == nullptr) out.members.push_back(*member);
  }
  return out;
}

Configuration left(const Configuration& joint) {
  Configuration out = joint;
  out.outgoing.clear();
  std::erase_if(out.members, [&out](const Member& member) {
    return !contains(out.voters, member.id) && !contains(out.learners, member.id);
  });
  return out;
}

}  // namespace fyr::raft
