// The life of the proxy and what it tells: binding, stopping, configuration, status, access log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/json.h"
#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

using std::chrono::milliseconds;

class Life : public ForwardTest {
 protected:
  Life() { listener.health_check.type = CheckType::None; }
  Backend a{"a"};
  Backend b{"b"};
};

TEST_F(Life, bind_busy) {
  Backend squatter{"squatter"};
  ListenerConfig other = listener;
  other.name = "busy";
  other.local_bind_port = squatter.port();
  other.endpoints = {{"b", "127.0.0.1", b.port(), 1}};
  more_listeners.push_back(other);
  start({&a});
  EXPECT_EQ(Client(port()).get().body, "a");
  EXPECT_TRUE(await_status("\"state\":\"bind_failed\""));
  squatter.stop_listening();
  ASSERT_TRUE(await([&] { return proxy->status_json().find("bind_failed") == std::string::npos; }));
  EXPECT_EQ(Client(squatter.port()).get().body, "b");
}

TEST_F(Life, StopsWhileBusy) {
  start({&a, &b});
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!stop) {
        Client client(port());
        while (client.get().status == 200) ++served;
        stop = true;
      }
    });
  }
  ASSERT_TRUE(await([&] { return served > 100; }));
  proxy->stop();
  for (auto& client : clients) client.join();
  proxy.reset();
}

TEST_F(Life, BadConfigurationIsRefusedByName) {
  ProxyConfig config;
  listener.local_bind_address = "0.0.0.0";
  config.listeners = {listener};
  const auto created = Proxy::create(runtime, source, config);
  ASSERT_FALSE(created);
  EXPECT_THAT(created.error().message,
              ::testing::HasSubstr("proxy.listeners[0].local_bind_address"));
  listener.local_bind_address = "127.0.0.1";
  listener.endpoints = {{"a", "127.0.0.1", 1, 1}};
  listener.access_log = {LogTarget::File, "/nonexistent/folder/x.log"};
  config.listeners = {listener};
  const auto logging = Proxy::create(runtime, source, config);
  ASSERT_FALSE(logging);
  EXPECT_THAT(logging.error().message, ::testing::HasSubstr("access_log.path /nonexistent"));
}

TEST_F(Life, StatusPageIsWholeJson) {
  start({&a, &b});
  EXPECT_EQ(Client(port()).get().status, 200);
  const auto json = parse_json(proxy->status_json());
  ASSERT_TRUE(json) << proxy->status_json();
  const auto& listeners = json->as_object().at("listeners").as_array();
  ASSERT_EQ(listeners.size(), 1u);
  const auto& one = listeners[0].as_object();
  EXPECT_EQ(one.at("name").as_string(), "web");
  EXPECT_EQ(one.at("state").as_string(), "open");
  EXPECT_EQ(one.at("source").as_string(), "static");
  EXPECT_EQ(one.at("endpoints").as_array().size(), 2u);
}

class LogFile : public Life {
 protected:
  LogFile() {
    path = ::testing::TempDir() + "fyr_access_" + std::to_string(::getpid()) + "_" +
           ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".log";
    std::remove(path.c_str());
    listener.access_log = {LogTarget::File, path};
  }
  ~LogFile() override { std::remove(path.c_str()); }
  // Stopping writes what is there.
  std::vector<std::string> lines() {
    proxy->stop();
    std::ifstream file(path);
    std::vector<std::string> out;
    for (std::string line; std::getline(file, line);) out.push_back(line);
    return out;
  }
  std::string path;
};

TEST_F(LogFile, httplog_golden) {
  start({&a});
  Client client(port());
  EXPECT_EQ(client.get("/x\"y").status, 200);
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_THAT(all[0], ::testing::MatchesRegex(
                          "127\\.0\\.0\\.1:[0-9]+ "
                          "\\[[0-9]+/[A-Z][a-z]+/20[0-9]+:[0-9]+:[0-9]+:[0-9]+\\.[0-9]+\\] "
                          "web svc/a [0-9]+/0/[0-9]+/[0-9]+/[0-9]+ 200 [0-9]+ - - ---- 1/1/1/1/0 "
                          "0/0 \"GET /x#22y HTTP/1\\.1\""));
}

TEST_F(LogFile, termination_codes) {
  a.on_request([](Backend&, Stream& stream, const Seen& seen) {
    if (seen.has("/reset")) {
      stream.reset();
    } else if (seen.has("/bad")) {
      stream.send("nonsense\r\n\r\n");
    } else if (seen.has("/cut")) {
      stream.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
      stream.reset();
    } else if (seen.has("/silent")) {
      stream.read_to_end();
    } else {
      stream.send(Backend::ok("x"));
    }
  });
  listener.timeouts.server = milliseconds(150);
  listener.timeouts.request_header = milliseconds(100);
  listener.retries.attempts = 0;
  listener.stall.enabled = false;
  start({&a});
  const auto one = [&](const std::string& text) {
    Client client(port());
    client.stream.send(text);
    client.read_reply();
  };
  one("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
  one("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
  one("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
  one("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
  one("bad request\r\n\r\n");
  one("GET /partial HTTP/1.1\r\n");
  {
    Client client(port());
    client.stream.send("GET /silent HTTP/1.1\r\nHost: a\r\nX: abort\r\n\r\n");
    ASSERT_TRUE(a.await_count(5));
    client.stream.reset();
    ASSERT_TRUE(await_status("\"conns\":0"));
  }
  std::string text;
  for (const auto& line : lines()) text += line + "\n";
  for (const char* part : {" 502 ", " SH-- ", " PH-- ", " SD-- ", " 504 ", " sH-- ", " PR-- ",
                           " cR-- ", " CH-- ", "\"<BADREQ>\"", "svc/<NOSRV> -1/-1/-1/-1/"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(part));
  }
}

TEST_F(LogFile, RedispatchIsMarked) {
  a.stop_listening();
  start({&a, &b});
  Client client(port());
  client.get();
  client.get();
  std::string text;
  for (const auto& line : lines()) text += line + "\n";
  EXPECT_THAT(text, ::testing::HasSubstr("/+1 0/0 "));
}

}  // namespace
}  // namespace fyr::proxy::test
