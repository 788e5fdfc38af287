// Endpoints that come and go while traffic flows.
#include <gtest/gtest.h>

#include <future>

#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

class Discovery : public ForwardTest {
 protected:
  Discovery() {
    listener.destination_type = DestinationType::Service;
    listener.health_check.type = CheckType::None;
  }
  Backend a{"a"};
  Backend b{"b"};
  EndpointUpdate update(std::uint64_t index, std::vector<EndpointInfo> endpoints) {
    return {index, std::move(endpoints), false};
  }
};

TEST_F(Discovery, no_endpoints) {
  start_with_source();
  const auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "no_endpoints");
}

TEST_F(Discovery, start_without_servers) {
  source.first = EndpointUpdate{7, {endpoint_of(a)}, true};
  start_with_source();
  EXPECT_EQ(Client(port()).get().body, "a");  // the very first request
  EXPECT_TRUE(await_status("\"source\":\"disk\""));
}

TEST_F(Discovery, UpdatesMoveTrafficAndDoNotTouchClients) {
  source.first = update(1, {endpoint_of(a)});
  start_with_source();
  Client client(port());
  EXPECT_EQ(client.get().body, "a");
  source.push(update(2, {endpoint_of(b)}));
  ASSERT_TRUE(await([&] { return client.get().body == "b"; }));
  const auto before = a.count();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get().body, "b");
  EXPECT_EQ(a.count(), before);
}

TEST_F(Discovery, CriticalMaintenanceAndWeightZeroGetNoNewRequests) {
  for (const auto status : {CatalogStatus::Critical, CatalogStatus::Maintenance}) {
    auto bad = endpoint_of(a);
    bad.status = status;
    source.first = update(1, {bad, endpoint_of(b)});
    start_with_source();
    Client client(port());
    for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
    proxy->stop();
    proxy.reset();
  }
  auto zero = endpoint_of(a);
  zero.weight_passing = 0;
  source.first = update(1, {zero});
  start_with_source();
  EXPECT_EQ(Client(port()).get().field("X-Proxy-Reason"), "no_endpoints");
}

TEST_F(Discovery, EndpointsRegisteredUnderANameAreLookedUp) {
  auto named = endpoint_of(a);
  named.address = "ip6-localhost.invalid";
  source.first = update(1, {named});
  start_with_source();
  EXPECT_EQ(Client(port()).get().field("X-Proxy-Reason"), "no_endpoints");
  named.address = "LOCALHOST";  // the system's table of hosts, in any case
  source.push(update(2, {named}));
  ASSERT_TRUE(await([&] { return Client(port()).get().body == "a"; }));
}

TEST_F(Discovery, WeightsDecideTheShares) {
  auto heavy = endpoint_of(a);
  heavy.weight_passing = 3;
  source.first = update(1, {heavy, endpoint_of(b)});
  start_with_source();
  Client client(port());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(client.get().status, 200);
  EXPECT_NEAR(static_cast<double>(a.count()), 30, 1);
}

TEST_F(Discovery, deregister_maint) {
  std::promise<void> answer;
  a.on_request(
      [may_answer = answer.get_future().share()](Backend&, Stream& stream, const Seen& seen) {
        if (seen.line().starts_with("GET /held ")) may_answer.wait_for(kPatience);
        stream.send(Backend::ok("finished"));
      });
  source.first = update(1, {endpoint_of(a)});
  start_with_source();
  Client in_flight(port());
  in_flight.stream.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(a.await_count(1));
  source.push(update(2, {endpoint_of(b)}));
  Client other(port());
  ASSERT_TRUE(await([&] { return other.get().body == "b"; }));
  answer.set_value();
  EXPECT_EQ(in_flight.read_reply().body, "finished");
}

// Frozen after it was deregistered: whoever waits there is noticed like anybody else, also when it
// is registered again.
TEST_F(Discovery, AStallOfADepartedEndpointIsNoticed) {
  listener.health_check.type = CheckType::None;
  listener.stall.min = std::chrono::milliseconds(200);
  listener.timeouts.server = kPatience;
  for (const bool comes_back : {false, true}) {
    SCOPED_TRACE(comes_back);
    Backend frozen("frozen");
    std::promise<void> thaw;
    frozen.on_request([thawed = thaw.get_future().share()](Backend&, Stream&, const Seen&) {
      thawed.wait_for(kPatience);
    });
    source.first = update(1, {endpoint_of(frozen)});
    start_with_source();
    Client in_flight(port());
    Client post(port());
    in_flight.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    post.stream.send(post_of("x"));
    ASSERT_TRUE(frozen.await_count(2));
    frozen.frozen = true;
    source.push(update(2, {endpoint_of(b)}));
    if (comes_back) source.push(update(3, {endpoint_of(b), endpoint_of(frozen)}));
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(in_flight.read_reply().body, "b");
    EXPECT_EQ(post.read_reply().field("X-Proxy-Reason"), "host_dead");
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
    thaw.set_value();
    proxy->stop();
    proxy.reset();
  }
}

// The same, but alive: asked once, answered late, and nothing is repeated.
TEST_F(Discovery, ASlowAnswerOfADepartedEndpointIsWaitedFor) {
  listener.health_check.type = CheckType::None;
  listener.stall.min = std::chrono::milliseconds(100);
  source.first = update(1, {endpoint_of(a)});
  start_with_source();
  a.on_request([&](Backend&, Stream& stream, const Seen&) {
    // Two stalls will have been suspected and found to be none by then.
    EXPECT_FALSE(stream.readable_within(std::chrono::milliseconds(500)));
    stream.send(Backend::ok("slow"));
  });
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(a.await_count(1));
  source.push(update(2, {endpoint_of(b)}));
  EXPECT_EQ(client.read_reply().body, "slow");
  EXPECT_EQ(b.count(), 0u);
}

TEST_F(Discovery, endpoint_churn_1000) {
  source.first = update(1, {endpoint_of(a), endpoint_of(b)});
  start_with_source();
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::atomic<int> served{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      Client client(port());
      while (!stop) {
        if (client.get().status == 200) {
          ++served;
        } else {
          ++failed;
        }
      }
    });
  }
  auto heavy = endpoint_of(b);
  heavy.weight_passing = 5;
  for (std::uint64_t i = 2; i < 1002; ++i) {
    switch (i % 3) {
      case 0:
        source.push(update(i, {endpoint_of(a)}));
        break;
      case 1:
        source.push(update(i, {endpoint_of(b)}));
        break;
      default:
        source.push(update(i, {endpoint_of(a), heavy}));
        break;
    }
    const int before = served;
    if (i % 10 == 0) {
      ASSERT_TRUE(await([&] { return served > before; }));
    }
  }
  ASSERT_TRUE(await_status("\"index\":1001"));
  stop = true;
  for (auto& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(served, 100);
}

TEST_F(Discovery, kill_instance) {
  source.first = update(1, {endpoint_of(a), endpoint_of(b)});
  start_with_source();
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::atomic<int> served{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      Client client(port());
      while (!stop) {
        if (client.get().status == 200) {
          ++served;
        } else {
          ++failed;
        }
      }
    });
  }
  ASSERT_TRUE(await([&] { return served > 500; }));
  a.kill();
  const int before = served;
  ASSERT_TRUE(await([&] { return served > before + 500; }));
  stop = true;
  for (auto& client : clients) client.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace fyr::proxy::test
