#include "agent/checks/alias.h"

#include <gtest/gtest.h>

namespace fyr::agent {
namespace {

pb::HealthCheck check(const char* name, const char* service, const char* status,
                      const char* output = "") {
  pb::HealthCheck row;
  row.set_name(name);
  row.set_service_id(service);
  row.set_status(status);
  row.set_output(output);
  return row;
}

TEST(AliasCheck, IsTheWorstOfTheTargetsAndItsNodesChecks) {
  const auto node = check("node", "", "warning", "disk");
  const auto good = check("good", "web", "passing");
  const auto other = check("other", "db", "critical");
  const AliasTarget web{"n1", "web"};
  auto shown = follow_alias(web, true, {&good, &other});
  EXPECT_EQ(shown.status, CheckStatus::Passing);
  EXPECT_EQ(shown.output, "All checks passing.");
  shown = follow_alias(web, true, {&node, &good, &other});
  EXPECT_EQ(shown.status, CheckStatus::Warning);
  EXPECT_EQ(shown.output, "Aliased check \"node\" failing: disk");
  const auto bad = check("bad", "web", "critical", "down");
  shown = follow_alias(web, true, {&node, &bad, &good});
  EXPECT_EQ(shown.output, "Aliased check \"bad\" failing: down");
}

TEST(AliasCheck, WithoutChecksPassesAndWithoutTargetIsCritical) {
  EXPECT_EQ(follow_alias({"n1", "web"}, true, {}).output, "No checks found.");
  EXPECT_EQ(follow_alias({"n1", "web"}, true, {}).status, CheckStatus::Passing);
  const auto gone = follow_alias({"n1", "web"}, false, {});
  EXPECT_EQ(gone.status, CheckStatus::Critical);
  EXPECT_EQ(gone.output, "Service web could not be found on node n1");
}

TEST(AliasCheck, DoesNotFollowOtherAliases) {
  auto alias = check("a", "", "critical");
  alias.set_type("alias");
  EXPECT_EQ(follow_alias({"n1", ""}, true, {&alias}).status, CheckStatus::Passing);
}

}  // namespace
}  // namespace fyr::agent
