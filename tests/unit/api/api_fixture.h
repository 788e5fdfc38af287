// The API over a real server in a temporary directory, and a client over a real socket on the
// loopback.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/json.hpp>
#include <future>
#include <map>
#include <thread>

#include "base/bytes.h"
#include "server/api/api.h"

namespace fyr::server {
namespace json = boost::json;

struct Reply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  json::value value() const { return json::parse(body); }
  std::uint64_t index() const { return std::stoull(headers.at("x-consul-index")); }
};

// One keep-alive connection.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ADD_FAILURE() << "cannot connect";
    }
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }

  void send(const std::string& method, const std::string& target, const std::string& body = "",
            const std::string& headers = "") {
    const std::string text = method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + headers +
                             "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    ASSERT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  bool answered() const {
    pollfd waiting{fd_, POLLIN, 0};
    return ::poll(&waiting, 1, 0) > 0;
  }
  Reply receive() {
    Reply reply;
    while (buffer_.find("\r\n\r\n") == std::string::npos && more()) {
    }
    const auto end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return reply;
    const auto head = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    reply.status = std::stoi(head.substr(9, 3));
    for (const auto line : split(std::string_view(head).substr(head.find('\n') + 1), '\n')) {
      const auto colon = line.find(':');
      auto value = line.substr(colon + 1);
      while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) {
        value.remove_suffix(1);
      }
      reply.headers[to_lower(line.substr(0, colon))] = trim(value);
    }
    const auto length = std::stoull("0" + reply.headers["content-length"]);
    while (buffer_.size() < length && more()) {
    }
    reply.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return reply;
  }
  Reply ask(const std::string& method, const std::string& target, const std::string& body = "",
            const std::string& headers = "") {
    send(method, target, body, headers);
    return receive();
  }

 private:
  bool more() {
    char chunk[16384];
    const auto got = ::recv(fd_, chunk, sizeof chunk, 0);
    if (got <= 0) return false;
    buffer_.append(chunk, static_cast<std::size_t>(got));
    return true;
  }
  int fd_;
  std::string buffer_;
};

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    open(true, ApiOptions{});
    // Reads are held until there is a leader.
    EXPECT_EQ(client().ask("GET", "/v1/catalog/nodes").status, 200);
  }
  void open(bool bootstrap, ApiOptions api_options) {
    char name[] = "/tmp/fyr-api-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    ServerOptions options;
    options.data_dir = directory_;
    options.node_name = "conf1";
    options.rpc_address = "127.0.0.1:8300";
    options.bootstrap = bootstrap;
    auto server = Server::open(options);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    runtime_ = std::make_unique<io::Runtime>(2);
    api_ = std::make_unique<Api>(*server_, *runtime_, std::move(api_options));
    io::HttpServerOptions listen;
    listen.listen = {{"127.0.0.1", 0}};
    listen.max_connections_per_client = 5000;
    auto http = io::HttpServer::listen(
        *runtime_, listen,
        [this](std::shared_ptr<io::HttpExchange> exchange) { api_->handle(std::move(exchange)); });
    ASSERT_TRUE(http) << http.error().message;
    http_ = std::move(*http);
    runtime_->start();
    port_ = http_->bound().at(0).port;
  }
  void TearDown() override {
    if (api_) api_->stop();
    if (http_) http_->stop();
    if (runtime_) runtime_->stop();
    http_.reset();
    api_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  Client client() const { return Client(port_); }
  void put(const std::string& target, const std::string& body) {
    const auto reply = client().ask("PUT", target, body);
    ASSERT_EQ(reply.status, 200) << reply.body;
  }
  void register_instance(const std::string& id, const std::string& status,
                         const std::string& output = "", const std::string& service = "web") {
    put("/v1/catalog/register",
        R"({"Node":"n-)" + id + R"(","Address":"10.0.0.1","Service":{"ID":")" + id +
            R"(","Service":")" + service + R"(","Port":80},"Check":{"CheckID":"c-)" + id +
            R"(","Name":"c","ServiceID":")" + id + R"(","Status":")" + status + R"(","Output":")" +
            output + R"("}})");
  }
  // Subscriptions of waiters; the server keeps one of its own.
  std::size_t subscriptions() const { return server_->publisher().size() - own_subscriptions_; }
  void wait_for_subscriptions(std::size_t count) const {
    const auto deadline = now() + std::chrono::seconds(10);
    while (subscriptions() != count && now() < deadline) std::this_thread::yield();
    EXPECT_EQ(subscriptions(), count);
  }
  void count_own_subscriptions() { own_subscriptions_ = server_->publisher().size(); }

  std::filesystem::path directory_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<io::Runtime> runtime_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<io::HttpServer> http_;
  std::uint16_t port_ = 0;
  std::size_t own_subscriptions_ = 0;
};

}  // namespace fyr::server
