// One run of a check against the world: HTTP, TCP, program, gRPC. What the result means is decided
// in core.h.
//
// Threading: on one io thread; `done` runs there, later, once.
#pragma once

#include <functional>
#include <memory>

#include "agent/checks/definition.h"
#include "base/io/runtime.h"

namespace fyr::agent {

class Probe {
 public:
  virtual ~Probe() = default;  // cancels; done is then not called
};

struct ProbeRequest {
  CheckKind kind;
  Duration timeout{};
  std::size_t output_limit = 4096;
  const pb::CheckDefinition* definition = nullptr;  // only read while starting
};

std::unique_ptr<Probe> start_probe(io::Runtime& runtime, int thread, const ProbeRequest& request,
                                   std::function<void(CheckResult)> done);

}  // namespace fyr::agent
