// /v1/status/*, the front page, and the answer of every ACL endpoint while ACLs are off.
#include "base/json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace

void add_status_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("GET", "/v1/status/leader", [&context](const io::HttpCallPtr& call) {
    if (refuse_datacenter(*call, context.options)) return;
    const auto leader = context.server.leader();
    call->json(json_text(leader.known ? leader.address : ""));
  });
  router.add("GET", "/v1/status/peers", [&context](const io::HttpCallPtr& call) {
    if (refuse_datacenter(*call, context.options)) return;
    std::string out;
    JsonWriter writer(out);
    writer.begin_array();
    for (const auto& peer : context.server.raft_peers()) writer.string(peer);
    writer.end_array();
    call->json(std::move(out));
  });
  router.add("GET", "/", [](const io::HttpCallPtr& call) { call->text(200, "Consul Agent"); });
  for (const auto* method : {"GET", "PUT", "POST", "DELETE"}) {
    router.add(method, "/v1/acl/",
               [](const io::HttpCallPtr& call) { call->text(401, "ACL support disabled"); });
  }
}

}  // namespace fyr::server
