#include "base/io/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "base/id.h"
#include "base/io/http_client.h"
#include "base/metrics.h"
#include "tests/unit/base/raw_client.h"

namespace fyr::io {
namespace {

using namespace std::chrono_literals;

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

// Parked requests, by path, for tests that answer later.
class Parking {
 public:
  void put(std::shared_ptr<HttpExchange> exchange) {
    std::lock_guard lock(mutex_);
    const auto path = exchange->request().path;
    parked_[path] = std::move(exchange);
    changed_.notify_all();
  }
  std::shared_ptr<HttpExchange> take(const std::string& path) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, 10s, [&] { return parked_.contains(path); });
    EXPECT_TRUE(came) << path;
    auto exchange = std::move(parked_[path]);
    parked_.erase(path);
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<HttpExchange>> parked_;
};

// "/echo" answers with method, query and body; "/park..." waits; other paths answer their path.
class Server {
 public:
  explicit Server(HttpServerOptions options = {}, int threads = 1) : runtime_(threads) {
    if (options.listen.empty() && options.unix_sockets.empty()) {
      options.listen = {{"127.0.0.1", 0}};
    }
    auto server = HttpServer::listen(runtime_, std::move(options),
                                     [this](auto exchange) { handle(std::move(exchange)); });
    if (!server) {
      ADD_FAILURE() << server.error().message;
      return;
    }
    server_ = std::move(*server);
    runtime_.start();
  }

  HostPort where() const { return server_->bound().at(0); }
  Parking& parking() { return parking_; }
  HttpServer& operator*() { return *server_; }
  Runtime& runtime() { return runtime_; }

 private:
  void handle(std::shared_ptr<HttpExchange> exchange) {
    const auto& request = exchange->request();
    if (request.path == "/echo") {
      exchange->respond(
          HttpResponse::text(200, request.method + " " + request.query + " " + request.body));
    } else if (request.path.starts_with("/park")) {
      parking_.put(std::move(exchange));
    } else if (request.path == "/throw") {
      throw std::runtime_error("on purpose");
    } else if (request.path != "/drop") {
      exchange->respond(HttpResponse::text(200, request.path));
    }
  }

  Runtime runtime_;
  Parking parking_;
  std::unique_ptr<HttpServer> server_;
};

// Head and body of one answer with a Content-Length.
struct Answer {
  std::string head;
  std::string body;
  int status() const { return head.size() > 12 ? std::stoi(head.substr(9, 3)) : 0; }
};

Answer read_answer(RawClient& client) {
  Answer answer;
  answer.head = client.read_until("\r\n\r\n");
  EXPECT_TRUE(answer.head.starts_with("HTTP/1.1 ")) << "no head of an answer";
  const auto at = answer.head.find("Content-Length: ");
  if (at != std::string::npos) {
    answer.body = client.read_bytes(std::stoul(answer.head.substr(at + 16)));
  }
  return answer;
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  Server server;
  RawClient client(server.where());
  for (int i = 0; i < 3; ++i) {
    client.send(kGet);
    const auto answer = read_answer(client);
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.body, "/");
    EXPECT_NE(answer.head.find("\r\nDate: "), std::string::npos);
    EXPECT_EQ(answer.head.find("Connection:"), std::string::npos);
  }
}

TEST(HttpServer, AcceptsARequestByteByByte) {
  Server server;
  RawClient client(server.where());
  for (const char c :
       std::string("\r\nPUT /echo?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")) {
    ASSERT_TRUE(client.send({&c, 1}));
  }
  EXPECT_EQ(read_answer(client).body, "PUT q abc");
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  Server server;
  RawClient client(server.where());
  client.send(
      "GET /park HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
      "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  server.parking().take("/park")->respond(HttpResponse::text(200, "first"));
  EXPECT_EQ(read_answer(client).body, "first");
  EXPECT_EQ(read_answer(client).body, "/1");
  EXPECT_EQ(read_answer(client).body, "/2");
}

TEST(HttpServer, AnswersMorePipelinedRequestsThanItTakesAtOnce) {
  HttpServerOptions options;
  options.max_pipelined = 4;
  Server server(options);
  RawClient client(server.where());
  std::string all = "GET /park HTTP/1.1\r\nHost: a\r\n\r\n";
  for (int i = 0; i < 300; ++i) {
    all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  client.send(all);
  server.parking().take("/park")->respond(HttpResponse::text(200, "first"));
  EXPECT_EQ(read_answer(client).body, "first");
  for (int i = 0; i < 300; ++i) ASSERT_EQ(read_answer(client).body, "/" + std::to_string(i));
}

TEST(HttpServer, SendsBigBodiesWhole) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string big;  // more than the socket takes at once
  while (big.size() < 16 << 20) big += std::to_string(big.size()) + " ";
  server.parking().take("/park")->respond(HttpResponse::text(200, big));
  EXPECT_TRUE(read_answer(client).body == big);
  EXPECT_EQ(read_answer(client).body, "/1");
}

TEST(HttpServer, TakesBodiesWithLengthAndInChunks) {
  Server server;
  RawClient client(server.where());
  const std::string big(300'000, 'x');
  client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + big);
  EXPECT_EQ(read_answer(client).body, "PUT  " + big);
  client.send(
      "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(read_answer(client).body, "PUT  abcde");
  client.send("GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy");
  EXPECT_EQ(read_answer(client).body, "GET  xy");
}

TEST(HttpServer, AnswersHeadWithoutBody) {
  Server server;
  RawClient client(server.where());
  client.send("HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n" + kGet);
  EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 4\r\n"), std::string::npos);
  EXPECT_EQ(read_answer(client).body, "/");
}

TEST(HttpServer, TellsTheClientToGoOnWithItsBody) {
  Server server;
  RawClient client(server.where());
  client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  EXPECT_EQ(read_answer(client).body, "PUT  abc");
}

TEST(HttpServer, ClosesWhenAskedTo) {
  Server server;
  RawClient client(server.where());
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + kGet);
  const auto answer = read_answer(client);
  EXPECT_NE(answer.head.find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_EQ(answer.body, "/");
  EXPECT_TRUE(client.sees_end());
}

TEST(HttpServer, SpeaksHttp10) {
  Server server;
  RawClient closing(server.where());
  closing.send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(read_answer(closing).body, "/");
  EXPECT_TRUE(closing.sees_end());
  RawClient keeping(server.where());
  keeping.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  EXPECT_NE(read_answer(keeping).head.find("Connection: keep-alive"), std::string::npos);
  keeping.send(kGet);
  EXPECT_EQ(read_answer(keeping).body, "/");
}

TEST(HttpServer, RefusesMalformedRequestsAndCloses) {
  Server server;
  const std::pair<std::string, int> cases[] = {
      {"GARBAGE\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505},
      {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400}};
  for (const auto& [text, status] : cases) {
    RawClient client(server.where());
    client.send(text + kGet);
    EXPECT_EQ(read_answer(client).status(), status) << text;
    client.end_sending();
    EXPECT_TRUE(client.sees_end()) << text;
  }
}

TEST(HttpServer, RefusesHeadsAndBodiesThatAreTooLarge) {
  HttpServerOptions options;
  options.max_head_bytes = 2000;
  options.max_body_bytes = 1000;
  Server server(options);
  const std::string put = "PUT /echo HTTP/1.1\r\nHost: a\r\n";
  const std::pair<std::string, int> cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x'), 431},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x') + "\r\n\r\n", 431},
      {put + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'x'), 413},
      {put + "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413},
      {put + "Transfer-Encoding: chunked\r\n\r\n400\r\n" + std::string(1024, 'x'), 413},
      {put + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'x'), 200}};
  for (const auto& [text, status] : cases) {
    RawClient client(server.where());
    client.send(text);
    EXPECT_EQ(read_answer(client).status(), status);
  }
}

// A client that sends a large body it may not send still reads why.
TEST(HttpServer, LetsARefusedClientReadTheAnswer) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  Server server(options);
  RawClient client(server.where());
  client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
  client.send(std::string(100'000, 'x'));
  EXPECT_EQ(read_answer(client).status(), 413);
  // A closed socket would have answered the bytes nobody read with a reset by now.
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(client.send(std::string(1000, 'x')));
}

TEST(HttpServer, LimitsRequestsInProgressPerClient) {
  HttpServerOptions options;
  options.max_connections_per_client = 2;
  Server server(options);
  RawClient first(server.where());
  RawClient second(server.where());
  RawClient third(server.where());
  first.send("GET /park1 HTTP/1.1\r\nHost: a\r\n\r\n");
  second.send("GET /park2 HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto one = server.parking().take("/park1");
  const auto two = server.parking().take("/park2");
  third.send(kGet);
  const auto refused = read_answer(third);
  EXPECT_EQ(refused.status(), 429);
  EXPECT_FALSE(refused.body.empty());
  one->respond(HttpResponse::text(200, "done"));
  EXPECT_EQ(read_answer(first).status(), 200);
  RawClient fourth(server.where());
  fourth.send(kGet);
  EXPECT_EQ(read_answer(fourth).status(), 200);
  two->respond(HttpResponse::text(200, "done"));
}

TEST(HttpServer, ClosesConnectionsBeyondTheLimit) {
  HttpServerOptions options;
  options.max_connections = 1;
  Server server(options);
  RawClient first(server.where());
  first.send(kGet);
  EXPECT_EQ(read_answer(first).status(), 200);
  RawClient second(server.where());
  EXPECT_TRUE(second.sees_end());
  first.send(kGet);
  EXPECT_EQ(read_answer(first).status(), 200);
}

TEST(HttpServer, TellsTheHandlerWhenTheClientLeaves) {
  Server server;
  auto client = std::make_unique<RawClient>(server.where());
  client->send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  std::promise<int> abandoned;
  exchange->on_abandoned([&] { abandoned.set_value(server.runtime().current()); });
  client.reset();
  EXPECT_EQ(abandoned.get_future().get(), exchange->thread());
  exchange->respond(HttpResponse::text(200, "to nobody"));
}

TEST(HttpServer, TellsAtOnceWhenTheClientIsAlreadyGone) {
  Server server;
  auto client = std::make_unique<RawClient>(server.where());
  client->send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  std::promise<void> first;
  exchange->on_abandoned([&] { first.set_value(); });
  client.reset();
  first.get_future().get();
  std::promise<void> second;
  exchange->on_abandoned([&] { second.set_value(); });
  second.get_future().get();
}

TEST(HttpServer, DropsTheCallbackAfterTheAnswer) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = held;
  exchange->on_abandoned([held = std::move(held)] { ADD_FAILURE() << "it was answered"; });
  exchange->respond(HttpResponse::text(200, "x"));
  EXPECT_EQ(read_answer(client).status(), 200);
  client.send(kGet);
  EXPECT_EQ(read_answer(client).status(), 200);
  EXPECT_TRUE(watch.expired());
}

TEST(HttpServer, AnswersAClientThatOnlyStoppedSending) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  client.end_sending();
  const auto exchange = server.parking().take("/park");
  std::promise<void> left;
  exchange->on_abandoned([&] { left.set_value(); });
  left.get_future().get();
  exchange->respond(HttpResponse::text(200, "still"));
  EXPECT_EQ(read_answer(client).body, "still");
  EXPECT_TRUE(client.sees_end());
}

TEST(HttpServer, AnswersFiveHundredWhenARequestIsDroppedOrItsHandlerThrows) {
  Server server;
  RawClient client(server.where());
  client.send("GET /drop HTTP/1.1\r\nHost: a\r\n\r\nGET /throw HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(read_answer(client).status(), 500);
  EXPECT_EQ(read_answer(client).status(), 500);
}

TEST(HttpServer, KeepsTheFirstOfTwoAnswers) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  exchange->respond(HttpResponse::text(200, "one"));
  exchange->respond(HttpResponse::text(200, "two"));
  EXPECT_EQ(read_answer(client).body, "one");
  client.send(kGet);
  EXPECT_EQ(read_answer(client).body, "/");
}

TEST(HttpServer, StreamsChunks) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n" + kGet);
  const auto exchange = server.parking().take("/park");
  exchange->begin_stream({200, {{"Content-Type", "text/plain"}}, nullptr});
  EXPECT_NE(client.read_until("\r\n\r\n").find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_TRUE(exchange->write_chunk("hello"));
  EXPECT_EQ(client.read_bytes(10), "5\r\nhello\r\n");
  EXPECT_TRUE(exchange->write_chunk(std::string(17, 'x')));
  exchange->end_stream();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "11\r\n" + std::string(17, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(read_answer(client).body, "/");
}

TEST(HttpServer, BoundsWhatAStreamMayHaveWaiting) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  exchange->begin_stream({200, {}, nullptr});
  const std::string chunk(256 * 1024, 'x');
  int accepted = 0;
  while (accepted < 1000 && exchange->write_chunk(chunk)) ++accepted;
  EXPECT_LT(accepted, 1000);  // the client reads nothing
  EXPECT_GT(accepted, 2);
  client.close();
}

TEST(HttpServer, StreamsWithoutEndToAClientThatReads) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  exchange->begin_stream({200, {}, nullptr});
  client.read_until("\r\n\r\n");
  const std::string chunk(512 * 1024, 'x');
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(exchange->write_chunk(chunk)) << i;
    ASSERT_EQ(client.read_bytes(chunk.size() + 9).size(), chunk.size() + 9);
  }
  exchange->end_stream();
  EXPECT_EQ(client.read_until("\r\n\r\n"), "0\r\n\r\n");
}

TEST(HttpServer, StreamNoticesThatTheClientLeft) {
  Server server;
  auto client = std::make_unique<RawClient>(server.where());
  client->send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  std::promise<void> left;
  exchange->on_abandoned([&] { left.set_value(); });
  exchange->begin_stream({200, {}, nullptr});
  client.reset();
  left.get_future().get();
  EXPECT_FALSE(exchange->write_chunk("x"));
}

TEST(HttpServer, CutsAStreamThatIsDropped) {
  Server server;
  RawClient client(server.where());
  client.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  auto exchange = server.parking().take("/park");
  exchange->begin_stream({200, {}, nullptr});
  exchange->write_chunk("x");
  exchange.reset();
  const auto all = client.read_to_end();
  EXPECT_EQ(all.find("\r\n0\r\n"), std::string::npos) << all;
}

TEST(HttpServer, TimesOutAHeadThatNeverEnds) {
  HttpServerOptions options;
  options.head_timeout = 100ms;
  Server server(options);
  RawClient client(server.where());
  client.send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(read_answer(client).status(), 408);
}

TEST(HttpServer, ClosesIdleConnectionsButNotWaitingOnes) {
  HttpServerOptions options;
  options.idle_timeout = 100ms;
  Server server(options);
  RawClient waiting(server.where());
  waiting.send("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto exchange = server.parking().take("/park");
  RawClient idle(server.where());
  EXPECT_TRUE(idle.sees_end());
  exchange->respond(HttpResponse::text(200, "x"));
  EXPECT_EQ(read_answer(waiting).status(), 200);
}

TEST(HttpServer, SpreadsOverThreadsAndAnswersFromAnyOfThem) {
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.where()));
    clients.back()->send("GET /park" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  for (int i = 0; i < 20; ++i) {
    const auto exchange = server.parking().take("/park" + std::to_string(i));
    server.runtime().post(1 - exchange->thread(), [exchange, i] {
      exchange->respond(HttpResponse::text(200, std::to_string(i)));
    });
  }
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(read_answer(*clients[i]).body, std::to_string(i));
}

TEST(HttpServer, StopsWhileBusy) {
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  std::vector<std::shared_ptr<HttpExchange>> parked;
  std::atomic<int> abandoned{0};
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.where()));
    clients.back()->send("GET /park" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    parked.push_back(server.parking().take("/park" + std::to_string(i)));
    parked.back()->on_abandoned([&] { ++abandoned; });
  }
  (*server).stop();
  EXPECT_EQ(abandoned.load(), 10);
  for (const auto& client : clients) EXPECT_TRUE(client->sees_end());
  for (const auto& exchange : parked) exchange->respond(HttpResponse::text(200, "late"));
}

// Lowers the limit of open files to what is open now, until the end of the scope.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = ::dup(0);
    ::close(next);
    auto lowered = before_;
    lowered.rlim_cur = static_cast<rlim_t>(next);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(HttpServer, WaitsForDescriptorsWithoutSpinning) {
  Server server;
  auto& pauses = metrics::counter("fyr.http.accept_pauses");
  const auto before = pauses.value();
  std::unique_ptr<RawClient> client;
  {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = *to_bind_address(server.where());
    const NoMoreDescriptors none;
    ASSERT_EQ(::connect(fd, address.get(), address.length), 0);
    while (pauses.value() < before + 2) std::this_thread::yield();  // it tried again
    client = std::make_unique<RawClient>(fd);
  }
  client->send(kGet);
  EXPECT_EQ(read_answer(*client).status(), 200);
  EXPECT_LT(pauses.value() - before, 100u);  // one each 100 ms
}

TEST(HttpServer, RefusesAPortThatIsTaken) {
  Server server;
  Runtime runtime(2);
  HttpServerOptions options;
  options.listen = {{"127.0.0.1", 0}, server.where()};
  const auto second = HttpServer::listen(runtime, options, [](auto) {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
  EXPECT_NE(second.error().message.find(server.where().to_string()), std::string::npos);
}

TEST(HttpServer, RefusesAnAddressThatIsNone) {
  Runtime runtime(1);
  HttpServerOptions options;
  options.listen = {{"nowhere.example", 80}};
  const auto server = HttpServer::listen(runtime, options, [](auto) {});
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("nowhere.example:80"), std::string::npos);
}

TEST(HttpServer, ListensOnAUnixSocketAndReplacesAStaleOne) {
  const auto path = testing::TempDir() + make_uuid().substr(0, 8) + ".sock";
  HttpServerOptions options;
  options.unix_sockets = {path};
  options.max_connections_per_client = 0;  // there is no client address to count
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const auto address = *to_unix_address(path);
    ASSERT_EQ(::bind(fd, address.get(), address.length), 0);
    ::close(fd);  // the file stays
  }
  {
    Server server(options);
    RawClient client(*to_unix_address(path));
    client.send(kGet);
    EXPECT_EQ(read_answer(client).body, "/");

    Runtime other(1);
    const auto second = HttpServer::listen(other, options, [](auto) {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::Conflict);
    (*server).stop();
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(HttpServer, StopsBeforeItsRuntimeWasStarted) {
  Runtime runtime(1);
  HttpServerOptions options;
  options.listen = {{"127.0.0.1", 0}};
  auto server = HttpServer::listen(runtime, options, [](auto) {});
  ASSERT_TRUE(server);
  (*server)->stop();
}

}  // namespace
}  // namespace fyr::io
