// L4: bytes, ends and resets pass as they are.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

using std::chrono::milliseconds;

class TcpForward : public ForwardTest {
 protected:
  TcpForward() {
    listener.protocol = Protocol::Tcp;
    listener.health_check.type = CheckType::None;
    backend.on_connection([](Backend&, Stream& stream) {  // echo
      while (true) {
        const auto line = stream.read_until("\n");
        if (line.empty() || !stream.send(line)) break;
      }
      stream.shutdown_write();
      stream.read_to_end();
    });
  }
  Backend backend{"b1"};
};

TEST_F(TcpForward, BytesPassBothWays) {
  start({&backend});
  Stream client = Stream::connect(port());
  for (int i = 0; i < 50; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    client.send(line);
    ASSERT_EQ(client.read_until("\n"), line);
  }
}

// As many as clients may be there: no smaller limit turns some of them away.
TEST_F(TcpForward, OneEndpointGetsAsManyConnectionsAsTheListener) {
  constexpr int kClients = 1100;
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::listen(listening, kClients), 0);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &length);
  listener.endpoints.push_back({"many", "127.0.0.1", ntohs(address.sin_port), 1});
  start({});
  std::vector<Stream> clients;
  std::vector<Stream> accepted;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(Stream::connect(port()));
    clients.back().send("x");
    pollfd arrival{listening, POLLIN, 0};
    ASSERT_EQ(::poll(&arrival, 1, static_cast<int>(milliseconds(kPatience).count())), 1) << i;
    accepted.emplace_back(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_EQ(accepted.back().read_exactly(1), "x") << i;
  }
  accepted.clear();
  ::close(listening);
}

TEST_F(TcpForward, LimitOfConnectionsToOneEndpoint) {
  listener.limits.endpoint_max_connections = 1;
  start({&backend});
  Stream first = Stream::connect(port());
  first.send("a\n");
  ASSERT_EQ(first.read_until("\n"), "a\n");
  Stream second = Stream::connect(port());
  EXPECT_FALSE(second.at_end());
  EXPECT_TRUE(second.was_reset());
}

TEST_F(TcpForward, half_close) {
  backend.on_connection([](Backend&, Stream& stream) {
    const auto all = stream.read_to_end();
    stream.send("got " + std::to_string(all.size()));
    stream.shutdown_write();
  });
  start({&backend});
  Stream client = Stream::connect(port());
  client.send(std::string(100000, 'x'));
  client.shutdown_write();
  EXPECT_EQ(client.read_to_end(), "got 100000");
  EXPECT_FALSE(client.was_reset());
  EXPECT_TRUE(await_status("\"conns\":0"));
}

TEST_F(TcpForward, HalfCloseOfTheEndpointLeavesTheClientWriting) {
  std::string received;
  std::mutex mutex;
  backend.on_connection([&](Backend&, Stream& stream) {
    stream.send("bye");
    stream.shutdown_write();
    const auto all = stream.read_to_end();
    std::lock_guard lock(mutex);
    received = all;
  });
  start({&backend});
  Stream client = Stream::connect(port());
  EXPECT_EQ(client.read_to_end(), "bye");
  client.send("still here");
  client.shutdown_write();
  EXPECT_TRUE(await([&] {
    std::lock_guard lock(mutex);
    return received == "still here";
  }));
}

TEST_F(TcpForward, rst_of_the_endpoint_reaches_the_client) {
  backend.on_connection([](Backend&, Stream& stream) {
    stream.read_until("\n");
    stream.reset();
  });
  start({&backend});
  Stream client = Stream::connect(port());
  client.send("x\n");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.was_reset());
}

TEST_F(TcpForward, rst_of_the_client_reaches_the_endpoint) {
  std::atomic<int> end{0};
  backend.on_connection([&](Backend&, Stream& stream) {
    stream.send("hello\n");
    stream.read_to_end();
    end = stream.was_reset() ? 2 : 1;
  });
  start({&backend});
  Stream client = Stream::connect(port());
  EXPECT_EQ(client.read_until("\n"), "hello\n");
  client.reset();
  ASSERT_TRUE(await([&] { return end != 0; }));
  EXPECT_EQ(end, 2);
}

TEST_F(TcpForward, connect_fail) {
  Backend other{"b2"};
  backend.stop_listening();
  other.stop_listening();
  start({&backend, &other});
  Stream client = Stream::connect(port());
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.was_reset());
}

TEST_F(TcpForward, RefusedConnectionGoesToTheOtherEndpoint) {
  Backend dead{"dead"};
  dead.stop_listening();
  start({&dead, &backend});
  for (int i = 0; i < 6; ++i) {
    Stream client = Stream::connect(port());
    client.send("early\n");  // early_bytes: sent before the endpoint is connected
    ASSERT_EQ(client.read_until("\n"), "early\n");
  }
}

TEST_F(TcpForward, LargeStreamsPassIntact) {
  backend.on_connection([](Backend&, Stream& stream) {
    stream.send(stream.read_to_end());
    stream.shutdown_write();
    stream.read_to_end();
  });
  start({&backend});
  std::string data(5 << 20, 'x');
  for (std::size_t i = 0; i < data.size(); i += 1001) data[i] = static_cast<char>('a' + i % 26);
  Stream client = Stream::connect(port());
  client.send(data);
  client.shutdown_write();
  EXPECT_TRUE(client.read_to_end() == data);
}

TEST_F(TcpForward, SilentFlowIsCutAfterTheTimeout) {
  listener.timeouts.client = std::chrono::milliseconds(200);
  listener.timeouts.server = std::chrono::milliseconds(200);
  start({&backend});
  Stream client = Stream::connect(port());
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.was_reset());
}

TEST_F(TcpForward, FlowsSurviveTheRemovalOfTheirEndpoint) {
  listener.destination_type = DestinationType::Service;
  Backend other{"b2"};
  other.on_connection([](Backend&, Stream& stream) { stream.send("other\n"); });
  source.first = EndpointUpdate{1, {endpoint_of(backend)}, false};
  start_with_source();
  Stream client = Stream::connect(port());
  client.send("one\n");
  EXPECT_EQ(client.read_until("\n"), "one\n");
  source.push(EndpointUpdate{2, {endpoint_of(other)}, false});
  ASSERT_TRUE(await_status("\"index\":2"));
  EXPECT_EQ(Stream::connect(port()).read_until("\n"), "other\n");
  client.send("two\n");
  EXPECT_EQ(client.read_until("\n"), "two\n");
}

}  // namespace
}  // namespace fyr::proxy::test
