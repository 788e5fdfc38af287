#include <gtest/gtest.h>

#include "app/endpoint_source_agent.h"

namespace fyr::app {
namespace {

pb::ServiceEntry entry() {
  pb::ServiceEntry out;
  out.mutable_node()->set_name("n1");
  out.mutable_node()->set_address("10.0.0.1");
  auto& service = *out.mutable_service();
  service.set_id("web-1");
  service.set_service("web");
  service.set_port(8080);
  return out;
}

pb::ServiceEntry with_check(std::string id, std::string status) {
  auto out = entry();
  auto& check = *out.add_checks();
  check.set_check_id(std::move(id));
  check.set_status(std::move(status));
  return out;
}

TEST(EndpointSourceAgent, InstanceWithoutAddressIsReachedAtItsNode) {
  const auto endpoint = to_endpoint(entry());
  EXPECT_EQ(endpoint.id, "n1/web-1");
  EXPECT_EQ(endpoint.address, "10.0.0.1");
  EXPECT_EQ(endpoint.port, 8080);
  EXPECT_EQ(endpoint.status, proxy::CatalogStatus::Passing);
  EXPECT_EQ(endpoint.weight_passing, 1);
}

TEST(EndpointSourceAgent, OwnAddressWinsOverTheNodes) {
  auto given = entry();
  given.mutable_service()->set_address("10.9.9.9");
  EXPECT_EQ(to_endpoint(given).address, "10.9.9.9");
}

TEST(EndpointSourceAgent, WorstCheckDecides) {
  auto given = with_check("a", "warning");
  EXPECT_EQ(to_endpoint(given).status, proxy::CatalogStatus::Warning);
  auto& other = *given.add_checks();
  other.set_check_id("serfHealth");
  other.set_status("critical");
  EXPECT_EQ(to_endpoint(given).status, proxy::CatalogStatus::Critical);
  given.mutable_checks(1)->set_status("passing");
  EXPECT_EQ(to_endpoint(given).status, proxy::CatalogStatus::Warning);
}

TEST(EndpointSourceAgent, MaintenanceIsToldFromFailure) {
  EXPECT_EQ(to_endpoint(with_check("_node_maintenance", "critical")).status,
            proxy::CatalogStatus::Maintenance);
  EXPECT_EQ(to_endpoint(with_check("_service_maintenance:web-1", "critical")).status,
            proxy::CatalogStatus::Maintenance);
}

TEST(EndpointSourceAgent, SiteComesFromNodeMetadataAndHintsFromTheServices) {
  auto given = entry();
  auto& site = *given.mutable_node()->add_meta();
  site.set_key("site");
  site.set_value("oslo");
  auto& meta = *given.mutable_service()->add_meta();
  meta.set_key("version");
  meta.set_value("7");
  given.mutable_service()->add_tags("primary");
  const auto endpoint = to_endpoint(given);
  EXPECT_EQ(endpoint.site, "oslo");
  EXPECT_EQ(endpoint.meta.at("version"), "7");
  EXPECT_EQ(endpoint.tags, std::vector<std::string>{"primary"});
}

}  // namespace
}  // namespace fyr::app
