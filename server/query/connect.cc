#include "server/query/connect.h"

#include <boost/json/parse.hpp>

#include "base/bytes.h"

namespace fyr::server {

std::string proxy_destination(const pb::ServiceInstance& service) {
  if (service.kind() != "connect-proxy" || service.proxy_json().empty()) return {};
  boost::system::error_code failed;
  const auto proxy = boost::json::parse(service.proxy_json(), failed);
  if (failed || !proxy.is_object()) return {};
  const auto* name = proxy.get_object().if_contains("DestinationServiceName");
  return name != nullptr && name->is_string() ? std::string(name->get_string()) : std::string();
}

bool speaks_connect_for(const pb::ServiceInstance& instance, std::string_view service) {
  if (instance.connect_native()) return equals_ignoring_case(instance.service(), service);
  return equals_ignoring_case(proxy_destination(instance), service) && !service.empty();
}

}  // namespace fyr::server
