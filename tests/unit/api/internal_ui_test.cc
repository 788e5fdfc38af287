#include "tests/unit/api/api_fixture.h"

namespace fyr::server {
namespace {

class InternalUi : public ApiTest {};

TEST_F(InternalUi, SumsServicesUpOverTheirInstances) {
  register_instance("a", "passing");
  register_instance("b", "critical");
  const auto reply = client().ask("GET", "/v1/internal/ui/services");
  ASSERT_EQ(reply.status, 200);
  const auto list = reply.value().as_array();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].at("Name").as_string(), "web");
  EXPECT_EQ(list[0].at("InstanceCount").as_int64(), 2);
  EXPECT_EQ(list[0].at("ChecksPassing").as_int64(), 1);
  EXPECT_EQ(list[0].at("ChecksCritical").as_int64(), 1);
  EXPECT_EQ(list[0].at("Nodes").as_array().size(), 2u);
  const auto some = client().ask("GET", "/v1/internal/ui/services?filter=Node.Node==\"n-a\"");
  EXPECT_EQ(some.value().at(0).at("InstanceCount").as_int64(), 1);
}

TEST_F(InternalUi, ShowsNodesWithAllTheyHave) {
  register_instance("a", "warning");
  const auto all = client().ask("GET", "/v1/internal/ui/nodes").value();
  ASSERT_EQ(all.as_array().size(), 1u);
  EXPECT_EQ(all.at(0).at("Services").at(0).at("ID").as_string(), "a");
  const auto one = client().ask("GET", "/v1/internal/ui/node/N-A");
  EXPECT_EQ(one.value(), all.at(0));
  const auto none = client().ask("GET", "/v1/internal/ui/node/none");
  EXPECT_EQ(none.status, 404);
  EXPECT_GE(none.index(), 1u);
}

TEST_F(InternalUi, WaitersWakeForAChangedCheck) {
  register_instance("a", "passing");
  auto c = client();
  const auto index = c.ask("GET", "/v1/internal/ui/services").index();
  c.send("GET", "/v1/internal/ui/services?wait=20s&index=" + std::to_string(index));
  register_instance("a", "critical");
  EXPECT_EQ(c.receive().value().at(0).at("ChecksCritical").as_int64(), 1);
}

}  // namespace
}  // namespace fyr::server
