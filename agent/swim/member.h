// A member of the cluster as everybody outside the gossip core sees it. Values only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace fyr::agent {

enum class MemberState { Alive, Suspect, Failed, Leaving, Left };

std::string_view to_string(MemberState state);  // "alive", "suspect", ...

// The number Consul shows for a state in /v1/agent/members (serf): alive 1, leaving 2, left 3,
// failed 4. Suspect shows as alive.
int to_serf_status(MemberState state);

using Tags = std::map<std::string, std::string>;

struct Member {
  std::string name;
  std::string address;  // literal
  std::uint16_t port = 0;
  MemberState state = MemberState::Alive;
  std::uint64_t incarnation = 0;
  Tags tags;  // role, dc, id, site, rpc_addr, build, vsn, ...
};

}  // namespace fyr::agent
