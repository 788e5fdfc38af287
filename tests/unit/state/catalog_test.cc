#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Catalog : public StateTest {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const NodeRow& row : store_.nodes().rows) out.push_back(row->name());
    return out;
  }
};

TEST_F(Catalog, ANodeIsListedOnceRegisteredAndKeepsItsIndexWhenUnchanged) {
  const StateIndex first = done(node_command("b", "10.0.0.1"));
  done(node_command("a", "10.0.0.2"));
  EXPECT_THAT(names(), ElementsAre("a", "b"));
  done(node_command("b", "10.0.0.1"));
  EXPECT_EQ(store_.node("b")->create_index(), first);
  EXPECT_EQ(store_.node("b")->modify_index(), first);
  EXPECT_THAT(changes_.rows, IsEmpty());
  EXPECT_THAT(changes_.topics, IsEmpty());
}

TEST_F(Catalog, RegistrationsWithoutWhatTheyNeedAreRefusedWithConsulsWords) {
  EXPECT_EQ(refusal(node_command("")), "Must provide node");
  EXPECT_EQ(refusal(service_command("n", "only-id", "")), "Must provide service name with ID");
  EXPECT_EQ(refusal(check_command("n", "c", "passing", "no-such-service")),
            "failed inserting check: Missing service registration on node \"n\"");
  pb::Command other = node_command("n");
  add_check(other, "c", "passing");
  other.mutable_register_()->mutable_checks(0)->set_node("another");
  EXPECT_EQ(refusal(other), "check node \"another\" does not match node \"n\"");
  pb::Command nameless = node_command("n");
  add_check(nameless, "", "passing");
  EXPECT_EQ(refusal(nameless), "Must provide check name or ID");
  EXPECT_EQ(refusal(node_command(std::string(5000, 'x'))), "Node: name is longer than 4096 bytes");
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(refusal(deregister_command("")), "Must provide node");
}

TEST_F(Catalog, AServiceAndItsChecksBecomeVisibleInOneIndex) {
  pb::Command command = service_command("n", "web-1", "web");
  add_check(command, "web-c", "critical", "web-1");
  const StateIndex index = done(command);
  const auto health = store_.service_health("web");
  ASSERT_EQ(health.rows.size(), 1u);
  EXPECT_EQ(health.index, index);
  ASSERT_EQ(health.rows[0].checks.size(), 1u);
  EXPECT_EQ(health.rows[0].checks[0]->modify_index(), index);
  EXPECT_EQ(health.rows[0].service->modify_index(), index);
}

TEST_F(Catalog, AServiceWithoutAnIdIsKnownByItsNameAndGetsWeights) {
  done(service_command("n", "", "web"));
  const auto nodes = store_.service_nodes("web");
  ASSERT_EQ(nodes.rows.size(), 1u);
  EXPECT_EQ(nodes.rows[0].service->id(), "web");
  EXPECT_EQ(nodes.rows[0].service->node(), "n");
  EXPECT_EQ(nodes.rows[0].service->weights().passing(), 1);
}

TEST_F(Catalog, NamesThatDifferOnlyInCaseAreTheSameObject) {
  done(service_command("Node-A", "Web-1", "Web"));
  done(check_command("node-a", "Chk", "passing", "wEB-1"));
  done(service_command("NODE-A", "web-1", "WEB", 81));
  EXPECT_EQ(store_.node_count(), 1u);
  EXPECT_EQ(store_.service_count(), 1u);
  EXPECT_EQ(store_.service_nodes("wEb").rows.size(), 1u);
  EXPECT_EQ(store_.node_checks("NODE-a").rows.size(), 1u);
  done(deregister_command("nOdE-a", "", "cHK"));
  EXPECT_EQ(store_.check_count(), 0u);
  done(deregister_command("nOdE-a", "WEB-1"));
  EXPECT_EQ(store_.service_count(), 0u);
}

TEST_F(Catalog, ServicesShowTheUnionOfTagsOfTheirInstances) {
  done(service_command("n1", "u1", "u", 1, {"a", "b"}));
  done(service_command("n2", "u2", "u", 1, {"b", "c"}));
  auto services = store_.services();
  ASSERT_EQ(services.rows.size(), 1u);
  EXPECT_THAT(services.rows[0].tags, ElementsAre("a", "b", "c"));
  done(deregister_command("n2", "u2"));
  EXPECT_THAT(store_.services().rows[0].tags, ElementsAre("a", "b"));
}

TEST_F(Catalog, OnlyChangesOfNamesAndTagsTouchTheListOfServices) {
  done(service_command("n1", "w1", "web", 80, {"a"}));
  EXPECT_TRUE(touched(TopicKind::ServiceNames));
  const StateIndex index = index_of(TopicKind::ServiceNames);
  done(service_command("n1", "w1", "web", 81, {"a"}));
  EXPECT_FALSE(touched(TopicKind::ServiceNames)) << "only the port changed";
  EXPECT_TRUE(touched(TopicKind::Service, "web"));
  done(service_command("n2", "w2", "web", 80, {"a"}));
  EXPECT_FALSE(touched(TopicKind::ServiceNames)) << "no new name, no new tag";
  EXPECT_EQ(index_of(TopicKind::ServiceNames), index);
  done(service_command("n2", "w2", "web", 80, {"b"}));
  EXPECT_TRUE(touched(TopicKind::ServiceNames));
  done(deregister_command("n1"));
  EXPECT_TRUE(touched(TopicKind::ServiceNames)) << "tag a went";
  EXPECT_EQ(index_of(TopicKind::ServiceNames), index_);
}

TEST_F(Catalog, ARegistrationWithTheSameIdUnderANewNameRenamesTheNode) {
  const std::string id = "5a7e2f10-1111-4a4a-8b8b-000000000002";
  const StateIndex created = done(node_command("old", "10.0.0.1", id));
  done(service_command("old", "s", "s"));
  pb::Command renaming = node_command("new", "10.0.0.1", id);
  const StateIndex renamed = done(renaming);
  EXPECT_THAT(names(), ElementsAre("new"));
  EXPECT_EQ(store_.node("new")->create_index(), created);
  EXPECT_EQ(store_.node("new")->modify_index(), renamed);
  EXPECT_EQ(store_.service_count(), 0u) << "services of the old name went with it";
  EXPECT_EQ(store_.node_by_id(id)->name(), "new");
  EXPECT_TRUE(touched(TopicKind::Node, "old"));
  EXPECT_TRUE(touched(TopicKind::Service, "s"));
}

TEST_F(Catalog, ATakenNameIsRefusedWhileItsHolderLivesAndGivenAwayWhenItIsDead) {
  done(node_command("n", "10.0.0.1", "aaaa"));
  done(check_command("n", "serfHealth", "passing"));
  EXPECT_EQ(refusal(node_command("n", "10.0.0.2", "bbbb")),
            "failed inserting node: Error while renaming Node ID: \"bbbb\": Node name n is "
            "reserved by node aaaa with name n (10.0.0.1)");
  done(node_command("m", "10.0.0.3", "cccc"));
  EXPECT_EQ(refusal(node_command("n", "10.0.0.3", "cccc")),
            "failed inserting node: Error while renaming Node ID: \"cccc\" (10.0.0.3): Node name "
            "n is reserved by node aaaa with name n (10.0.0.1)");
  done(check_command("n", "serfHealth", "critical"));
  done(node_command("n", "10.0.0.2", "bbbb"));
  EXPECT_EQ(store_.node("n")->id(), "bbbb");
  EXPECT_EQ(store_.node_by_id("aaaa"), nullptr);
}

TEST_F(Catalog, ANameHeldWithoutAnIdCanBeTakenOverByALivingNode) {
  done(node_command("n"));
  done(check_command("n", "serfHealth", "passing"));
  done(node_command("n", "10.0.0.1", "aaaa"));
  EXPECT_EQ(store_.node("n")->id(), "aaaa");
  done(node_command("n", "10.0.0.9"));
  EXPECT_EQ(store_.node("n")->id(), "aaaa") << "a registration by name keeps the identity";
}

TEST_F(Catalog, ACheckUpdateLeavesTheNodeAsItIs) {
  pb::Command full = node_command("n", "10.0.0.1", "aaaa");
  auto* meta = full.mutable_register_()->mutable_node()->add_meta();
  meta->set_key("k");
  meta->set_value("v");
  const StateIndex index = done(full);
  done(check_command("n", "c", "passing"));
  EXPECT_EQ(store_.node("n")->modify_index(), index);
  EXPECT_EQ(store_.node("n")->meta_size(), 1);
}

TEST_F(Catalog, RemovingANodeRemovesItsServicesChecksAndSessionsEverywhere) {
  pb::Command command = service_command("n", "gone", "gone");
  add_check(command, "c", "passing", "gone");
  add_check(command, "nc", "passing");
  done(command);
  done(session_command(1, "n"));
  done(service_command("other", "stays", "stays"));
  const StateIndex index = done(deregister_command("n"));
  EXPECT_TRUE(store_.service_health("gone").rows.empty());
  EXPECT_EQ(store_.service_health("gone").index, index);
  EXPECT_TRUE(store_.service_checks("gone").rows.empty());
  EXPECT_TRUE(store_.node_checks("n").rows.empty());
  EXPECT_TRUE(store_.checks_in_state("any").rows.empty());
  EXPECT_EQ(store_.session(session_id(1)), nullptr);
  EXPECT_EQ(store_.node("n"), nullptr);
  EXPECT_EQ(store_.service_count(), 1u);
  EXPECT_FALSE(touched(TopicKind::Service, "stays"));
}

TEST_F(Catalog, RemovingOneServiceLeavesTheOthersOnTheNodeUntouched) {
  pb::Command one = service_command("n", "a", "a");
  add_check(one, "ca", "passing", "a");
  done(one);
  pb::Command two = service_command("n", "b", "b");
  add_check(two, "cb", "passing", "b");
  done(two);
  const StateIndex before = store_.service_health("b").index;
  done(deregister_command("n", "a"));
  EXPECT_EQ(store_.node_checks("n").rows.size(), 1u);
  EXPECT_EQ(store_.service_health("b").rows.size(), 1u);
  EXPECT_EQ(store_.service_health("b").index, before);
}

TEST_F(Catalog, RemovingWhatIsNotThereChangesNothing) {
  done(node_command("n"));
  for (const auto& command : {deregister_command("nobody"), deregister_command("n", "x"),
                              deregister_command("n", "", "x")}) {
    done(command);
    EXPECT_THAT(changes_.rows, IsEmpty());
  }
}

TEST_F(Catalog, AnInstanceThatChangesItsServiceNameMovesWithItsChecks) {
  pb::Command command = service_command("n", "id", "before");
  add_check(command, "c", "passing", "id");
  done(command);
  const StateIndex index = done(service_command("n", "id", "after", 80, {"t"}));
  EXPECT_TRUE(store_.service_health("before").rows.empty());
  EXPECT_EQ(store_.service_health("before").index, index);
  const auto health = store_.service_health("after");
  ASSERT_EQ(health.rows.size(), 1u);
  EXPECT_EQ(health.rows[0].checks[0]->service_name(), "after");
  EXPECT_THAT(health.rows[0].checks[0]->service_tags(), ElementsAre("t"));
  EXPECT_EQ(store_.service_checks("before").rows.size(), 0u);
}

TEST_F(Catalog, NodesAndServicesAreFoundByTheirAddress) {
  done(node_command("n1", "10.0.0.1"));
  pb::Command command = service_command("n2", "s", "s");
  command.mutable_register_()->mutable_node()->set_address("10.0.0.2");
  command.mutable_register_()->mutable_service()->set_address("10.9.9.9");
  done(command);
  EXPECT_EQ(store_.nodes_by_address("10.0.0.2").rows.size(), 1u);
  EXPECT_EQ(store_.services_by_address("10.9.9.9").rows.size(), 1u);
  command.mutable_register_()->mutable_service()->set_address("10.9.9.8");
  command.mutable_register_()->mutable_node()->set_address("10.0.0.3");
  done(command);
  EXPECT_EQ(store_.nodes_by_address("10.0.0.2").rows.size(), 0u);
  EXPECT_EQ(store_.services_by_address("10.9.9.9").rows.size(), 0u);
  EXPECT_EQ(store_.services_by_address("10.9.9.8").rows.size(), 1u);
}

TEST_F(Catalog, ItemsOfANodeSyncStandAlone) {
  pb::Command command;
  *command.mutable_node_sync()->add_register_() = service_command("n", "good", "good").register_();
  *command.mutable_node_sync()->add_register_() =
      check_command("n", "bad", "passing", "absent").register_();
  *command.mutable_node_sync()->add_register_() = check_command("n", "c", "passing").register_();
  *command.mutable_node_sync()->add_deregister() = deregister_command("n", "none").deregister();
  const ApplyResult result = apply(command);
  ASSERT_EQ(result.items.size(), 4u);
  EXPECT_FALSE(result.items[0].error);
  ASSERT_TRUE(result.items[1].error);
  EXPECT_FALSE(result.items[2].error);
  EXPECT_FALSE(result.items[3].error);
  EXPECT_EQ(result.items[2].index, index_);
  EXPECT_EQ(store_.check_count(), 1u);
}

TEST_F(Catalog, APushThatWasOvertakenChangesNothing) {
  const auto push = [](int port, std::uint64_t sequence) {
    pb::Command command = service_command("n", "s", "s", port);
    command.mutable_register_()->set_agent_sequence(sequence);
    return command;
  };
  done(push(1, 10));
  done(push(2, 12));
  done(push(3, 11));
  EXPECT_EQ(store_.service_nodes("s").rows[0].service->port(), 2) << "11 is older than 12";
  EXPECT_TRUE(changes_.topics.empty());
  // A newer push without news is remembered, though nobody is woken by it.
  const StateIndex index = store_.service_nodes("s").index;
  done(push(2, 20));
  EXPECT_TRUE(changes_.topics.empty());
  EXPECT_FALSE(changes_.rows.empty());
  EXPECT_EQ(store_.service_nodes("s").index, index);
  done(push(4, 15));
  EXPECT_EQ(store_.service_nodes("s").rows[0].service->port(), 2);
  // The same number again is a retry.
  done(push(2, 20));
  EXPECT_TRUE(changes_.rows.empty());
}

}  // namespace
}  // namespace fyr::server
