// DNS names on an agent machine: services from the watch client's views, nodes asked of a server,
// servers from gossip. Prepared queries run on a server.
//
// Threading: from any io thread; `watch` and `membership` must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/swim/membership.h"
#include "agent/watch_client.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"
#include "server/dns/name_source.h"

namespace fyr::app {

// Asks a server for a path of its API; done from any thread.
using AskServer = std::function<void(std::string path, std::string query,
                                     std::function<void(Result<io::HttpResponse>)> done)>;

std::unique_ptr<dns::NameSource> make_agent_name_source(agent::WatchClient& watch,
                                                        io::Runtime& runtime,
                                                        agent::Membership& membership,
                                                        AskServer ask);

}  // namespace fyr::app
