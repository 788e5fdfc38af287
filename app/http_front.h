// The HTTP listener of a process: hands each path to the part that owns it. The agent answers
// /v1/agent/* and /v1/event/*, the proxy's status is put together here, and every other path goes
// to the server's API: directly on a server, through the agent's forwarding elsewhere.
#pragma once

#include <memory>

#include "agent/agent.h"
#include "app/settings.h"
#include "base/error.h"
#include "base/io/http_router.h"
#include "base/io/runtime.h"
#include "proxy/proxy.h"
#include "server/api/api.h"

namespace fyr::app {

class HttpFront {
 public:
  // `api` is null on an agent machine. Errors name the address.
  static Result<std::unique_ptr<HttpFront>> open(const Settings& settings, io::Runtime& runtime,
                                                 agent::Agent& agent, server::Api* api,
                                                 proxy::Proxy& proxy);
  ~HttpFront();
  void stop();

 private:
  struct Impl;
  HttpFront();
  std::unique_ptr<Impl> impl_;
};

// http_config as the routers take it.
io::RouterOptions router_options(const Settings& settings);

// "DebugConfig" of /v1/agent/self: the settings in force, without secrets.
std::string debug_config_json(const Settings& settings);

}  // namespace fyr::app
