// Names from a real server's state: what DNS sees of registrations, checks and removals.
#include "app/name_source_server.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <future>

namespace fyr::app {
namespace {

using dns::Health;
using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;

class StateNames : public testing::Test {
 protected:
  StateNames() {
    char path[] = "/tmp/fyr-names-XXXXXX";
    directory_ = mkdtemp(path);
    runtime_.start();
    server_ = open(directory_, true);
    auto ready = std::make_shared<std::promise<void>>();
    server_->wait_read(server::Consistency::Consistent,
                       [ready](const auto&) { ready->set_value(); });
    ready->get_future().wait();
    names_ = make_state_name_source(*server_, runtime_, 4);
  }
  ~StateNames() override {
    server_->stop();
    runtime_.stop();
    names_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  static std::unique_ptr<server::Server> open(const std::filesystem::path& directory,
                                              bool bootstrap) {
    server::ServerOptions options;
    options.data_dir = directory;
    options.node_name = "conf1";
    options.rpc_address = "127.0.0.1:8300";
    options.bootstrap = bootstrap;
    auto server = server::Server::open(options);
    EXPECT_TRUE(server.has_value());
    return std::move(*server);
  }

  void write(const pb::Command& command) {
    auto done = std::make_shared<std::promise<bool>>();
    server_->write(command, [done](const auto& result) {
      done->set_value(result.has_value() && !result->error);
    });
    ASSERT_TRUE(done->get_future().get());
  }

  // One instance with one check of its own.
  void add(const std::string& node, const std::string& address, const std::string& service,
           const std::string& status, const std::string& service_address = "") {
    pb::Command command;
    auto& add = *command.mutable_register_();
    add.mutable_node()->set_name(node);
    add.mutable_node()->set_address(address);
    auto& meta = *add.mutable_node()->add_meta();
    meta.set_key("rack");
    meta.set_value("7");
    if (!service.empty()) {
      auto& instance = *add.mutable_service();
      instance.set_id(service);
      instance.set_service(service);
      instance.set_port(80);
      instance.set_address(service_address);
      instance.add_tags("v1");
      instance.mutable_weights()->set_passing(10);
      instance.mutable_weights()->set_warning(3);
      auto& check = *add.add_checks();
      check.set_check_id(service + "-check");
      check.set_name("check");
      check.set_status(status);
      check.set_service_id(service);
    }
    write(command);
  }

  std::vector<dns::NodeRecord> nodes(const std::string& name) {
    std::vector<dns::NodeRecord> out;
    names_->find_node(name, 0, [&](auto found) { out = *found; });
    return out;
  }
  std::vector<dns::NodeRecord> owners(const std::string& address) {
    std::vector<dns::NodeRecord> out;
    names_->find_address(*IpAddress::parse(address), 0, [&](auto found) { out = *found; });
    return out;
  }

  io::Runtime runtime_{1};
  std::filesystem::path directory_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<dns::NameSource> names_;
};

TEST_F(StateNames, InstancesCarryWhatAnAnswerNeeds) {
  add("n1", "10.0.0.1", "web", "passing");
  add("n2", "10.0.0.2", "web", "warning", "10.9.0.2");
  const auto web = names_->peek_service("web");
  ASSERT_THAT(web->records, SizeIs(2));
  const auto& first = web->records[0];
  EXPECT_EQ(first.node, "n1");
  EXPECT_EQ(first.port, 80);
  EXPECT_EQ(first.health, Health::Passing);
  EXPECT_EQ(first.weight_passing, 10);
  EXPECT_EQ(first.weight_warning, 3);
  EXPECT_THAT(first.tags, ElementsAre("v1"));
  EXPECT_THAT(first.node_meta, ElementsAre(Pair("rack", "7")));
  ASSERT_TRUE(first.has_ip);
  EXPECT_EQ(first.ip.to_string(), "10.0.0.1");
  EXPECT_EQ(web->records[1].health, Health::Warning);
  EXPECT_EQ(web->records[1].ip.to_string(), "10.9.0.2");
}

TEST_F(StateNames, RecordsAreSharedUntilTheServiceChanges) {
  add("n1", "10.0.0.1", "web", "passing");
  const auto web = names_->peek_service("web");
  add("n2", "10.0.0.2", "other", "passing");
  EXPECT_EQ(names_->peek_service("web"), web) << "another service's change makes nothing new";
  add("n1", "10.0.0.1", "web", "critical");
  EXPECT_EQ(names_->peek_service("web")->records.at(0).health, Health::Critical);
  add("n1", "10.0.0.9", "", "");
  EXPECT_EQ(names_->peek_service("web")->records.at(0).ip.to_string(), "10.0.0.9");
}

TEST_F(StateNames, RemovedAndUnknownServicesHaveNoRecords) {
  EXPECT_THAT(names_->peek_service("none")->records, SizeIs(0));
  add("n1", "10.0.0.1", "web", "passing");
  EXPECT_THAT(names_->peek_service("web")->records, SizeIs(1));
  pb::Command command;
  command.mutable_deregister()->set_node("n1");
  write(command);
  EXPECT_THAT(names_->peek_service("web")->records, SizeIs(0));
  EXPECT_THAT(nodes("n1"), SizeIs(0));
}

TEST_F(StateNames, MoreServicesThanAreKeptAreStillAnswered) {
  for (int i = 0; i < 10; ++i) add("n1", "10.0.0.1", "s" + std::to_string(i), "passing");
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 10; ++i)
      EXPECT_THAT(names_->peek_service("s" + std::to_string(i))->records, SizeIs(1));
}

TEST_F(StateNames, NodesAreFoundByNameAndAddressServicesByTheirOwn) {
  add("n1", "10.0.0.1", "web", "passing", "10.9.0.1");
  ASSERT_THAT(nodes("N1"), SizeIs(1));
  EXPECT_EQ(nodes("n1")[0].address, "10.0.0.1");
  EXPECT_THAT(nodes("n1")[0].meta, ElementsAre(Pair("rack", "7")));
  ASSERT_THAT(owners("10.0.0.1"), SizeIs(1));
  EXPECT_EQ(owners("10.0.0.1")[0].name, "n1");
  EXPECT_FALSE(owners("10.0.0.1")[0].is_service);
  ASSERT_THAT(owners("10.9.0.1"), SizeIs(1));
  EXPECT_EQ(owners("10.9.0.1")[0].name, "web");
  EXPECT_TRUE(owners("10.9.0.1")[0].is_service);
  EXPECT_THAT(owners("10.9.0.2"), SizeIs(0));
}

TEST_F(StateNames, PreparedQueriesFindWhatTheyLetThrough) {
  add("n1", "10.0.0.1", "web", "passing");
  add("n2", "10.0.0.2", "web", "critical");
  pb::Command command;
  auto& query = *command.mutable_prepared_query()->mutable_query();
  query.set_id("00000000-0000-4000-8000-000000000001");
  query.set_name("q");
  query.set_service("Web");
  query.set_dns_ttl("17s");
  write(command);
  std::shared_ptr<const dns::ServiceRecords> found;
  const auto ask = [&](const std::string& name) {
    names_->find_query(name, 0, [&](auto result) { found = *result; });
  };
  ask("q");
  ASSERT_THAT(found->records, SizeIs(1));
  EXPECT_EQ(found->records[0].node, "n1");
  EXPECT_EQ(found->ttl, std::chrono::seconds(17));
  EXPECT_EQ(found->service, "web");
  query.add_ignore_check_ids("web-check");
  command.mutable_prepared_query()->set_verb(pb::PreparedQueryWrite::UPDATE);
  write(command);
  ask("q");
  EXPECT_THAT(found->records, SizeIs(2));
  for (const auto& record : found->records) EXPECT_EQ(record.health, Health::Passing);
  ask("none");
  EXPECT_THAT(found->records, SizeIs(0));
}

TEST_F(StateNames, ServersAreTheInstancesOfConsulElseThisOne) {
  std::vector<dns::NodeRecord> servers;
  const auto ask = [&] {
    names_->find_servers(0, [&](auto found) { servers = *found; });
    return servers;
  };
  ASSERT_THAT(ask(), SizeIs(1));
  EXPECT_EQ(servers[0].name, "conf1");
  EXPECT_EQ(servers[0].address, "127.0.0.1");
  add("s1", "10.0.0.1", "consul", "passing");
  add("s2", "10.0.0.2", "consul", "critical");
  ASSERT_THAT(ask(), SizeIs(1));
  EXPECT_EQ(servers[0].name, "s1");
}

// A member of a cluster that has not heard of the others since its start: what it holds may be
// older than what it answered before.
TEST_F(StateNames, NothingIsAnsweredBeforeTheServerHasCaughtUp) {
  const auto alone = open(directory_ / "alone", false);
  const auto names = make_state_name_source(*alone, runtime_);
  EXPECT_FALSE(alone->caught_up());
  EXPECT_EQ(names->peek_service("web"), nullptr);
  std::promise<bool> service, node, owner, servers;
  const auto tell = [](std::promise<bool>& promise) {
    return [&promise](const auto& result) { promise.set_value(result.has_value()); };
  };
  EXPECT_EQ(names->find_service("web", 0, tell(service)), nullptr);
  names->find_node("n", 0, tell(node));
  names->find_address(*IpAddress::parse("10.0.0.1"), 0, tell(owner));
  names->find_servers(0, tell(servers));
  alone->stop();
  for (auto* answered : {&service, &node, &owner, &servers})
    EXPECT_FALSE(answered->get_future().get()) << "an error, not an empty list";
}

TEST_F(StateNames, AQueryThatCameTooEarlyIsAnsweredWhenTheServerHasCaughtUp) {
  add("n1", "10.0.0.1", "web", "passing");
  server_->stop();
  names_.reset();
  server_.reset();
  server_ = open(directory_, true);
  names_ = make_state_name_source(*server_, runtime_);
  std::promise<std::size_t> found;
  const auto at_once = names_->find_service("web", 0, [&](const auto& records) {
    found.set_value(records ? (*records)->records.size() : 0);
  });
  EXPECT_EQ(at_once ? at_once->records.size() : found.get_future().get(), 1u);
  EXPECT_TRUE(server_->caught_up());
  EXPECT_NE(names_->peek_service("web"), nullptr);
}

}  // namespace
}  // namespace fyr::app
