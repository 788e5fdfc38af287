// /v1/agent/connect/*: what an agent answers whose Connect is off.
#include "agent/api/context.h"

namespace fyr::agent {

void add_connect_routes(io::HttpRouter& router) {
  const auto refuse = [](const io::HttpCallPtr& call) {
    call->text(500, "Connect must be enabled in order to use this endpoint");
  };
  router.add("POST", "/v1/agent/connect/authorize", refuse);
  router.add("GET", "/v1/agent/connect/ca/roots", refuse);
  router.add("GET", "/v1/agent/connect/ca/leaf/", refuse);
}

}  // namespace fyr::agent
