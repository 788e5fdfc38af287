// Who gets a request: balance, subsets, sites; and what becomes of flows to a lost primary.
#include <gtest/gtest.h>

#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

using std::chrono::milliseconds;

class Choice : public ForwardTest {
 protected:
  Choice() {
    listener.destination_type = DestinationType::Service;
    listener.health_check.type = CheckType::None;
  }
  void start_with(std::vector<EndpointInfo> endpoints) {
    source.first = EndpointUpdate{1, std::move(endpoints), false};
    start_with_source();
  }
  static EndpointInfo of(const Backend& backend, const std::string& site,
                         std::vector<std::string> tags = {}) {
    auto info = endpoint_of(backend);
    info.site = site;
    info.tags = std::move(tags);
    return info;
  }
  Backend a{"a"};
  Backend b{"b"};
  Backend c{"c"};
};

TEST_F(Choice, HeaderCookieAndPathHashesStickToOneEndpoint) {
  struct Case {
    HashOn on;
    std::string request;
  };
  for (const auto& [on, request] :
       {Case{HashOn::Header, "GET / HTTP/1.1\r\nHost: h\r\nX-User: eve\r\n\r\n"},
        Case{HashOn::Cookie, "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; x-user=eve\r\n\r\n"},
        Case{HashOn::Path, "GET /eve?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"}}) {
    listener.balance = on == HashOn::Path ? Balance::RingHash : Balance::Maglev;
    listener.hash_on = on;
    listener.hash_name = "x-user";
    start_with({endpoint_of(a), endpoint_of(b), endpoint_of(c)});
    const auto home = Client(port()).request(request).body;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Client(port()).request(request).body, home);
    proxy->stop();
    proxy.reset();
  }
  // Without the header the endpoints take turns.
  listener.hash_on = HashOn::Header;
  start_with({endpoint_of(a), endpoint_of(b)});
  Client client(port());
  EXPECT_NE(client.get().body, client.get().body);
}

TEST_F(Choice, SourceStaysWithOneEndpointUntilThatIsLost) {
  listener.balance = Balance::Source;
  start_with({endpoint_of(a), endpoint_of(b)});
  Client client(port());
  const auto home = client.get().body;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.get().body, home);
  (home == "a" ? a : b).kill();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Client(port()).get().body, home == "a" ? "b" : "a");
}

TEST_F(Choice, LeastConnAvoidsTheBusyOne) {
  for (const auto balance : {Balance::LeastConn, Balance::LeastRequest}) {
    SCOPED_TRACE(static_cast<int>(balance));
    Backend busy("busy");
    busy.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_until("never"); });
    listener.balance = balance;
    start_with({endpoint_of(busy)});
    Client stuck(port());
    stuck.stream.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(busy.await_count(1));
    source.push({2, {endpoint_of(busy), endpoint_of(b)}, false});
    ASSERT_TRUE(await_status("\"id\":\"node/b\""));
    Client client(port());
    for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
    EXPECT_EQ(busy.count(), 1u);
    proxy->stop();
    proxy.reset();
  }
}

TEST_F(Choice, subset) {
  listener.subset.tags = {"v2"};
  listener.subset.meta = {{"color", "blue"}};
  auto right = of(a, "", {"v1", "v2"});
  right.meta["color"] = "blue";
  auto wrong_meta = of(b, "", {"v2"});
  wrong_meta.meta["color"] = "green";
  auto wrong_tag = of(c, "", {"v1"});
  wrong_tag.meta["color"] = "blue";
  start_with({right, wrong_meta, wrong_tag});
  Client client(port());
  for (int i = 0; i < 9; ++i) ASSERT_EQ(client.get().body, "a");
  EXPECT_NE(proxy->status_json().find("\"excluded\":\"subset\""), std::string::npos);
}

TEST_F(Choice, ASubsetByFilterFollowsTheRegistry) {
  listener.subset.filter = "Service.Meta.version == v2 and not \"beta\" in Service.Tags";
  auto first = endpoint_of(a);
  first.meta["version"] = "v2";
  auto second = endpoint_of(b);
  second.meta["version"] = "v1";
  start_with({first, second});
  Client client(port());
  for (int i = 0; i < 6; ++i) ASSERT_EQ(client.get().body, "a");
  first.tags = {"beta"};
  second.meta["version"] = "v2";
  source.push({2, {first, second}, false});
  ASSERT_TRUE(await([&] { return client.get().body == "b"; }));
  for (int i = 0; i < 6; ++i) ASSERT_EQ(client.get().body, "b");
}

TEST_F(Choice, site_first) {
  site = "oslo";
  start_with({of(a, "frankfurt"), of(b, "oslo"), of(c, "")});
  Client client(port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get().body, "b");
}

TEST_F(Choice, site_lost) {
  site = "oslo";
  start_with({of(a, "frankfurt"), of(b, "oslo")});
  Client client(port());
  ASSERT_EQ(client.get().body, "b");
  b.kill();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get().body, "a");
}

TEST_F(Choice, ResidencyIsRefusedWithItsOwnReason) {
  listener.allowed_sites = {"oslo"};
  start_with({of(a, "frankfurt"), of(b, "")});
  auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "residency");
  EXPECT_NE(proxy->status_json().find("\"excluded\":\"residency\""), std::string::npos);
  source.push({2, {of(a, "frankfurt"), of(c, "oslo")}, false});
  Client client(port());
  ASSERT_TRUE(await([&] { return client.get().body == "c"; }));
  c.kill();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Client(port()).get().status, 503);
  EXPECT_EQ(a.count() + b.count(), 0u);
}

TEST_F(Choice, AServiceMayForbidSitesItself) {
  auto here = of(a, "oslo");
  auto there = of(b, "frankfurt");
  here.meta["proxy.allowed_sites"] = there.meta["proxy.allowed_sites"] = "oslo, bergen";
  start_with({here, there});
  Client client(port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "a");
}

// ---- TCP: primary and standby -------------------------------------------------------------------

class Primary : public Choice {
 protected:
  Primary() {
    listener.protocol = Protocol::Tcp;
    listener.balance = Balance::First;
    listener.prefer_tags = {"primary", "standby"};
    for (Backend* backend : {&a, &b}) {
      backend->on_connection([](Backend& self, Stream& stream) {
        while (!stream.read_until("\n").empty()) {
          if (!stream.send(self.name + "\n")) break;
        }
      });
    }
  }
  static std::string ask(Stream& stream) {
    stream.send("who\n");
    return stream.read_until("\n");
  }
  std::string ask_anew() {
    Stream stream = Stream::connect(port());
    return ask(stream);
  }
};

TEST_F(Primary, TheFirstTagDecidesWhereverItIs) {
  site = "oslo";
  start_with({of(a, "oslo", {"standby"}), of(b, "frankfurt", {"primary"})});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask_anew(), "b\n");
}

TEST_F(Primary, FlowsAreCutWhenThePrimaryIsCriticalAndTheStandbyTakesOver) {
  auto primary = of(a, "", {"primary"});
  start_with({primary, of(b, "", {"standby"})});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  primary.status = CatalogStatus::Critical;
  source.push({2, {primary, of(b, "", {"standby"})}, false});
  flow.read_to_end();
  EXPECT_TRUE(flow.was_reset());
  EXPECT_EQ(ask_anew(), "b\n");
}

TEST_F(Primary, FlowsAreCutWhenTheRolesAreChanged) {
  start_with({of(a, "", {"primary"}), of(b, "", {"standby"})});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  source.push({2, {of(a, "", {"standby"}), of(b, "", {"primary"})}, false});
  flow.read_to_end();
  EXPECT_TRUE(flow.was_reset());
  EXPECT_EQ(ask_anew(), "b\n");
}

TEST_F(Primary, FlowsAreCutWhenOurOwnChecksSayDown) {
  listener.health_check = HealthCheckConfig{.type = CheckType::Tcp,
                                            .interval = milliseconds(50),
                                            .timeout = milliseconds(500),
                                            .fall = 2,
                                            .fast_interval = milliseconds(20)};
  start_with({of(a, "", {"primary"}), of(b, "", {"standby"})});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  a.stop_listening();  // what is open stays open
  flow.read_to_end();
  EXPECT_TRUE(flow.was_reset());
  EXPECT_EQ(ask_anew(), "b\n");
}

TEST_F(Primary, FlowsStayWhereTheOperatorWantsThemTo) {
  listener.drain.on_down = OnDown::Keep;
  auto primary = of(a, "", {"primary"});
  start_with({primary, of(b, "", {"standby"})});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  primary.status = CatalogStatus::Critical;
  source.push({2, {primary, of(b, "", {"standby"})}, false});
  ASSERT_TRUE(await([&] { return ask_anew() == "b\n"; }));
  EXPECT_EQ(ask(flow), "a\n");
}

TEST_F(Primary, tcp_drain) {
  listener.balance = Balance::RoundRobin;
  listener.prefer_tags.clear();
  listener.drain.deadline = milliseconds(300);
  start_with({endpoint_of(a)});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  const auto began = std::chrono::steady_clock::now();
  source.push({2, {endpoint_of(b)}, false});
  ASSERT_TRUE(await([&] { return ask_anew() == "b\n"; }));
  flow.read_to_end();
  EXPECT_TRUE(flow.was_reset());
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(290));
}

TEST_F(Primary, AFlowIsCutAtOnceWhenItsEndpointIsFoundAtAForbiddenSite) {
  listener.balance = Balance::RoundRobin;
  listener.prefer_tags.clear();
  listener.allowed_sites = {"oslo"};
  listener.drain.on_down = OnDown::Keep;
  start_with({of(a, "oslo")});
  Stream flow = Stream::connect(port());
  EXPECT_EQ(ask(flow), "a\n");
  source.push({2, {of(a, "frankfurt")}, false});
  flow.read_to_end();
  EXPECT_TRUE(flow.was_reset());
}

}  // namespace
}  // namespace fyr::proxy::test
