#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;

class Checks : public StateTest {
 protected:
  static std::vector<std::string> ids(const Listing<CheckRow>& listing) {
    std::vector<std::string> out;
    for (const CheckRow& row : listing.rows) out.push_back(row->check_id());
    return out;
  }
};

TEST_F(Checks, DefaultsAreFilledInAsConsulDoes) {
  pb::Command command = node_command("n");
  command.mutable_register_()->add_checks()->set_name("only-name");
  done(command);
  const auto rows = store_.node_checks("n").rows;
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]->check_id(), "only-name");
  EXPECT_EQ(rows[0]->status(), "critical");
  EXPECT_EQ(rows[0]->node(), "n");
}

TEST_F(Checks, ServiceNameAndTagsComeFromTheService) {
  pb::Command command = service_command("n", "id", "svc", 80, {"x"});
  add_check(command, "c", "passing", "id");
  command.mutable_register_()->mutable_checks(0)->set_service_name("made up");
  done(command);
  EXPECT_EQ(store_.node_checks("n").rows[0]->service_name(), "svc");
  EXPECT_THAT(store_.node_checks("n").rows[0]->service_tags(), ElementsAre("x"));
  done(service_command("n", "id", "svc", 80, {"y"}));
  EXPECT_THAT(store_.node_checks("n").rows[0]->service_tags(), ElementsAre("y"));
  EXPECT_THAT(store_.service_checks("svc").rows[0]->service_tags(), ElementsAre("y"));
}

TEST_F(Checks, AnInstanceShowsTheChecksOfItsNodeFirstAndNoneOfItsNeighbours) {
  pb::Command command = service_command("n", "a", "a");
  add_check(command, "z-own", "passing", "a");
  add_check(command, "b-node", "passing");
  add_check(command, "a-node", "warning");
  done(command);
  pb::Command other = service_command("n", "b", "b");
  add_check(other, "0-other", "critical", "b");
  done(other);
  const auto health = store_.service_health("a");
  ASSERT_EQ(health.rows.size(), 1u);
  std::vector<std::string> shown;
  for (const CheckRow& row : health.rows[0].checks) shown.push_back(row->check_id());
  EXPECT_THAT(shown, ElementsAre("a-node", "b-node", "z-own"));
  EXPECT_THAT(ids(store_.node_checks("n")), ElementsAre("0-other", "a-node", "b-node", "z-own"));
}

TEST_F(Checks, ANodeCheckTouchesEveryServiceOnItsNodeAndNoOther) {
  done(service_command("n", "a", "a"));
  done(service_command("n", "b", "b"));
  done(service_command("m", "c", "c"));
  const StateIndex index = done(check_command("n", "mem", "critical"));
  EXPECT_TRUE(touched(TopicKind::Service, "a"));
  EXPECT_TRUE(touched(TopicKind::Service, "b"));
  EXPECT_FALSE(touched(TopicKind::Service, "c"));
  EXPECT_FALSE(touched(TopicKind::ServiceChecks, "a"));
  EXPECT_FALSE(touched(TopicKind::ServiceInstances, "a"));
  EXPECT_EQ(store_.service_health("a").index, index);
}

TEST_F(Checks, ACheckOfOneInstanceTouchesItsServiceOnly) {
  done(service_command("n", "a", "a"));
  done(service_command("n", "b", "b"));
  done(check_command("n", "c", "passing", "a"));
  EXPECT_TRUE(touched(TopicKind::Service, "a"));
  EXPECT_TRUE(touched(TopicKind::ServiceChecks, "a"));
  EXPECT_FALSE(touched(TopicKind::Service, "b"));
  EXPECT_FALSE(touched(TopicKind::NodeServices, "n"));
  EXPECT_TRUE(touched(TopicKind::NodeChecks, "n"));
}

TEST_F(Checks, AChangeOfStatusTouchesTheOldAndTheNewStateAndAny) {
  done(node_command("n"));
  done(check_command("n", "c", "passing"));
  const StateIndex index = done(check_command("n", "c", "critical"));
  EXPECT_TRUE(touched(TopicKind::CheckState, "passing"));
  EXPECT_TRUE(touched(TopicKind::CheckState, "critical"));
  EXPECT_TRUE(touched(TopicKind::CheckState, "any"));
  EXPECT_FALSE(touched(TopicKind::CheckState, "warning"));
  EXPECT_TRUE(store_.checks_in_state("passing").rows.empty());
  EXPECT_EQ(store_.checks_in_state("passing").index, index);
  EXPECT_THAT(ids(store_.checks_in_state("critical")), ElementsAre("c"));
  done(check_command("n", "c", "critical", "", "new output"));
  EXPECT_FALSE(touched(TopicKind::CheckState, "passing"));
  EXPECT_TRUE(touched(TopicKind::CheckState, "critical"));
  EXPECT_TRUE(store_.checks_in_state("bogus").rows.empty());
  EXPECT_GE(store_.checks_in_state("bogus").index, 1u);
}

TEST_F(Checks, ACheckThatMovesBetweenNodeAndServiceIsShownOnce) {
  done(service_command("n", "a", "a"));
  done(check_command("n", "c", "passing"));
  done(check_command("n", "c", "passing", "a"));
  EXPECT_EQ(store_.service_health("a").rows[0].checks.size(), 1u);
  EXPECT_EQ(store_.service_checks("a").rows.size(), 1u);
  done(check_command("n", "c", "passing"));
  EXPECT_EQ(store_.service_health("a").rows[0].checks.size(), 1u);
  EXPECT_EQ(store_.service_checks("a").rows.size(), 0u);
  EXPECT_EQ(store_.check_count(), 1u);
}

TEST_F(Checks, AnIdenticalCheckRaisesNothing) {
  done(node_command("n"));
  const StateIndex index = done(check_command("n", "c", "passing", "", "fine"));
  done(check_command("n", "c", "passing", "", "fine"));
  EXPECT_TRUE(changes_.rows.empty());
  EXPECT_TRUE(changes_.topics.empty());
  EXPECT_EQ(store_.node_checks("n").index, index);
}

}  // namespace
}  // namespace fyr::server
