// DNS names on an agent machine: services from the watch client's views, nodes asked of a server,
// servers from gossip.
//
// Threading: from any io thread; `watch` and `membership` must outlive it.
#pragma once

#include <memory>

#include "agent/swim/membership.h"
#include "agent/watch_client.h"
#include "base/io/runtime.h"
#include "server/dns/name_source.h"

namespace fyr::app {

std::unique_ptr<dns::NameSource> make_agent_name_source(agent::WatchClient& watch,
                                                        io::Runtime& runtime,
                                                        agent::Membership& membership);

}  // namespace fyr::app
