// Messages and pool: what passes through the proxy and how connections are shared.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

class HttpForward : public ForwardTest {
 protected:
  HttpForward() { listener.health_check.type = CheckType::None; }
  Backend backend{"b1"};
};

TEST_F(HttpForward, keepalive_100) {
  start({&backend});
  Client client(port());
  for (int i = 0; i < 100; ++i) {
    const auto reply = client.get("/" + std::to_string(i));
    ASSERT_EQ(reply.status, 200);
    ASSERT_EQ(reply.body, "b1");
  }
  EXPECT_EQ(backend.count(), 100u);
  EXPECT_EQ(backend.connections(), 1);
}

TEST_F(HttpForward, http10_default_close) {
  start({&backend});
  Client client(port());
  const auto reply = client.request("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.field("Connection"), "close");
  EXPECT_TRUE(client.stream.at_end());
  EXPECT_TRUE(backend.seen().at(0).has("\r\nHost: svc\r\n"));
  Client persistent(port());
  EXPECT_EQ(
      persistent.request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").field("Connection"),
      "keep-alive");
  EXPECT_EQ(persistent.get().status, 200);
}

TEST_F(HttpForward, pipeline_order) {
  backend.on_request(
      [](Backend&, Stream& stream, const Seen& seen) { stream.send(Backend::ok(seen.line())); });
  start({&backend});
  Client client(port());
  client.stream.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  for (const char* path : {"/1", "/2", "/3"}) {
    EXPECT_EQ(client.read_reply().body, std::string("GET ") + path + " HTTP/1.1");
  }
}

TEST_F(HttpForward, pipeline_error) {
  start({&backend});
  Client client(port());
  client.stream.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: "
      "a\r\n\r\n");
  EXPECT_EQ(client.read_reply().status, 200);
  const auto error = client.read_reply();
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.field("X-Proxy-Reason"), "host");
  EXPECT_EQ(error.field("Connection"), "close");
  EXPECT_TRUE(client.stream.at_end());
  EXPECT_EQ(backend.count(), 1u);
}

TEST_F(HttpForward, RefusedRequestsNeverReachAnEndpoint) {
  start({&backend});
  for (const char* text :
       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n"}) {
    Client client(port());
    const auto reply = client.request(text);
    EXPECT_GE(reply.status, 400) << text;
    EXPECT_NE(reply.field("X-Proxy-Reason"), "") << text;
    EXPECT_TRUE(client.stream.at_end()) << text;
  }
  EXPECT_EQ(backend.connections(), 0);
}

TEST_F(HttpForward, HeadThatArrivesByteByByteIsServed) {
  start({&backend});
  Client client(port());
  const std::string text = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const char c : text) client.stream.send({&c, 1});
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST_F(HttpForward, continue_relayed) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 100 Continue\r\n\r\n");
    stream.send(Backend::ok(stream.read_exactly(5)));
  });
  start({&backend});
  Client client(port());
  client.stream.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_reply().status, 100);
  client.stream.send("hello");
  EXPECT_EQ(client.read_reply().body, "hello");
}

TEST_F(HttpForward, continue_final_first) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
  });
  start({&backend});
  Client client(port());
  client.stream.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  const auto reply = client.read_reply();
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(reply.field("Connection"), "close");
  EXPECT_TRUE(client.stream.at_end());
}

TEST_F(HttpForward, continue_silent) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send(Backend::ok(stream.read_exactly(5)));
  });
  start({&backend});
  Client client(port());
  const auto began = std::chrono::steady_clock::now();
  client.stream.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
  EXPECT_EQ(client.read_reply().body, "hello");
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(900));
}

TEST_F(HttpForward, head_204_304) {
  backend.on_request([](Backend&, Stream& stream, const Seen& seen) {
    if (seen.line().starts_with("HEAD")) {
      stream.send("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
    } else if (seen.has("/204")) {
      stream.send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    } else if (seen.has("/304")) {
      stream.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n");
    } else {
      stream.send(Backend::ok("body"));
    }
  });
  start({&backend});
  Client client(port());
  EXPECT_EQ(client.request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true).field("Content-Length"),
            "77");
  const auto none = client.get("/204");
  EXPECT_EQ(none.status, 204);
  EXPECT_EQ(none.field("Content-Length"), "");
  EXPECT_EQ(client.get("/304").field("Content-Length"), "5");
  EXPECT_EQ(client.get("/").body, "body");
  EXPECT_EQ(backend.connections(), 1);
}

TEST_F(HttpForward, early_hints) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + Backend::ok("x"));
  });
  start({&backend});
  Client client(port());
  const auto hint = client.get();
  EXPECT_EQ(hint.status, 103);
  EXPECT_EQ(hint.field("Link"), "</a>");
  EXPECT_EQ(client.read_reply().status, 200);
  Client old(port());
  EXPECT_EQ(old.request("GET / HTTP/1.0\r\n\r\n").status, 200);
}

TEST_F(HttpForward, unasked_101) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
  });
  start({&backend});
  const auto reply = Client(port()).get();
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "bad_response");
}

TEST_F(HttpForward, h2c_upgrade) {
  start({&backend});
  Client client(port());
  EXPECT_EQ(client
                .request("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                         "Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n")
                .status,
            200);
  const auto seen = backend.seen().at(0);
  EXPECT_FALSE(seen.has("Upgrade"));
  EXPECT_FALSE(seen.has("HTTP2-Settings"));
}

TEST_F(HttpForward, xff_via) {
  start({&backend});
  Client client(port());
  client.request("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
  const auto seen = backend.seen().at(0);
  EXPECT_TRUE(seen.has("\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n"));
  EXPECT_TRUE(seen.has("\r\nVia: 1.1 node1\r\n"));
  const auto loop =
      client.request("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 node1, 1.1 node1\r\n\r\n");
  EXPECT_EQ(loop.status, 508);
}

TEST_F(HttpForward, ChunkedBodiesBothWaysWithTrailers) {
  backend.on_request([](Backend&, Stream& stream, const Seen& seen) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.send("3\r\nabc\r\n");
    stream.send(std::to_string(seen.body.size()) + ";ext=1\r\n" + seen.body + "\r\n");
    stream.send("0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n");
  });
  start({&backend});
  Client client(port());
  client.stream.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWi");
  client.stream.send("ki\r\n0\r\nX-Tr: 1\r\n\r\n");
  const std::string head = client.stream.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  std::string rest;
  while (!rest.ends_with("0\r\nX-Sum: 7\r\n\r\n")) {
    const auto more = client.stream.read_until("\n");
    ASSERT_FALSE(more.empty()) << rest;
    rest += more;
  }
  EXPECT_EQ(rest.find("ext"), std::string::npos);
  EXPECT_EQ(rest.find("Content-Length"), std::string::npos);
  EXPECT_EQ(backend.seen().at(0).body, "Wiki");
  EXPECT_EQ(client.get("/again").status, 200);
}

TEST_F(HttpForward, BadChunkIsRefusedAndTheEndpointConnectionCut) {
  backend.on_connection([](Backend&, Stream& stream) { stream.read_to_end(); });
  start({&backend});
  Client client(port());
  client.stream.send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n");
  client.stream.send("0x2\r\n");
  const auto reply = client.read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.field("X-Proxy-Reason"), "framing");
}

TEST_F(HttpForward, LargeBodiesPassBothWays) {
  backend.on_request(
      [](Backend&, Stream& stream, const Seen& seen) { stream.send(Backend::ok(seen.body)); });
  start({&backend});
  std::string body(3 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  Client client(port());
  std::thread sender([&] { client.stream.send(post_of(body)); });
  const auto reply = client.read_reply();
  sender.join();
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body == body);
}

// Spliced from socket to socket; what follows on the same connections is intact.
TEST_F(HttpForward, LargeAnswersPassIntactToASlowReaderAndConnectionsAreReused) {
  std::string body(6 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  backend.on_request([&](Backend&, Stream& stream, const Seen& seen) {
    stream.send(Backend::ok(seen.has("/large") ? body : "small"));
  });
  start({&backend});
  Client client(port());
  client.stream.small_receive_buffer(64 * 1024);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.get("/large").body == body);
    ASSERT_EQ(client.get("/small").body, "small");
  }
  EXPECT_EQ(backend.connections(), 1);
}

TEST_F(HttpForward, LargeAnswerCutShortIsAReset) {
  backend.on_request([&](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + std::string(3000000, 'x'));
    stream.close();
  });
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.read_until("\r\n\r\n");
  EXPECT_EQ(client.stream.read_to_end().size(), 3000000u);
  EXPECT_TRUE(client.stream.was_reset());
}

TEST_F(HttpForward, ClientThatLeavesALargeAnswerFreesTheEndpoint) {
  std::atomic<bool> cut{false};
  backend.on_request([&](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n");
    const std::string block(64 * 1024, 'x');
    while (stream.send(block)) {
    }
    cut = true;
    stream.close();
  });
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.read_exactly(2000000);
  client.stream.reset();
  EXPECT_TRUE(await([&] { return cut.load(); }));
}

// Requests are not read on while their answers pile up unread.
TEST_F(HttpForward, PipelineOfErrorsToAClientThatDoesNotReadIsBounded) {
  listener.endpoints = {{"none", "127.0.0.1", 1, 0}};
  start({});
  Client client(port());
  client.stream.small_receive_buffer();
  const int small = 16 * 1024;
  ::setsockopt(client.stream.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const timeval patience{0, 300000};
  ::setsockopt(client.stream.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string block;
  for (int i = 0; i < 1000; ++i) block += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  std::size_t sent = 0;
  while (sent < 4000 && client.stream.send(block)) sent += 1000;
  const auto answered = proxy->stats().errors_total;
  EXPECT_LT(answered, 100000u);
  EXPECT_LT(sent, 4000000u);
  // It reads at last: everything that was accepted is answered.
  EXPECT_EQ(client.read_reply().status, 503);
}

TEST_F(HttpForward, slow_reader) {
  std::atomic<std::size_t> sent{0};
  const std::size_t size = 64u << 20;
  backend.on_request([&](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
    const std::string block(64 * 1024, 'x');
    while (sent < size && stream.send(block)) sent += block.size();
  });
  listener.timeouts.client = std::chrono::milliseconds(500);
  start({&backend});
  Client client(port());
  client.stream.small_receive_buffer();
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  // Not reading: the endpoint is held back, then the client is cut off.
  client.stream.read_exactly(1000);
  ASSERT_TRUE(await_status("\"conns\":0"));
  EXPECT_LT(sent, size / 2);
}

TEST_F(HttpForward, resp_cl_te) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
  });
  start({&backend});
  Client client(port());
  EXPECT_EQ(client.get().field("X-Proxy-Reason"), "bad_response");
  EXPECT_EQ(client.get().status, 502);  // and the client's connection goes on
}

TEST_F(HttpForward, resp_close_delimited) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\n\r\nfirst ");
    stream.send("second");
    stream.close();
  });
  start({&backend});
  Client client(port());
  const auto reply = client.get();
  EXPECT_EQ(reply.field("Transfer-Encoding"), "chunked");
  EXPECT_EQ(reply.body, "first second");
  EXPECT_EQ(client.get().body, "first second");
  Client old(port());
  const auto plain = old.request("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(plain.field("Transfer-Encoding"), "");
  EXPECT_EQ(plain.body, "first second");
}

TEST_F(HttpForward, resp_short) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    stream.close();
  });
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.read_until("\r\n\r\n");
  EXPECT_EQ(client.stream.read_exactly(4), "half");
  EXPECT_FALSE(client.stream.at_end());
  EXPECT_TRUE(client.stream.was_reset());
}

TEST_F(HttpForward, resp_chunk_cut) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n");
    stream.close();
  });
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string all = client.stream.read_to_end();
  EXPECT_TRUE(all.ends_with("4\r\nWiki\r\n")) << all;
  EXPECT_TRUE(client.stream.was_reset());
}

TEST_F(HttpForward, resp_extra) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send(Backend::ok("good") + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  });
  start({&backend});
  Client client(port());
  EXPECT_EQ(client.get().body, "good");
  EXPECT_EQ(client.get().body, "good");
  EXPECT_EQ(backend.connections(), 2);
}

TEST_F(HttpForward, reuse_get) {
  start({&backend});
  // Both threads may have a connection of their own; more clients do not make more.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Client(port()).get().status, 200);
  EXPECT_LE(backend.connections(), 2);
}

TEST_F(HttpForward, idle_fin) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send(Backend::ok("x"));
    stream.close();  // although keep-alive was promised
  });
  start({&backend});
  Client client(port());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(client.get().status, 200) << i;
    // Once the FIN is here, even a request that cannot be repeated is safe.
    ASSERT_TRUE(await_status("\"connections\":0"));
    ASSERT_EQ(client.request(post_of("b")).status, 200) << i;
  }
}

TEST_F(HttpForward, idle_408) {
  backend.on_request([](Backend&, Stream& stream, const Seen&) {
    stream.send(Backend::ok("x"));
    stream.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.close();
  });
  start({&backend});
  Client client(port());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(client.get().status, 200) << i;
}

TEST_F(HttpForward, maxconn) {
  listener.limits.maxconn = 2;
  start({&backend});
  Client a(port());
  auto b = std::make_unique<Client>(port());
  EXPECT_EQ(a.get().status, 200);
  EXPECT_EQ(b->get().status, 200);
  Client third(port());
  third.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(third.stream.readable_within(std::chrono::milliseconds(150)));
  b.reset();
  EXPECT_EQ(third.read_reply().status, 200);
}

TEST_F(HttpForward, slow_header) {
  listener.timeouts.request_header = std::chrono::milliseconds(200);
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHo");
  const auto reply = client.read_reply();
  EXPECT_EQ(reply.status, 408);
  EXPECT_TRUE(client.stream.at_end());
}

TEST_F(HttpForward, slow_body) {
  listener.timeouts.client = std::chrono::milliseconds(200);
  start({&backend});
  Client client(port());
  client.stream.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(client.read_reply().status, 408);
}

TEST_F(HttpForward, IdleClientIsClosedAfterKeepalive) {
  listener.timeouts.keepalive = std::chrono::milliseconds(200);
  start({&backend});
  Client client(port());
  EXPECT_EQ(client.get().status, 200);
  EXPECT_TRUE(client.stream.at_end());
}

TEST_F(HttpForward, HalfClosedClientStillGetsItsAnswer) {
  start({&backend});
  Client client(port());
  client.stream.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.stream.shutdown_write();
  EXPECT_EQ(client.read_reply().status, 200);
  EXPECT_TRUE(client.stream.at_end());
}

TEST_F(HttpForward, BodyLimitIsKept) {
  listener.limits.max_body = 10;
  start({&backend});
  EXPECT_EQ(Client(port()).request(post_of("12345678901")).status, 413);
  EXPECT_EQ(Client(port())
                .request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "b\r\n12345678901\r\n0\r\n\r\n")
                .status,
            413);
  EXPECT_EQ(Client(port()).request(post_of("1234567890")).status, 200);
}

}  // namespace
}  // namespace fyr::proxy::test
