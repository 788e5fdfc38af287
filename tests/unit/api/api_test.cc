#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "server/api/answer_cache.h"
#include "server/api/blocking.h"
#include "tests/unit/api/api_fixture.h"

namespace fyr::server {
namespace {

using namespace std::chrono_literals;

// A server that was never told to start a cluster by itself.
class LeaderlessApiTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiOptions options;
    options.rpc_hold_timeout = 300ms;
    open(false, std::move(options));
  }
};

TEST_F(LeaderlessApiTest, HoldsRequestsForALeaderAndThenSaysThatThereIsNone) {
  auto c = client();
  for (const auto* method : {"GET", "PUT", "DELETE"}) {
    const auto begin = now();
    const auto reply = c.ask(method, "/v1/kv/a");
    EXPECT_EQ(reply.status, 500) << method;
    EXPECT_EQ(reply.body, "No cluster leader") << method;
    EXPECT_GE(now() - begin, 200ms) << method;
  }
  EXPECT_EQ(c.ask("GET", "/v1/status/leader").body, "\"\"");
}

TEST_F(ApiTest, KeepsValuesAndSaysTheIndexAlsoForWhatIsNotThere) {
  auto c = client();
  const auto missing = c.ask("GET", "/v1/kv/a");
  EXPECT_EQ(missing.status, 404);
  EXPECT_GE(missing.index(), 1u);
  EXPECT_EQ(missing.headers.at("x-consul-knownleader"), "true");
  EXPECT_EQ(c.ask("PUT", "/v1/kv/a?flags=7", "hello").body, "true");
  const auto found = c.ask("GET", "/v1/kv/a");
  EXPECT_EQ(found.value().at(0).at("Value").as_string(), "aGVsbG8=");
  EXPECT_EQ(found.value().at(0).at("ModifyIndex").to_number<std::uint64_t>(), found.index());
  EXPECT_EQ(c.ask("GET", "/v1/kv/a?raw").body, "hello");
  EXPECT_EQ(c.ask("PUT", "/v1/kv/a?cas=1", "x").body, "false");
  EXPECT_EQ(c.ask("DELETE", "/v1/kv/a").body, "true");
  const auto gone = c.ask("GET", "/v1/kv/a");
  EXPECT_EQ(gone.status, 404);
  EXPECT_GT(gone.index(), found.index());
}

TEST_F(ApiTest, RefusesValuesAboveTheLimitAndKeepsNothingOfThem) {
  auto c = client();
  EXPECT_EQ(c.ask("PUT", "/v1/kv/max", std::string(512 * 1024, 'a')).status, 200);
  const auto refused = c.ask("PUT", "/v1/kv/over", std::string(512 * 1024 + 1, 'a'));
  EXPECT_EQ(refused.status, 413);
  EXPECT_NE(refused.body.find("too large"), std::string::npos);
  EXPECT_EQ(c.ask("GET", "/v1/kv/over").status, 404);
}

TEST_F(ApiTest, WakesAWaiterOnItsOwnChangeOnly) {
  register_instance("w1", "passing");
  auto c = client();
  const auto first = c.ask("GET", "/v1/health/service/web");
  const auto waiting = "/v1/health/service/web?index=" + std::to_string(first.index());
  count_own_subscriptions();
  c.send("GET", waiting + "&wait=60s");
  wait_for_subscriptions(1);
  register_instance("o1", "passing", "", "other");
  EXPECT_FALSE(c.answered());
  register_instance("w1", "critical");
  const auto woken = c.receive();
  EXPECT_GT(woken.index(), first.index());
  EXPECT_EQ(woken.value().at(0).at("Checks").at(0).at("Status").as_string(), "critical");
  wait_for_subscriptions(0);
}

TEST_F(ApiTest, LeavesAWaiterAloneWhenItsOwnAnswerStaysTheSame) {
  register_instance("w1", "passing");
  register_instance("w2", "critical", "one");
  auto c = client();
  const auto first = c.ask("GET", "/v1/health/service/web?passing");
  count_own_subscriptions();
  c.send("GET", "/v1/health/service/web?passing&wait=60s&index=" + std::to_string(first.index()));
  wait_for_subscriptions(1);
  register_instance("w2", "critical", "two");
  register_instance("w2", "passing", "three");
  const auto woken = c.receive();
  EXPECT_EQ(woken.value().as_array().size(), 2u);
}

TEST_F(ApiTest, AnswersAWaiterWithTheSameIndexWhenItsTimeIsOver) {
  put("/v1/kv/a", "1");
  auto c = client();
  const auto first = c.ask("GET", "/v1/kv/a");
  const auto begin = now();
  const auto same = c.ask("GET", "/v1/kv/a?wait=200ms&index=" + std::to_string(first.index()));
  EXPECT_GE(now() - begin, 200ms);
  EXPECT_EQ(same.index(), first.index());
  EXPECT_EQ(same.body, first.body);
}

TEST_F(ApiTest, ForgetsAWaiterWhoseClientWentAway) {
  count_own_subscriptions();
  {
    auto c = client();
    c.send("GET", "/v1/kv/none?index=1000000&wait=60s");
    wait_for_subscriptions(1);
  }
  wait_for_subscriptions(0);
}

TEST_F(ApiTest, SharesOneSubscriptionBetweenEqualWaiters) {
  register_instance("w1", "passing");
  const auto index = client().ask("GET", "/v1/health/service/web").index();
  count_own_subscriptions();
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(client());
    clients.back().send("GET", "/v1/health/service/web?wait=60s&index=" + std::to_string(index));
  }
  // All 200 have parked once another request on each connection would only be queued; a change
  // that comes before the last has parked is answered to it at once all the same.
  register_instance("w1", "warning");
  for (auto& c : clients) {
    const auto woken = c.receive();
    EXPECT_GT(woken.index(), index);
  }
  EXPECT_LE(subscriptions(), 2u);
  wait_for_subscriptions(0);
}

TEST_F(ApiTest, AnswersWhatWaitsWhenItStops) {
  count_own_subscriptions();
  auto c = client();
  c.send("GET", "/v1/kv/none?index=1000000&wait=60s");
  wait_for_subscriptions(1);
  api_->stop();
  EXPECT_EQ(c.receive().status, 404);
}

TEST_F(ApiTest, ShowsAChangeInTheVeryNextRead) {
  auto c = client();
  for (int port = 1; port <= 50; ++port) {
    const auto body = R"({"Node":"n","Address":"10.0.0.1","Service":{"Service":"s","Port":)" +
                      std::to_string(port) + "}}";
    EXPECT_EQ(c.ask("PUT", "/v1/catalog/register", body).body, "true");
    const auto read = c.ask("GET", "/v1/health/service/s").value();
    EXPECT_EQ(read.at(0).at("Service").at("Port").as_int64(), port);
  }
}

TEST_F(ApiTest, NamesWhatIsWrongWithARegistration) {
  auto c = client();
  const auto refused = [&](const std::string& body) {
    const auto reply = c.ask("PUT", "/v1/catalog/register", body);
    return std::to_string(reply.status) + " " + reply.body;
  };
  EXPECT_EQ(refused(R"({"Address":"1.1.1.1"})"), "500 Must provide node");
  EXPECT_EQ(refused(R"({"Node":"x"})"), "500 Must provide address if SkipNodeUpdate is not set");
  EXPECT_EQ(refused(R"({"Node":"x","Address":"1.1.1.1","Datacenter":"mars"})"),
            "500 No path to datacenter");
  EXPECT_EQ(refused(R"({"Node":"x","Address":"1.1.1.1","Unknown":1})"),
            "400 Request decode failed: json: unknown field \"Unknown\"");
  EXPECT_EQ(refused(""), "400 Request decode failed: EOF");
  EXPECT_NE(refused(R"({"Node":"x","Address":"1","Service":{"Service":"s","Port":70000}})")
                .find("Service.Port"),
            std::string::npos);
  EXPECT_NE(refused(R"({"Node":"x","Address":"1","Check":{"Name":"c","Status":"fluffy"}})")
                .find("Check.Status"),
            std::string::npos);
  EXPECT_EQ(c.ask("GET", "/v1/catalog/node/x").body, "null");
}

TEST_F(ApiTest, CompressesTheSharedAnswerForThoseWhoAskForIt) {
  for (int i = 0; i < 10; ++i) register_instance("w" + std::to_string(i), "passing");
  auto c = client();
  const auto plain = c.ask("GET", "/v1/health/service/web");
  const auto packed = c.ask("GET", "/v1/health/service/web", "", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(plain.headers.count("content-encoding"), 0u);
  EXPECT_EQ(packed.headers.at("content-encoding"), "gzip");
  EXPECT_LT(packed.body.size(), plain.body.size() / 2);
}

TEST_F(ApiTest, GivesEverySessionTheNodeItWasAskedOn) {
  put("/v1/catalog/register",
      R"({"Node":"conf1","Address":"127.0.0.1","Check":{"CheckID":"serfHealth","Name":"s",)"
      R"("Status":"passing"}})");
  auto c = client();
  const auto made = c.ask("PUT", "/v1/session/create", R"({"TTL":"10s"})");
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id(made.value().at("ID").as_string());
  const auto info = c.ask("GET", "/v1/session/info/" + id).value();
  EXPECT_EQ(info.at(0).at("Node").as_string(), "conf1");
  EXPECT_EQ(info.at(0).at("LockDelay").as_int64(), 15'000'000'000);
  EXPECT_EQ(c.ask("PUT", "/v1/kv/lock?acquire=" + id, "me").body, "true");
  EXPECT_EQ(c.ask("PUT", "/v1/session/renew/" + id).status, 200);
  EXPECT_EQ(c.ask("PUT", "/v1/session/destroy/" + id).body, "true");
  EXPECT_EQ(c.ask("GET", "/v1/session/info/" + id).body, "[]");
  EXPECT_EQ(c.ask("PUT", "/v1/session/renew/" + id).status, 404);
}

TEST_F(ApiTest, ListsServicesByWhatAFilterSelects) {
  register_instance("w1", "passing");
  register_instance("o1", "passing", "", "other");
  auto c = client();
  EXPECT_EQ(c.ask("GET", "/v1/catalog/services").body, R"({"other":[],"web":[]})");
  EXPECT_EQ(c.ask("GET", "/v1/catalog/services?filter=ServiceName==web").body, R"({"web":[]})");
  EXPECT_EQ(c.ask("GET", "/v1/catalog/services?filter=Nope==web").status, 500);
}

ReadPlan value_of(const std::string& key, std::size_t size, int& made) {
  ReadPlan plan;
  plan.key = CacheKey("test").add(key).take();
  plan.topics = {{TopicKind::KvKey, key}};
  plan.fetch = [size, &made](const StateStore&) -> std::function<Rendered()> {
    ++made;
    return [size] { return Rendered::json(std::string(size, '1')); };
  };
  return plan;
}

TEST_F(ApiTest, MakesAnAnswerOncePerChange) {
  AnswerCache cache(*server_);
  int made = 0;
  const auto plan = value_of("a", 10, made);
  const auto first = cache.get(plan, false);
  EXPECT_EQ(cache.get(plan, false), first);
  EXPECT_EQ(made, 1);
  put("/v1/kv/other", "x");
  EXPECT_EQ(cache.get(plan, false), first);
  put("/v1/kv/a", "x");
  EXPECT_GT(cache.get(plan, false)->index(), first->index());
  EXPECT_EQ(made, 2);
}

TEST_F(ApiTest, KeepsAnswersWithinItsLimits) {
  AnswerCache cache(*server_, {.entries = 3, .bytes = 20'000});
  int made = 0;
  for (const auto* key : {"a", "b", "c", "d"}) cache.get(value_of(key, 10, made), false);
  EXPECT_EQ(cache.entries(), 3u);
  cache.get(value_of("b", 10, made), false);
  EXPECT_EQ(made, 4);
  cache.get(value_of("a", 10, made), false);  // the oldest had gone
  EXPECT_EQ(made, 5);
  EXPECT_EQ(cache.get(value_of("large", 30'000, made), false)->bytes(), 30'000u);
  EXPECT_LE(cache.bytes(), 20'000u);
}

// A poll on a large tree of keys costs what it waits for, not the tree.
TEST_F(ApiTest, MakesNoAnswerForAPollThatGoesOnWaiting) {
  std::atomic<int> made{0};
  const ApiOptions options;
  Reads reads(*server_, *runtime_, options);
  io::HttpRouter router{io::RouterOptions()};
  router.add("GET", "/counted", [&](const io::HttpCallPtr& call) {
    ReadPlan plan;
    plan.key = "counted";
    plan.topics = {{TopicKind::KvPrefix, "t/"}};
    plan.kept = false;
    plan.fetch = [&](const StateStore&) -> std::function<Rendered()> {
      ++made;
      return [] { return Rendered::json("[]"); };
    };
    reads.serve(call, std::move(plan));
  });
  io::HttpServerOptions listen;
  listen.listen = {{"127.0.0.1", 0}};
  auto http = io::HttpServer::listen(
      *runtime_, listen,
      [&](std::shared_ptr<io::HttpExchange> exchange) { router.handle(exchange); });
  ASSERT_TRUE(http) << http.error().message;
  put("/v1/kv/t/a", "1");
  Client c((*http)->bound().at(0).port);
  const auto first = c.ask("GET", "/counted");
  EXPECT_EQ(made, 1);
  count_own_subscriptions();
  c.send("GET", "/counted?wait=20s&index=" + std::to_string(first.index()));
  wait_for_subscriptions(1);
  put("/v1/kv/other", "1");
  EXPECT_FALSE(c.answered());
  EXPECT_EQ(made, 1);
  put("/v1/kv/t/a", "2");
  EXPECT_GT(c.receive().index(), first.index());
  EXPECT_EQ(made, 2);
  reads.stop();
  (*http)->stop();
}

}  // namespace
}  // namespace fyr::server
