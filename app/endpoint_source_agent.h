// The proxy's endpoints from the agent's watch client: one view in, one complete list out.
#pragma once

#include <memory>

#include "agent/watch_client.h"
#include "proxy/endpoint_source.h"

namespace fyr::app {

// `watch` must outlive it.
std::unique_ptr<proxy::EndpointSource> make_agent_endpoint_source(agent::WatchClient& watch);

// The catalog's word on one instance as the proxy needs it.
proxy::EndpointInfo to_endpoint(const pb::ServiceEntry& entry);

}  // namespace fyr::app
