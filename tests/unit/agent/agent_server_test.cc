// Agent and server in one process: over the in-process channel and over a real connection.
#include <gtest/gtest.h>

#include "agent/server_picker.h"
#include "server/api/api.h"
#include "server/rpc/rpc_server.h"
#include "tests/unit/agent/fake_exchange.h"
#include "tests/unit/agent/folder.h"
#include "tests/unit/agent/test_server.h"

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

class AgentAndServer : public ::testing::Test {
 protected:
  AgentAndServer() {
    runtime_.start();
    server_.open(runtime_, server_folder_.path());
  }
  ~AgentAndServer() override {
    agent_.reset();
    server_.close();
    runtime_.stop();
  }

  void open_agent(bool in_process = false) {
    agent_.reset();
    AgentOptions options;
    options.node_name = "n1";
    options.node_id = "9d5ad1a0-0000-4000-8000-000000000001";
    options.data_dir = agent_folder_.path();
    options.advertise_address = "127.0.0.1";
    options.check_update_interval = {};
    AgentParts parts;
    parts.runtime = &runtime_;
    if (in_process) {
      parts.servers = make_fixed_channel_source(server_.rpc().in_process_channel());
    } else {
      ServerPickerOptions picker;
      picker.addresses = {server_.address()};
      parts.servers = ServerPicker::make(picker, nullptr);
    }
    auto opened = Agent::open(options, parts, {});
    ASSERT_TRUE(opened) << opened.error().message;
    agent_ = std::move(*opened);
    agent_->start();
  }
  Reply put(const std::string& target, const std::string& body = "") {
    return send(*agent_, "PUT", target, body);
  }
  bool in_sync() {
    return eventually([&] {
      const auto status = agent_->sync_status();
      return status.node_in_sync && status.out_of_sync == 0;
    });
  }

  Folder server_folder_, agent_folder_;
  io::Runtime runtime_{2};
  TestServer server_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AgentAndServer, ARegistrationReachesTheCatalogAndLeavesItAgain) {
  for (const bool in_process : {true, false}) {
    open_agent(in_process);
    put("/v1/agent/service/register",
        R"({"Name":"web","Port":80,"Check":{"TTL":"60s","Status":"passing"}})");
    ASSERT_TRUE(eventually([&] { return server_.health("web") == "passing"; }));
    put("/v1/agent/check/fail/service:web");
    ASSERT_TRUE(eventually([&] { return server_.health("web") == "critical"; }));
    put("/v1/agent/service/deregister/web");
    ASSERT_TRUE(eventually([&] { return server_.health("web").empty(); }));
    const auto node =
        server_.server().read([](const server::StateStore& store) { return store.node("n1"); });
    ASSERT_TRUE(node);
    EXPECT_EQ(node->tagged_addresses_size(), 4);
  }
}

TEST_F(AgentAndServer, ARestartedAgentWritesNothing) {
  open_agent();
  put("/v1/agent/service/register",
      R"({"Name":"web","Tags":["a"],"Meta":{"k":"v"},"Check":{"TTL":"60s","Status":"passing"}})");
  put("/v1/agent/check/pass/service:web?note=fine");
  ASSERT_TRUE(eventually([&] { return server_.health("web") == "passing"; }));
  ASSERT_TRUE(in_sync());
  const auto applied = server_.applied();
  open_agent();
  ASSERT_TRUE(in_sync());
  EXPECT_EQ(agent_->sync_status().pushes, 0u);
  EXPECT_EQ(server_.applied(), applied);
  EXPECT_EQ(server_.health("web"), "passing");
}

TEST_F(AgentAndServer, WhatTheCatalogHasBeyondTheAgentIsRemovedAtItsStart) {
  pb::Command ghost;
  ghost.mutable_register_()->mutable_node()->set_name("n1");
  ghost.mutable_register_()->mutable_node()->set_address("127.0.0.1");
  ghost.mutable_register_()->mutable_service()->set_service("ghost");
  server_.write(ghost);
  pb::Command alive;
  *alive.mutable_register_()->mutable_node() = ghost.register_().node();
  pb::HealthCheck& serf = *alive.mutable_register_()->add_checks();
  serf.set_check_id("serfHealth");
  serf.set_name("Serf Health Status");
  serf.set_status("passing");
  server_.write(alive);
  ASSERT_EQ(server_.health("ghost"), "passing");
  open_agent();
  ASSERT_TRUE(eventually([&] { return server_.health("ghost").empty(); }));
  const auto checks = server_.server().read(
      [](const server::StateStore& store) { return store.node_checks("n1"); });
  ASSERT_EQ(checks.rows.size(), 1u);
  EXPECT_EQ(checks.rows[0]->check_id(), "serfHealth");
}

TEST_F(AgentAndServer, ChangesWhileTheServerWasAwayArriveWhenItIsBack) {
  open_agent();
  put("/v1/agent/service/register", R"({"Name":"before"})");
  ASSERT_TRUE(eventually([&] { return server_.has("before"); }));
  server_.close();
  for (int i = 0; i < 100; ++i) {
    const std::string name = "away-" + std::to_string(i);
    ASSERT_EQ(put("/v1/agent/service/register", R"({"Name":")" + name + R"("})").status, 200);
  }
  put("/v1/agent/service/deregister/before");
  server_.open(runtime_, server_folder_.path());
  ASSERT_TRUE(eventually([&] { return server_.has("away-99") && !server_.has("before"); }, 20s));
  EXPECT_TRUE(in_sync());
}

TEST_F(AgentAndServer, OtherRequestsAreAnsweredByTheServer) {
  open_agent();
  EXPECT_EQ(put("/v1/kv/a/b?flags=7", "hello").body, "true");
  const Reply raw = send(*agent_, "GET", "/v1/kv/a/b?raw");
  EXPECT_EQ(raw.status, 200);
  EXPECT_EQ(raw.body, "hello");
  const Reply missing = send(*agent_, "GET", "/v1/kv/none");
  EXPECT_EQ(missing.status, 404);
  EXPECT_FALSE(missing.header("X-Consul-Index").empty());
}

TEST_F(AgentAndServer, AForwardedWaitEndsWithTheChange) {
  open_agent();
  put("/v1/kv/a", "1");
  const std::string index = send(*agent_, "GET", "/v1/kv/a").header("X-Consul-Index");
  auto waiting = begin(*agent_, "GET", "/v1/kv/a?wait=20s&index=" + index);
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  put("/v1/kv/a", "2");
  const Reply reply = to_reply(std::move(waiting));
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.header("X-Consul-Index"), index);
}

TEST_F(AgentAndServer, TheServerLearnsThatTheClientOfAForwardedRequestLeft) {
  std::promise<std::string> arrived;
  std::promise<void> abandoned;
  server_.close();
  std::shared_ptr<io::HttpExchange> parked;
  server_.open(runtime_, server_folder_.path(), [&](std::shared_ptr<io::HttpExchange> exchange) {
    exchange->on_abandoned([&] { abandoned.set_value(); });
    parked = exchange;
    arrived.set_value(exchange->request().path + "?" + exchange->request().query);
  });
  open_agent();
  auto exchange = std::make_shared<FakeExchange>(make_request("GET", "/v1/kv/a?wait=60s", ""));
  agent_->handle(exchange);
  EXPECT_EQ(arrived.get_future().get(), "/v1/kv/a?wait=60s");
  exchange->abandon();
  EXPECT_EQ(abandoned.get_future().wait_for(10s), std::future_status::ready);
  parked->respond(io::HttpResponse::text(200, "too late"));
  parked.reset();
}

TEST_F(AgentAndServer, AHandlerThatDropsAForwardedRequestAnswers500) {
  server_.close();
  server_.open(runtime_, server_folder_.path(), [](const std::shared_ptr<io::HttpExchange>&) {});
  open_agent();
  EXPECT_EQ(send(*agent_, "GET", "/v1/kv/a").status, 500);
}

TEST_F(AgentAndServer, AnOrderlyLeaveTakesTheNodeOutOfTheCatalog) {
  open_agent();
  put("/v1/agent/service/register", R"({"Name":"web"})");
  ASSERT_TRUE(eventually([&] { return server_.has("web"); }));
  std::promise<void> done;
  agent_->deregister_node([&] { done.set_value(); });
  ASSERT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
  EXPECT_FALSE(server_.has("web"));
  EXPECT_FALSE(
      server_.server().read([](const server::StateStore& store) { return store.node("n1"); }));
}

}  // namespace
}  // namespace fyr::agent
