// An agent whose servers are all away: everything under /v1/agent must work, fast, and last.
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/io/http_server.h"
#include "tests/unit/agent/fake_exchange.h"
#include "tests/unit/agent/folder.h"

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

// No server at all.
class NoServers final : public ChannelSource {
 public:
  ServerChannel pick() override { return {}; }
  void failed(const ServerChannel&) override {}
  void on_change(std::function<void()>) override {}
  std::vector<std::string> addresses() const override { return {}; }
};

class LonelyAgent : public ::testing::Test {
 protected:
  LonelyAgent() { runtime_.start(); }
  ~LonelyAgent() override {
    agent_.reset();
    runtime_.stop();
  }

  Result<void> open(const std::string& definitions = "[]") {
    agent_.reset();
    AgentOptions options;
    options.node_name = "n1";
    options.node_id = "9d5ad1a0-0000-4000-8000-000000000001";
    options.data_dir = folder_.path();
    options.advertise_address = "127.0.0.1";
    options.rpc_hold_timeout = 300ms;
    options.enable_script_checks = scripts_;
    AgentParts parts;
    parts.runtime = &runtime_;
    parts.servers = std::make_shared<NoServers>();
    auto opened = Agent::open(options, parts, decode(definitions));
    if (!opened) return opened.error();
    agent_ = std::move(*opened);
    agent_->start();
    return {};
  }
  static Definitions decode(const std::string& services) {
    Definitions out;
    const auto value = parse_json(services);
    for (const auto& item : value->get_array()) {
      out.services.push_back(*decode_service_spec(item, "services", UnknownFields::Refuse));
    }
    return out;
  }

  Reply put(const std::string& target, const std::string& body = "") {
    return send(*agent_, "PUT", target, body);
  }
  Reply get(const std::string& target) { return send(*agent_, "GET", target); }
  std::string status_of(const std::string& check) {
    const auto value = parse_json(get("/v1/agent/checks").body);
    const auto* row = value->get_object().if_contains(check);
    return row ? std::string(row->at("Status").as_string()) : "(none)";
  }
  std::string output_of(const std::string& check) {
    const auto value = parse_json(get("/v1/agent/checks").body);
    const auto* row = value->get_object().if_contains(check);
    return row ? std::string(row->at("Output").as_string()) : "(none)";
  }
  std::size_t files(const char* in) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / in)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  Folder folder_;
  io::Runtime runtime_{1};
  std::unique_ptr<Agent> agent_;
  bool scripts_ = false;
};

TEST_F(LonelyAgent, RegistersAtOnceAndKeepsItOverARestart) {
  ASSERT_TRUE(open());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(put("/v1/agent/service/register",
                R"({"ID":"scope/web","Name":"web","Check":{"TTL":"60s","Status":"passing"}})")
                .status,
            200);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 3s);  // no wait for servers
  ASSERT_TRUE(open());
  EXPECT_EQ(get("/v1/agent/service/scope%2Fweb").status, 200);
  EXPECT_EQ(status_of("service:scope/web"), "passing");
  EXPECT_EQ(put("/v1/agent/service/deregister/scope%2Fweb").status, 200);
  ASSERT_TRUE(open());
  EXPECT_EQ(get("/v1/agent/services").body, "{}");
  EXPECT_EQ(files("services"), 0u);
  EXPECT_EQ(files("checks/state"), 0u);
}

TEST_F(LonelyAgent, CatalogRequestsFailInTheWordsClientsRetryOn) {
  ASSERT_TRUE(open());
  const Reply reply = get("/v1/catalog/nodes");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, "No cluster leader");
}

TEST_F(LonelyAgent, ToldStatusesAndMaintenanceSurviveARestart) {
  ASSERT_TRUE(open());
  put("/v1/agent/check/register", R"({"Name":"c","TTL":"60s"})");
  EXPECT_EQ(put("/v1/agent/check/warn/c?note=hm").status, 200);
  put("/v1/agent/maintenance?enable=true&reason=disk");
  ASSERT_TRUE(open());
  EXPECT_EQ(status_of("c"), "warning");
  EXPECT_EQ(output_of("c"), "hm");
  EXPECT_EQ(status_of("_node_maintenance"), "critical");
  put("/v1/agent/maintenance?enable=false");
  ASSERT_TRUE(open());
  EXPECT_EQ(status_of("_node_maintenance"), "(none)");
}

TEST_F(LonelyAgent, RegisteringAgainKeepsTheStatusOfItsChecks) {
  ASSERT_TRUE(open());
  const char* const body = R"({"Name":"web","Check":{"TTL":"60s"}})";
  put("/v1/agent/service/register", body);
  put("/v1/agent/check/pass/service:web?note=fine");
  put("/v1/agent/service/register", body);
  EXPECT_EQ(status_of("service:web"), "passing");
  EXPECT_EQ(output_of("service:web"), "fine");
  put("/v1/agent/service/register", R"({"Name":"web","Check":{"TTL":"90s"}})");
  EXPECT_EQ(status_of("service:web"), "passing");
}

TEST_F(LonelyAgent, FilesWinOverWhatWasPersisted) {
  ASSERT_TRUE(open());
  put("/v1/agent/service/register", R"({"Name":"web","Port":1})");
  ASSERT_TRUE(open(R"([{"name":"web","port":2}])"));
  EXPECT_NE(get("/v1/agent/service/web").body.find("\"Port\":2"), std::string::npos);
  ASSERT_TRUE(open());
  EXPECT_EQ(get("/v1/agent/service/web").status, 404) << "files are not persisted";
}

TEST_F(LonelyAgent, ABadDefinitionInAFileIsNamed) {
  const auto opened = open(R"([{"name":"web","check":{"interval":"10s"}}])");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("service \"web\""), std::string::npos);
}

TEST_F(LonelyAgent, AReloadTouchesOnlyWhatChanged) {
  const std::string kept = R"({"name":"kept","check":{"ttl":"60s"}})";
  ASSERT_TRUE(open("[" + kept + R"(,{"name":"gone"},{"name":"moved","port":1}])"));
  put("/v1/agent/service/register", R"({"Name":"api"})");
  put("/v1/agent/check/pass/service:kept?note=fine");
  ASSERT_TRUE(agent_->reload(decode("[" + kept + R"(,{"name":"new"},{"name":"moved","port":2}])")));
  EXPECT_EQ(status_of("service:kept"), "passing");
  EXPECT_EQ(output_of("service:kept"), "fine");
  EXPECT_EQ(get("/v1/agent/service/gone").status, 404);
  EXPECT_EQ(get("/v1/agent/service/new").status, 200);
  EXPECT_EQ(get("/v1/agent/service/api").status, 200);
  EXPECT_NE(get("/v1/agent/service/moved").body.find("\"Port\":2"), std::string::npos);
}

TEST_F(LonelyAgent, ManyRoundsOfRegistrationLeaveNothingBehind) {
  ASSERT_TRUE(open());
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(put("/v1/agent/service/register",
                  R"({"Name":"w","Check":{"TCP":"127.0.0.1:1","Interval":"1h"}})")
                  .status,
              200);
    ASSERT_EQ(put("/v1/agent/service/deregister/w").status, 200);
  }
  EXPECT_EQ(files("services"), 0u);
  const auto self = parse_json(get("/v1/agent/self").body);
  EXPECT_EQ(self->at("Stats").at("agent").at("check_monitors").as_string(), "0");
}

TEST_F(LonelyAgent, ADamagedFileIsSetAside) {
  ASSERT_TRUE(open());
  put("/v1/agent/service/register", R"({"Name":"web"})");
  std::ofstream(folder_.path() / "services" / "0123") << "{";
  ASSERT_TRUE(open());
  EXPECT_EQ(get("/v1/agent/service/web").status, 200);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "services" / "0123.bad"));
}

TEST_F(LonelyAgent, AFullDiskIsToldToTheCaller) {
  ASSERT_TRUE(open());
  std::filesystem::remove_all(folder_.path() / "services");
  EXPECT_EQ(put("/v1/agent/service/register", R"({"Name":"web"})").status, 500);
  EXPECT_EQ(get("/v1/agent/service/web").status, 404) << "refused is not registered";
}

TEST_F(LonelyAgent, RefusesBadBodiesAndChangesNothing) {
  ASSERT_TRUE(open());
  const char* const bodies[] = {
      "",
      "{",
      "[]",
      "nope",
      R"({"Name":1})",
      R"({"Name":"w","Port":"80"})",
      R"({"Name":"w","NoSuchField":1})",
      R"({"Name":"w","Check":{"TTL":"abc"}})",
      R"({"Name":"w","Checks":{"TTL":"1s"}})",
      R"({"Name":"w","Check":{"HTTP":"http://x","TCP":"y:1","Interval":"1s"}})",
  };
  for (const char* body : bodies) {
    const Reply reply = put("/v1/agent/service/register", body);
    EXPECT_EQ(reply.status, 400) << body << ": " << reply.body;
    EXPECT_FALSE(reply.body.empty());
  }
  EXPECT_EQ(get("/v1/agent/services").body, "{}");
  EXPECT_EQ(get("/v1/agent/checks").body, "{}");
}

TEST_F(LonelyAgent, WaitsByContentHashEndWithTheChange) {
  ASSERT_TRUE(open());
  put("/v1/agent/service/register", R"({"Name":"web","Port":1})");
  const std::string hash = get("/v1/agent/service/web").header("X-Consul-ContentHash");
  ASSERT_FALSE(hash.empty());
  auto waiting = begin(*agent_, "GET", "/v1/agent/service/web?wait=20s&hash=" + hash);
  put("/v1/agent/service/register", R"({"Name":"web","Port":1})");
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  put("/v1/agent/service/register", R"({"Name":"web","Port":2})");
  const Reply reply = to_reply(std::move(waiting));
  EXPECT_NE(reply.body.find("\"Port\":2"), std::string::npos);
  auto last = begin(*agent_, "GET",
                    "/v1/agent/service/web?wait=20s&hash=" + reply.header("X-Consul-ContentHash"));
  agent_->stop();
  EXPECT_EQ(to_reply(std::move(last)).status, 200) << "stopping answers those who wait";
}

// Answers with the status in the path; /redirect leads to /200.
io::HttpHandler status_handler() {
  return [](const std::shared_ptr<io::HttpExchange>& exchange) {
    const std::string& path = exchange->request().path;
    if (path == "/redirect") {
      io::HttpResponse response = io::HttpResponse::text(302, "");
      response.headers.emplace_back("Location", "/200");
      return exchange->respond(std::move(response));
    }
    exchange->respond(io::HttpResponse::text(
        std::stoi(path.substr(1)),
        "as asked by " + std::string(exchange->request().header("User-Agent"))));
  };
}

TEST_F(LonelyAgent, RunsHttpAndTcpChecks) {
  io::HttpServerOptions options;
  options.listen = {{"127.0.0.1", 0}};
  auto server = io::HttpServer::listen(runtime_, options, status_handler());
  ASSERT_TRUE(server);
  const std::string address = (*server)->bound()[0].to_string();
  ASSERT_TRUE(open());
  const auto http = [&](const std::string& id, const std::string& more) {
    EXPECT_EQ(put("/v1/agent/check/register", R"({"Name":")" + id + R"(","HTTP":"http://)" +
                                                  address + "/" + more + R"(,"Interval":"1s"})")
                  .status,
              200);
  };
  http("good", "200\"");
  http("busy", "429\"");
  http("bad", "500\"");
  http("led", "redirect\"");
  http("not-led", "redirect\",\"DisableRedirects\":true");
  put("/v1/agent/check/register", R"({"Name":"open","TCP":")" + address + R"(","Interval":"1s"})");
  put("/v1/agent/check/register", R"({"Name":"shut","TCP":"127.0.0.1:1","Interval":"1s",)"
                                  R"("Status":"passing"})");
  const Reply refused =
      put("/v1/agent/check/register", R"({"Name":"h2","H2PING":"127.0.0.1:1","Interval":"1s"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("H2PING: "), std::string::npos) << refused.body;
  EXPECT_EQ(status_of("h2"), "(none)");
  EXPECT_TRUE(eventually([&] {
    return status_of("good") == "passing" && status_of("busy") == "warning" &&
           output_of("bad") != "" && status_of("led") == "passing" && output_of("not-led") != "" &&
           status_of("open") == "passing" && status_of("shut") == "critical";
  }));
  EXPECT_EQ(output_of("good"),
            "HTTP GET http://" + address + "/200: 200 OK Output: as asked by Consul Health Check");
  EXPECT_EQ(status_of("bad"), "critical");
  EXPECT_EQ(status_of("not-led"), "critical");
  EXPECT_EQ(output_of("open"), "TCP connect " + address + ": Success");
  (*server)->stop();
}

TEST_F(LonelyAgent, RunsProgramsWhenAllowed) {
  scripts_ = true;
  ASSERT_TRUE(open());
  put("/v1/agent/check/register",
      R"({"Name":"warn","Args":["/bin/sh","-c","echo hm; exit 1"],"Interval":"1s"})");
  put("/v1/agent/check/register",
      R"({"Name":"none","Args":["/no/such/program"],"Interval":"1s","Status":"passing"})");
  EXPECT_TRUE(eventually(
      [&] { return status_of("warn") == "warning" && status_of("none") == "critical"; }));
  EXPECT_EQ(output_of("warn"), "hm\n");
}

TEST_F(LonelyAgent, AliasChecksFollowTheirService) {
  ASSERT_TRUE(open());
  put("/v1/agent/service/register", R"({"Name":"web","Check":{"CheckID":"w","TTL":"60s"}})");
  put("/v1/agent/check/register", R"({"Name":"alias","AliasService":"web"})");
  put("/v1/agent/check/pass/w");
  EXPECT_TRUE(eventually([&] { return status_of("alias") == "passing"; }));
  put("/v1/agent/check/fail/w?note=down");
  EXPECT_TRUE(eventually([&] { return status_of("alias") == "critical"; }));
  EXPECT_EQ(output_of("alias"), "Aliased check \"Service 'web' check\" failing: down");
  put("/v1/agent/service/deregister/web");
  EXPECT_TRUE(eventually(
      [&] { return output_of("alias") == "Service web could not be found on node n1"; }));
}

}  // namespace
}  // namespace fyr::agent
