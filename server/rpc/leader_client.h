// LeaderClient over gRPC: one channel for each address, kept while it is used.
#pragma once

#include <memory>

#include "server/leader_client.h"

namespace fyr::server {

std::unique_ptr<LeaderClient> make_leader_client();

}  // namespace fyr::server
