// What the handlers of /v1/agent/* and /v1/event/* share. One file a family, each adding its
// routes.
//
// Threading: routes are called on io threads; whatever touches the agent's state is posted to its
// thread with `on_agent`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/agent.h"
#include "agent/events.h"
#include "agent/local/local_state.h"
#include "agent/local/sync.h"
#include "agent/local_waiters.h"
#include "agent/registrar.h"
#include "base/io/http_router.h"

namespace fyr::agent {

struct ApiContext {
  const AgentOptions& options;
  const AgentParts& parts;
  io::Runtime& runtime;  // the agent's own
  int thread;
  const pb::Node& node;
  LocalState& state;
  Registrar& registrar;
  Sync& sync;
  LocalWaiters& waiters;
  EventRing& events;
  // On the agent's thread: takes the event in if it is for this node.
  std::function<void(UserEvent)> take_event;
  std::function<Result<void>()> reload;  // blocks; not on the agent's thread

  // Runs on the agent's thread; what waited for it is part of the measured time of the API.
  void on_agent(std::function<void()> task) const;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

void add_service_routes(io::HttpRouter& router, ApiContext& context);
void add_check_routes(io::HttpRouter& router, ApiContext& context);
void add_maintenance_routes(io::HttpRouter& router, ApiContext& context);
void add_self_routes(io::HttpRouter& router, ApiContext& context);
void add_cluster_routes(io::HttpRouter& router, ApiContext& context);
void add_event_routes(io::HttpRouter& router, ApiContext& context);
void add_connect_routes(io::HttpRouter& router);
void add_machine_routes(io::HttpRouter& router, ApiContext& context);

// 200 with an empty body, or the error.
void answer(const io::HttpCall& call, const Result<void>& done);

// Lists that take ?filter=: the parsed expression, or nothing; an answered error gives false.
bool parse_filter(const io::HttpCall& call, const FilterSchema& schema, std::optional<Filter>& out);
bool passes(const std::optional<Filter>& filter, const std::string& json);

// {"agent": ...} as in "Member" and /v1/agent/members.
void append_member(JsonWriter& out, const Member& member, const std::string& shown_name);

}  // namespace fyr::agent
