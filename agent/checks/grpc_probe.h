// One run of a gRPC check: the standard health protocol (grpc.health.v1.Health/Check).
//
// Threading: as probes.h.
#pragma once

#include "agent/checks/probes.h"

namespace fyr::agent {

std::unique_ptr<Probe> start_grpc_probe(io::Runtime& runtime, int thread,
                                        const ProbeRequest& request,
                                        std::function<void(CheckResult)> done);

}  // namespace fyr::agent
