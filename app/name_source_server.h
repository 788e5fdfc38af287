// DNS names from the state of a server in this process: every answer is local and at once, with or
// without a leader.
//
// Threading: from any io thread; `server` must outlive it.
#pragma once

#include <memory>

#include "server/dns/name_source.h"
#include "server/server.h"

namespace fyr::app {

// The records of at most `max_services` services are kept ready; a service's are made again when
// its index moved.
std::unique_ptr<dns::NameSource> make_state_name_source(const server::Server& server,
                                                        std::size_t max_services = 16384);

}  // namespace fyr::app
