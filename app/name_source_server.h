// DNS names from the state of a server in this process: every answer is local and at once, with or
// without a leader. Only after a start names are waited for until the server has caught up with
// what was committed before.
//
// Threading: from any io thread; `server` and `runtime` must outlive it, and the server must have
// been stopped before it goes.
#pragma once

#include <memory>

#include "base/io/runtime.h"
#include "server/dns/name_source.h"
#include "server/server.h"

namespace fyr::app {

// The records of at most `max_services` services are kept ready; a service's are made again when
// its index moved.
std::unique_ptr<dns::NameSource> make_state_name_source(server::Server& server,
                                                        io::Runtime& runtime,
                                                        std::size_t max_services = 16384);

}  // namespace fyr::app
