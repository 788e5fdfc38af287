#include "app/endpoint_source_agent.h"

#include <algorithm>
#include <utility>

namespace fyr::app {
namespace {

constexpr std::string_view kNodeMaintenance = "_node_maintenance";
constexpr std::string_view kServiceMaintenance = "_service_maintenance";

proxy::CatalogStatus catalog_status(const pb::ServiceEntry& entry) {
  auto status = proxy::CatalogStatus::Passing;
  for (const auto& check : entry.checks()) {
    if (check.status() == "passing") continue;
    if (check.status() == "warning") {
      status = std::max(status, proxy::CatalogStatus::Warning);
      continue;
    }
    const std::string_view id = check.check_id();
    if (id == kNodeMaintenance || id.starts_with(kServiceMaintenance))
      return proxy::CatalogStatus::Maintenance;
    status = proxy::CatalogStatus::Critical;
  }
  return status;
}

class AgentWatch final : public proxy::EndpointWatch {
 public:
  explicit AgentWatch(std::unique_ptr<agent::WatchClient::Watch> watch)
      : watch_(std::move(watch)) {}

 private:
  std::unique_ptr<agent::WatchClient::Watch> watch_;
};

class AgentEndpointSource final : public proxy::EndpointSource {
 public:
  explicit AgentEndpointSource(agent::WatchClient& watch) : watch_(watch) {}

  std::unique_ptr<proxy::EndpointWatch> watch(
      const std::string& service, std::function<void(proxy::EndpointUpdate)> on_update) override {
    return std::make_unique<AgentWatch>(
        watch_.subscribe(service, [on_update = std::move(on_update)](const agent::ViewPtr& view) {
          proxy::EndpointUpdate update;
          update.index = view->index;
          update.from_disk = view->from_disk;
          update.endpoints.reserve(view->rows.size());
          for (const auto& row : view->rows) update.endpoints.push_back(to_endpoint(*row));
          on_update(std::move(update));
        }));
  }

 private:
  agent::WatchClient& watch_;
};

}  // namespace

proxy::EndpointInfo to_endpoint(const pb::ServiceEntry& entry) {
  proxy::EndpointInfo endpoint;
  const auto& service = entry.service();
  endpoint.id = entry.node().name() + "/" + service.id();
  endpoint.node = entry.node().name();
  endpoint.address = service.address().empty() ? entry.node().address() : service.address();
  endpoint.port = static_cast<std::uint16_t>(service.port());
  endpoint.status = catalog_status(entry);
  if (service.has_weights()) {
    endpoint.weight_passing = service.weights().passing();
    endpoint.weight_warning = service.weights().warning();
  }
  for (const auto& pair : entry.node().meta())
    if (pair.key() == "site") endpoint.site = pair.value();
  endpoint.tags.assign(service.tags().begin(), service.tags().end());
  for (const auto& pair : service.meta()) endpoint.meta[pair.key()] = pair.value();
  return endpoint;
}

std::unique_ptr<proxy::EndpointSource> make_agent_endpoint_source(agent::WatchClient& watch) {
  return std::make_unique<AgentEndpointSource>(watch);
}

}  // namespace fyr::app
