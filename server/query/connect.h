// What a registration says about Consul Connect. Nothing here speaks it; the lists show it.
#pragma once

#include <string>
#include <string_view>

#include "registry.pb.h"

namespace fyr::server {

// The service a Connect proxy stands in front of, "" for anything else.
std::string proxy_destination(const pb::ServiceInstance& service);
// `service`, in lower case, can be reached over Connect through this instance.
bool speaks_connect_for(const pb::ServiceInstance& instance, std::string_view service);

}  // namespace fyr::server
