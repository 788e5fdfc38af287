// Registrations on their way to a slow disk.
#include <gtest/gtest.h>

#include <thread>

#include "agent/local/persistence.h"
#include "tests/unit/agent/fake_exchange.h"
#include "tests/unit/agent/folder.h"
#include "tests/unit/agent/held_disk.h"

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

class NoServers final : public ChannelSource {
 public:
  ServerChannel pick() override { return {}; }
  void failed(const ServerChannel&) override {}
  void on_change(std::function<void()>) override {}
  std::vector<std::string> addresses() const override { return {}; }
};

class SlowDisk : public ::testing::Test {
 protected:
  SlowDisk() { runtime_.start(); }
  ~SlowDisk() override {
    HeldDisk::the().release();
    agent_.reset();
    runtime_.stop();
  }
  void open() {
    agent_.reset();
    AgentOptions options;
    options.node_name = "n1";
    options.node_id = "9d5ad1a0-0000-4000-8000-000000000001";
    options.data_dir = folder_.path();
    options.advertise_address = "127.0.0.1";
    AgentParts parts;
    parts.runtime = &runtime_;
    parts.servers = std::make_shared<NoServers>();
    auto opened = Agent::open(options, parts, {});
    ASSERT_TRUE(opened) << opened.error().message;
    agent_ = std::move(*opened);
    agent_->start();
  }
  std::future<io::HttpResponse> put(const std::string& target, const std::string& body = "") {
    return begin(*agent_, "PUT", target, body);
  }
  std::string get(const std::string& target) { return send(*agent_, "GET", target).body; }
  int folder_syncs(const char* folder) { return HeldDisk::the().syncs(folder_.path() / folder); }
  // A registration that does not leave the disk until release().
  std::future<io::HttpResponse> hold_one(const std::string& body) {
    HeldDisk::the().hold();
    auto answer = put("/v1/agent/service/register", body);
    EXPECT_TRUE(HeldDisk::the().await_waiter());
    return answer;
  }

  Folder folder_;
  io::Runtime runtime_{1};
  std::unique_ptr<Agent> agent_;
};

TEST_F(SlowDisk, ARemovalThatOvertakesItsRegistrationOnTheWayToDiskStillCounts) {
  open();
  auto added = hold_one(R"({"Name":"web","Check":{"TTL":"60s"}})");
  auto removed = put("/v1/agent/service/deregister/web");
  get("/v1/agent/services");  // has gone through the agent's thread behind the removal
  HeldDisk::the().release();
  EXPECT_EQ(to_reply(std::move(added)).status, 200);
  EXPECT_EQ(to_reply(std::move(removed)).status, 200);
  EXPECT_EQ(get("/v1/agent/services"), "{}");
  open();
  EXPECT_EQ(get("/v1/agent/services"), "{}");
  EXPECT_EQ(get("/v1/agent/checks"), "{}");
}

TEST_F(SlowDisk, ACheckAndMaintenanceFindTheServiceThatIsStillOnItsWay) {
  open();
  auto added = hold_one(R"({"Name":"web"})");
  auto check = put("/v1/agent/check/register", R"({"Name":"c","ServiceID":"web","TTL":"60s"})");
  auto maintenance = put("/v1/agent/service/maintenance/web?enable=true");
  auto check_removed = put("/v1/agent/check/deregister/c");
  get("/v1/agent/services");
  HeldDisk::the().release();
  EXPECT_EQ(to_reply(std::move(added)).status, 200);
  EXPECT_EQ(to_reply(std::move(check)).status, 200);
  EXPECT_EQ(to_reply(std::move(maintenance)).status, 200);
  EXPECT_EQ(to_reply(std::move(check_removed)).status, 200);
  const std::string checks = get("/v1/agent/checks");
  EXPECT_EQ(checks.find(R"("c")"), std::string::npos) << checks;
  EXPECT_NE(checks.find("_service_maintenance:web"), std::string::npos) << checks;
}

TEST_F(SlowDisk, RegistrationsThatWaitTogetherShareOneSyncOfTheFolder) {
  open();
  std::vector<std::future<io::HttpResponse>> answers;
  answers.push_back(hold_one(R"({"Name":"first"})"));
  const int before = folder_syncs("services");
  for (int i = 0; i < 50; ++i) {
    answers.push_back(
        put("/v1/agent/service/register", R"({"Name":"s)" + std::to_string(i) + R"("})"));
  }
  get("/v1/agent/services");
  HeldDisk::the().release();
  for (auto& answer : answers) EXPECT_EQ(to_reply(std::move(answer)).status, 200);
  EXPECT_EQ(folder_syncs("services") - before, 2);  // of the first, and of the fifty
  open();
  EXPECT_NE(get("/v1/agent/services").find(R"("s49")"), std::string::npos);
}

TEST_F(SlowDisk, TheLastOfTwoRegistrationsOfOneIdCounts) {
  open();
  auto first = hold_one(R"({"Name":"first"})");
  auto older = put("/v1/agent/service/register", R"({"Name":"web","Port":1})");
  auto newer = put("/v1/agent/service/register", R"({"Name":"web","Port":2})");
  get("/v1/agent/services");
  HeldDisk::the().release();
  EXPECT_EQ(to_reply(std::move(older)).status, 200);
  EXPECT_EQ(to_reply(std::move(newer)).status, 200);
  EXPECT_NE(get("/v1/agent/service/web").find(R"("Port":2)"), std::string::npos);
  open();
  EXPECT_NE(get("/v1/agent/service/web").find(R"("Port":2)"), std::string::npos);
}

TEST_F(SlowDisk, AnAnsweredRemovalHasSyncedItsFolders) {
  open();
  to_reply(put("/v1/agent/service/register", R"({"Name":"web","Check":{"TTL":"60s"}})"));
  const int services = folder_syncs("services"), checks = folder_syncs("checks");
  to_reply(put("/v1/agent/service/deregister/web"));
  EXPECT_EQ(folder_syncs("services"), services + 1);
  EXPECT_EQ(folder_syncs("checks"), checks + 1);
}

TEST_F(SlowDisk, StoppingWaitsForWhatIsOnItsWayAndRefusesWhatHasNotBegun) {
  open();
  auto first = hold_one(R"({"Name":"web","Check":{"TTL":"60s","Status":"passing"}})");
  auto second = put("/v1/agent/service/register", R"({"Name":"late"})");
  get("/v1/agent/services");
  std::thread stopping([&] { agent_->stop(); });
  EXPECT_EQ(to_reply(std::move(second)).status, 503);
  EXPECT_EQ(first.wait_for(50ms), std::future_status::timeout);
  HeldDisk::the().release();
  stopping.join();
  EXPECT_EQ(to_reply(std::move(first)).status, 200);
  // The last statuses were written behind the round, on the same thread.
  auto disk = Persistence::open(folder_.path());
  auto loaded = disk->load();
  ASSERT_EQ(loaded->services.size(), 1u);
  EXPECT_EQ(loaded->states.count("service:web"), 1u);
}

TEST_F(SlowDisk, AFullQueueRefusesAndNothingOfItIsLeftWithoutAnAnswer) {
  open();
  std::vector<std::future<io::HttpResponse>> answers;
  answers.push_back(hold_one(R"({"Name":"first"})"));
  for (int i = 0; i < 4097; ++i)
    answers.push_back(put("/v1/agent/service/register", R"({"Name":"x"})"));
  EXPECT_EQ(to_reply(std::move(answers.back())).status, 429);
  answers.pop_back();
  std::thread stopping([&] { agent_->stop(); });
  EXPECT_EQ(to_reply(std::move(answers.back())).status, 503);
  HeldDisk::the().release();
  stopping.join();
  EXPECT_EQ(to_reply(std::move(answers.front())).status, 200);
}

}  // namespace
}  // namespace fyr::agent
