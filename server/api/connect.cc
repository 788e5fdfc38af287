// /v1/connect/* and /v1/discovery-chain/*: what a Consul answers whose Connect is off.
#include "server/api/parameters.h"
#include "server/api/routes.h"

namespace fyr::server {
namespace {

struct Endpoint {
  std::string_view path;
  std::initializer_list<std::string_view> methods;
};

const Endpoint kEndpoints[] = {
    {"/v1/connect/ca/configuration", {"GET", "PUT"}},
    {"/v1/connect/ca/roots", {"GET"}},
    {"/v1/connect/intentions", {"GET", "POST"}},
    {"/v1/connect/intentions/match", {"GET"}},
    {"/v1/connect/intentions/check", {"GET"}},
    {"/v1/connect/intentions/exact", {"GET", "PUT", "DELETE"}},
    {"/v1/connect/intentions/", {"GET", "PUT", "DELETE"}},
    {"/v1/discovery-chain/", {"GET", "POST"}},
};

}  // namespace

void add_connect_routes(io::HttpRouter& router, ApiContext& context) {
  for (const auto& endpoint : kEndpoints) {
    for (const auto method : endpoint.methods) {
      router.add(method, endpoint.path, [&context](const io::HttpCallPtr& call) {
        if (refuse_datacenter(*call, context.options) || refuse_namespace(*call)) return;
        call->text(500, "Connect must be enabled in order to use this endpoint");
      });
    }
  }
}

}  // namespace fyr::server
