#include "server/leader/founding.h"

#include <algorithm>

namespace fyr::server {

std::optional<std::vector<raft::Member>> voters_to_found(raft::NodeId self, int expect,
                                                         const std::vector<ServerFact>& servers) {
  std::vector<raft::Member> voters;
  for (const ServerFact& server : servers) {
    // Somebody has a cluster already: it will take us in.
    if (server.in_cluster) return std::nullopt;
    if (!server.alive || server.expect != expect || server.member.id == raft::NodeId{}) continue;
    if (server.member.kind == raft::MemberKind::ReadServer) continue;
    voters.push_back(server.member);
  }
  if (expect <= 0 || voters.size() < static_cast<std::size_t>(expect)) return std::nullopt;
  std::ranges::sort(voters, {}, &raft::Member::id);
  if (voters.front().id != self) return std::nullopt;
  return voters;
}

bool Consent::give(raft::NodeId founder, Instant now) {
  if (founder_ != raft::NodeId{} && founder_ != founder && now - given_ < kWord) return false;
  founder_ = founder;
  given_ = now;
  return true;
}

}  // namespace fyr::server
