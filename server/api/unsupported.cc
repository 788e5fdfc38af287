// Endpoints of Consul's API that this version does not serve. They are named here so that a client
// gets a clear 501 and not the 404 of a mistyped path, and so that wrong methods, data centres and
// bodies are refused as everywhere.
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

enum class Body { Any, Object, List };

struct Endpoint {
  std::string_view method;
  std::string_view path;
  Body body;
};

constexpr Endpoint kEndpoints[] = {
    {"PUT", "/v1/config", Body::Object},
    {"GET", "/v1/config/", Body::Any},
    {"DELETE", "/v1/config/", Body::Any},
    {"PUT", "/v1/coordinate/update", Body::Object},
};

void refuse(ApiContext& context, const io::HttpCallPtr& call, Body wanted) {
  if (refuse_datacenter(*call, context.options)) return;
  if (wanted != Body::Any) {
    auto body = call->body_json();
    if (!body) return call->error(body.error());
    if (wanted == Body::List ? !body->is_array() : !body->is_object()) {
      return call->text(400, wanted == Body::List ? "Failed to parse body: a list is expected"
                                                  : "Failed to parse body: an object is expected");
    }
  }
  call->text(501, "This version does not support " + call->request().path);
}

}  // namespace

void add_unsupported_routes(io::HttpRouter& router, ApiContext& context) {
  for (const auto& endpoint : kEndpoints) {
    router.add(endpoint.method, endpoint.path,
               [&context, body = endpoint.body](const io::HttpCallPtr& call) {
                 refuse(context, call, body);
               });
  }
}

}  // namespace fyr::server
