// The DNS listener of a process and where its names come from: the state on a server, the watch
// client on an agent machine.
#pragma once

#include <memory>

#include "agent/agent.h"
#include "agent/swim/membership.h"
#include "app/settings.h"
#include "base/error.h"
#include "base/io/runtime.h"
#include "server/server.h"

namespace fyr::app {

class DnsParts {
 public:
  // `server` is null on an agent machine. Errors name the address. ports.dns -1: nothing listens.
  static Result<std::unique_ptr<DnsParts>> open(const Settings& settings, io::Runtime& runtime,
                                                server::Server* server, agent::Agent& agent,
                                                agent::Membership& membership);
  ~DnsParts();
  // Takes over what `dns_config` says now; the domain and the data centre stay. Any thread.
  Result<void> reload(const Settings& settings);
  void stop();

 private:
  struct Impl;
  DnsParts();
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::app
