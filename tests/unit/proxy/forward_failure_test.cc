// Retry and health: endpoints that refuse, reset, freeze.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class Failure : public ForwardTest {
 protected:
  Failure() { listener.health_check.type = CheckType::None; }
  Backend a{"a"};
  Backend b{"b"};
};

TEST_F(Failure, RoundRobinTakesTurns) {
  start({&a, &b});
  Client client(port());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(client.get().status, 200);
  EXPECT_EQ(a.count(), 20u);
  EXPECT_EQ(b.count(), 20u);
}

TEST_F(Failure, refused) {
  a.stop_listening();
  listener.timeouts.connect = 6 * kPatience;  // to wait for it would fail the client
  listener.timeouts.request = 6 * kPatience;
  listener.outlier.connect = 1000;  // the endpoint that refuses keeps its turns
  start({&a, &b});
  Client client(port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
  EXPECT_EQ(b.count(), 10u);
  EXPECT_EQ(proxy->stats().retries_total, 5u);  // one for each of its turns
}

TEST_F(Failure, post_refused) {
  a.stop_listening();
  start({&a, &b});
  Client client(port());
  for (int i = 0; i < 6; ++i) ASSERT_EQ(client.request(post_of("body")).status, 200);
  EXPECT_EQ(b.count(), 6u);
}

TEST_F(Failure, AllRefuse) {
  a.stop_listening();
  b.stop_listening();
  listener.timeouts.connect = 6 * kPatience;  // to wait for it would fail the client
  listener.timeouts.request = 6 * kPatience;
  start({&a, &b});
  const auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "connect_failed");
  EXPECT_EQ(reply.field("Retry-After"), "1");
}

// A listener whose queue is full drops SYNs, as a vanished host does.
TEST_F(Failure, connect_timeout) {
  const int deaf = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::listen(deaf, 0);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(deaf, reinterpret_cast<sockaddr*>(&address), &length);
  const std::uint16_t deaf_port = ntohs(address.sin_port);
  std::vector<Stream> fill;
  for (int i = 0; i < 3; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    fill.emplace_back(fd);
  }
  listener.timeouts.connect = milliseconds(200);
  listener.endpoints.push_back({"deaf", "127.0.0.1", deaf_port, 1});
  start({&b});
  Client client(port());
  const auto began = steady_clock::now();
  EXPECT_EQ(client.get().body, "b");
  EXPECT_EQ(client.get().body, "b");
  const auto took = steady_clock::now() - began;
  EXPECT_GE(took, milliseconds(200));  // one of the two had to try the deaf one
  EXPECT_LT(took, milliseconds(4000));
  ::close(deaf);
}

TEST_F(Failure, get_reset) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.reset(); });
  start({&a, &b});
  Client client(port());
  EXPECT_EQ(client.get().body, "b");
  EXPECT_EQ(client.get().body, "b");
  EXPECT_EQ(a.count(), 1u);
  EXPECT_EQ(proxy->stats().replays_total, 1u);
}

TEST_F(Failure, post_reset) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.reset(); });
  start({&a});
  Client client(port());
  const auto reply = client.request(post_of("order"));
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "reset");
  EXPECT_EQ(a.count(), 1u);
}

TEST_F(Failure, FinWithoutAnAnswerIsAReset) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.close(); });
  start({&a, &b});
  const int status = Client(port()).request(post_of("x", "X-First: 1\r\n")).status;
  EXPECT_EQ(status == 200, b.count() == 1);
  EXPECT_EQ(Client(port()).get().body, "b");
}

TEST_F(Failure, put_large) {
  const auto reset = [](Backend&, Stream& stream) {
    stream.read_exactly(150 * 1024);
    stream.reset();
  };
  a.on_connection(reset);
  b.on_connection(reset);
  start({&a, &b});
  Client client(port());
  const std::string body(200 * 1024, 'x');
  client.stream.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
                     "\r\n\r\n" + body);
  EXPECT_EQ(client.read_reply().status, 502);
  EXPECT_EQ(a.connections() + b.connections(), 1);
}

TEST_F(Failure, put_small) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.reset(); });
  start({&a, &b});
  Client client(port());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.request("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").status,
              200);
  }
  for (const auto& seen : b.seen()) EXPECT_EQ(seen.body, "hello");
}

TEST_F(Failure, budget) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.reset(); });
  b.on_request([](Backend&, Stream& stream, const Seen&) { stream.reset(); });
  listener.retries.budget_ratio = 0;
  listener.retries.budget_min_per_sec = 1;  // ten in the window
  start({&a, &b});
  Client client(port());
  std::string last;
  for (int i = 0; i < 20; ++i) last = client.get().field("X-Proxy-Reason");
  EXPECT_EQ(last, "retry_budget");
  EXPECT_LE(a.count() + b.count(), 31u);
}

TEST_F(Failure, attempts_and_no_same_host) {
  Backend c{"c"};
  Backend d{"d"};
  Backend e{"e"};
  const auto reset = [](Backend&, Stream& stream, const Seen&) { stream.reset(); };
  for (auto* backend : {&a, &b, &c, &d, &e}) backend->on_request(reset);
  start({&a, &b, &c, &d, &e});
  const auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "reset");
  std::size_t tries = 0;
  for (auto* backend : {&a, &b, &c, &d, &e}) {
    EXPECT_LE(backend->count(), 1u);
    tries += backend->count();
  }
  EXPECT_EQ(tries, 4u);
}

TEST_F(Failure, OnlyEndpointIsTriedAgainAfterAPause) {
  std::atomic<int> requests{0};
  a.on_request([&](Backend&, Stream& stream, const Seen&) {
    if (++requests == 1) {
      stream.reset();
    } else {
      stream.send(Backend::ok("second"));
    }
  });
  listener.timeouts.connect = milliseconds(200);
  start({&a});
  const auto began = steady_clock::now();
  EXPECT_EQ(Client(port()).get().body, "second");
  EXPECT_GE(steady_clock::now() - began, milliseconds(90));
}

TEST_F(Failure, ReusedConnectionThatDiesIsReplacedAtOnce) {
  a.on_request([](Backend&, Stream& stream, const Seen& seen) {
    if (seen.line().find("/die") != std::string::npos) {
      stream.reset();
    } else {
      stream.send(Backend::ok("ok"));
    }
  });
  start({&a});
  Client client(port());
  EXPECT_EQ(client.get("/").status, 200);
  // The same endpoint, a new connection: it may only have been restarted.
  a.reset_all();
  EXPECT_EQ(client.get("/").status, 200);
  EXPECT_EQ(a.connections(), 2);
}

TEST_F(Failure, after_headers) {
  const auto cut = [](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
    stream.reset();
  };
  a.on_request(cut);
  b.on_request(cut);
  start({&a, &b});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.read_to_end();
  EXPECT_TRUE(client.stream.was_reset());
  EXPECT_EQ(a.count() + b.count(), 1u);
}

TEST_F(Failure, client_abort) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_to_end(); });
  b.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_to_end(); });
  start({&a, &b});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(await([&] { return a.count() + b.count() == 1; }));
  client.stream.reset();
  ASSERT_TRUE(await_status("\"conns\":0"));
  EXPECT_EQ(a.count() + b.count(), 1u);
  EXPECT_EQ(proxy->stats().replays_total, 0u);
}

// A client that will send no more still waits for its answer.
TEST_F(Failure, half_closed_client) {
  std::promise<void> closed;
  const auto half_closed = closed.get_future().share();
  std::atomic<int> requests{0};
  const auto reset_first = [&requests, half_closed](Backend&, Stream& stream, const Seen&) {
    if (++requests == 1) {
      half_closed.wait_for(kPatience);
      stream.reset();
    } else {
      stream.send(Backend::ok("second"));
    }
  };
  a.on_request(reset_first);
  b.on_request(reset_first);
  start({&a, &b});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.shutdown_write();
  closed.set_value();
  EXPECT_EQ(client.read_reply().body, "second");
  EXPECT_TRUE(client.stream.at_end());
}

TEST_F(Failure, ServerTimeoutOfAPostIs504) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_to_end(); });
  listener.timeouts.server = milliseconds(200);
  start({&a});
  const auto reply = Client(port()).request(post_of("x"));
  EXPECT_EQ(reply.status, 504);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "response_timeout");
}

TEST_F(Failure, total_deadline) {
  a.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_to_end(); });
  b.on_request([](Backend&, Stream& stream, const Seen&) { stream.read_to_end(); });
  listener.stall.enabled = false;
  listener.timeouts.server = milliseconds(300);
  listener.timeouts.request = milliseconds(500);
  start({&a, &b});
  const auto began = steady_clock::now();
  const auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 504);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "request_timeout");
  const auto took = steady_clock::now() - began;
  EXPECT_GE(took, milliseconds(480));
  EXPECT_LT(took, milliseconds(4000));
  EXPECT_EQ(a.count() + b.count(), 2u);
}

TEST_F(Failure, stall_frozen) {
  start({&a, &b});
  Client warm(port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(warm.get().status, 200);
  a.frozen = true;
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  std::atomic<std::int64_t> slowest{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      Client client(port());
      for (int k = 0; k < 5; ++k) {
        const auto began = steady_clock::now();
        if (client.get().body == "b") ++good;
        const auto ms = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
        std::int64_t seen = slowest;
        while (ms.count() > seen && !slowest.compare_exchange_weak(seen, ms.count())) {
        }
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, 40);
  EXPECT_LT(slowest, 2000);
  EXPECT_TRUE(await_status("\"local\":\"DOWN\""));
}

// Nobody is answered and answers were quick before: found well before a slow answer would be.
TEST_F(Failure, SilenceIsNoticedEarly) {
  listener.stall.min = std::chrono::seconds(3);
  start({&a, &b});
  for (int i = 0; i < 8; ++i) {  // both io threads learn what is usual
    Client warm(port());
    for (int k = 0; k < 50; ++k) ASSERT_EQ(warm.get().status, 200);
  }
  a.frozen = true;
  const auto began = steady_clock::now();
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      Client client(port());
      for (int k = 0; k < 2; ++k) good += client.get().body == "b" ? 1 : 0;
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, 32);
  EXPECT_LT(steady_clock::now() - began, milliseconds(2800));
}

TEST_F(Failure, PostToAFrozenEndpointIs502HostDead) {
  listener.stall.min = milliseconds(200);
  listener.timeouts.server = std::chrono::seconds(8);
  start({&a});
  a.frozen = true;
  const auto reply = Client(port()).request(post_of("x"));
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "host_dead");
}

// Reads everything and answers it all when it wakes up, as a stopped process does.
class Pausing {
 public:
  explicit Pausing(Backend& backend) {
    // The backend's threads outlive this object: health checks come until the proxy stops.
    backend.on_connection([state = state_](Backend& self, Stream& stream) {
      while (true) {
        const auto head = stream.read_until("\r\n\r\n");
        if (!head.ends_with("\r\n\r\n")) return;
        std::unique_lock lock(state->mutex);
        if (state->paused && head.starts_with("GET /wanted")) ++state->held;
        state->changed.notify_all();
        state->changed.wait_for(lock, kPatience, [&] { return !state->paused; });
        stream.send(Backend::ok(self.name));
      }
    });
  }
  ~Pausing() { pause(false); }
  void pause(bool on) {
    std::lock_guard lock(state_->mutex);
    state_->paused = on;
    state_->changed.notify_all();
  }
  bool await_held() {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, kPatience, [&] { return state_->held > 0; });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool paused = false;
    int held = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_F(Failure, RequestsWaitForTheLastLivingEndpointToWakeUp) {
  Pausing pausing(a);
  listener.stall.min = milliseconds(200);
  listener.timeouts.server = std::chrono::seconds(8);
  listener.health_check.type = CheckType::Http;
  listener.health_check.interval = milliseconds(50);
  listener.health_check.fast_interval = milliseconds(20);
  b.kill();
  start({&a, &b});
  ASSERT_TRUE(await_status("\"local\":\"DOWN\""));
  Client client(port());
  ASSERT_EQ(client.get().body, "a");
  ASSERT_TRUE(await_status("\"local\":\"UP\""));
  pausing.pause(true);
  client.stream.send("GET /wanted HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(pausing.await_held());
  // The verdict has come when neither is UP any more; a 502 would have come with it.
  ASSERT_TRUE(await([&] {
    const auto status = proxy->status_json();
    const auto first = status.find("\"local\":\"DOWN\"");
    return first != std::string::npos &&
           status.find("\"local\":\"DOWN\"", first + 1) != std::string::npos;
  }));
  EXPECT_FALSE(client.stream.readable_within(milliseconds(100)));
  pausing.pause(false);
  EXPECT_EQ(client.read_reply().body, "a");
}

// Even given up altogether, the only one left is asked again: it may have been restarted.
TEST_F(Failure, TheLastLivingEndpointIsTriedAgainAfterAPause) {
  std::atomic<int> requests{0};
  a.on_request([&](Backend&, Stream& stream, const Seen&) {
    if (++requests == 1) {
      stream.reset();
    } else {
      stream.send(Backend::ok("second"));
    }
  });
  listener.timeouts.connect = milliseconds(200);
  listener.health_check.type = CheckType::Http;
  listener.health_check.interval = milliseconds(50);
  listener.health_check.fast_interval = milliseconds(20);
  b.kill();
  start({&a, &b});
  ASSERT_TRUE(await_status("\"local\":\"DOWN\""));
  EXPECT_EQ(Client(port()).get().body, "second");
}

TEST_F(Failure, stall_slow_alive) {
  std::mutex mutex;
  std::condition_variable go;
  bool answer = false;
  const auto slow = [&](Backend&, Stream& stream, const Seen&) {
    std::unique_lock lock(mutex);
    go.wait_for(lock, milliseconds(900), [&] { return answer; });
    stream.send(Backend::ok("slow"));
  };
  a.on_request(slow);
  b.on_request(slow);
  listener.stall.min = milliseconds(200);
  start({&a, &b});
  EXPECT_EQ(Client(port()).get().body, "slow");
  EXPECT_EQ(a.count() + b.count(), 1u);
}

TEST_F(Failure, eject_two_connects) {
  a.stop_listening();
  listener.health_check.type = CheckType::Http;
  listener.health_check.interval = std::chrono::seconds(60);
  start({&a, &b});
  Client client(port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
  ASSERT_TRUE(await_status("\"local\":\"EJECTED\""));
  const auto retries = proxy->stats().retries_total;
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
  EXPECT_EQ(proxy->stats().retries_total, retries);  // not even tried
}

TEST_F(Failure, FailingChecksTakeAnEndpointOutAndBackIn) {
  listener.health_check.type = CheckType::Http;
  listener.health_check.interval = milliseconds(50);
  listener.health_check.fast_interval = milliseconds(20);
  a.healthy = false;
  start({&a, &b});
  ASSERT_TRUE(await_status("\"local\":\"DOWN\""));
  Client client(port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(client.get().body, "b");
  a.healthy = true;
  ASSERT_TRUE(await([&] { return client.get().body == "a"; }));
}

TEST_F(Failure, panic_last) {
  listener.health_check.type = CheckType::Http;
  listener.health_check.interval = milliseconds(50);
  listener.health_check.fast_interval = milliseconds(20);
  a.healthy = false;
  start({&a});
  ASSERT_TRUE(await_status("\"local\":\"DOWN\""));
  EXPECT_EQ(Client(port()).get().body, "a");  // failing its check is better than nothing
}

}  // namespace
}  // namespace fyr::proxy::test
