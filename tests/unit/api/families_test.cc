// Families whose rules are tested elsewhere: that they are reached, kept and waited for.
#include "tests/unit/api/api_fixture.h"

namespace fyr::server {
namespace {

class Families : public ApiTest {};

TEST_F(Families, ConfigurationEntriesWakeWhoWaitsForThem) {
  auto c = client();
  const auto missing = c.ask("GET", "/v1/config/service-defaults/web");
  EXPECT_EQ(missing.status, 404);
  c.send("GET",
         "/v1/config/service-defaults/web?wait=20s&index=" + std::to_string(missing.index()));
  put("/v1/config", R"({"Kind":"service-defaults","Name":"web","Protocol":"http"})");
  const auto found = c.receive();
  EXPECT_EQ(found.value().at("Protocol").as_string(), "http");
  EXPECT_EQ(found.value().at("ModifyIndex").to_number<std::uint64_t>(), found.index());
  EXPECT_EQ(c.ask("PUT", "/v1/config?cas=1", R"({"Kind":"service-defaults","Name":"web"})").body,
            "false");
  EXPECT_EQ(c.ask("DELETE", "/v1/config/service-defaults/web").body, "{}");
  EXPECT_EQ(c.ask("GET", "/v1/config/").body, "[]");
}

TEST_F(Families, CoordinatesSortTheListsThatTakeNear) {
  register_instance("a", "passing");
  register_instance("b", "passing");
  const auto at = [&](const std::string& node, const std::string& x) {
    put("/v1/coordinate/update",
        R"({"Node":")" + node + R"(","Coord":{"Vec":[)" + x + R"(,0,0,0,0,0,0,0],"Height":1e-5}})");
  };
  at("n-a", "0.5");
  at("n-b", "0.1");
  auto c = client();
  const auto first = [&](const std::string& path) {
    return std::string(c.ask("GET", path).value().at(0).at("Node").is_string()
                           ? c.ask("GET", path).value().at(0).at("Node").as_string()
                           : c.ask("GET", path).value().at(0).at("Node").at("Node").as_string());
  };
  for (const auto* path : {"/v1/catalog/nodes", "/v1/catalog/service/web", "/v1/health/service/web",
                           "/v1/health/checks/web", "/v1/health/state/any"}) {
    EXPECT_EQ(first(std::string(path) + "?near=n-b"), "n-b") << path;
    EXPECT_EQ(first(std::string(path) + "?near=n-a"), "n-a") << path;
    EXPECT_EQ(first(path), "n-a") << path;
  }
  EXPECT_EQ(c.ask("PUT", "/v1/coordinate/update", R"({"Node":"n-a","Coord":{"Vec":[1]}})").status,
            500);
  EXPECT_EQ(c.ask("GET", "/v1/coordinate/node/n-x").status, 404);
}

TEST_F(Families, ConnectIsOffAndSaysSo) {
  auto c = client();
  for (const auto* path : {"/v1/connect/ca/roots", "/v1/connect/intentions/match?by=source",
                           "/v1/discovery-chain/web"}) {
    const auto reply = c.ask("GET", path);
    EXPECT_EQ(reply.status, 500) << path;
    EXPECT_EQ(reply.body, "Connect must be enabled in order to use this endpoint") << path;
  }
}

TEST_F(Families, APreparedQueryIsRunWithoutWaiting) {
  register_instance("a", "passing");
  auto c = client();
  const auto made = c.ask("POST", "/v1/query", R"({"Name":"q","Service":{"Service":"web"}})");
  ASSERT_EQ(made.status, 200) << made.body;
  const auto run = c.ask("GET", "/v1/query/q/execute?index=100000&wait=20s&limit=5");
  EXPECT_EQ(run.value().at("Nodes").as_array().size(), 1u);
  const std::string id(made.value().at("ID").as_string());
  EXPECT_EQ(c.ask("GET", "/v1/query/" + id).value().at(0).at("Name").as_string(), "q");
  EXPECT_EQ(c.ask("DELETE", "/v1/query/" + id).status, 200);
  EXPECT_EQ(c.ask("GET", "/v1/query/q/execute").status, 404);
}

}  // namespace
}  // namespace fyr::server
