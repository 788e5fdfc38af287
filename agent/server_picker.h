// Chooses the server an agent talks to: members tagged role=consul with their rpc_addr, and the
// addresses the operator gave (retry_join hosts with the server port) until gossip knows better.
//
// Order: same site first, then the rest, each group shuffled once per agent so that agents spread
// over servers. The current server is kept until a call fails or its member fails; then the next
// one is taken at once and the failed one is last for 10 s.
//
// Threading: every method from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/channel_source.h"
#include "agent/swim/membership.h"

namespace fyr::agent {

struct ServerPickerOptions {
  std::vector<std::string> addresses;  // host:port, tried while no member is known
  std::string datacenter = "dc1";
  std::string site;  // of this agent; "" = all alike
  std::uint64_t seed = 0;
};

class ServerPicker : public ChannelSource {
 public:
  // Follows the members' changes for its whole life; both must outlive the other's callbacks, so
  // stop the membership first. `membership` may be null.
  static std::shared_ptr<ServerPicker> make(ServerPickerOptions options, Membership* membership);
};

}  // namespace fyr::agent
