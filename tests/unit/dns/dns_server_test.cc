// The listener over real sockets: both transports, answers at once and later, limits, stopping.
#include "server/dns/dns_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <set>

#include "tests/unit/dns/decoded.h"

namespace fyr::dns {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

// Knows "web" at once, answers for nodes while asked, keeps the rest until told.
class Names final : public NameSource {
 public:
  explicit Names(io::Runtime& runtime) : runtime_(runtime) {
    auto records = std::make_shared<ServiceRecords>();
    for (int i = 1; i <= 100; ++i) {
      ServiceRecord record;
      record.node = "n" + std::to_string(i);
      record.node_address = "10.0.0." + std::to_string(i);
      record.ip = *IpAddress::parse(record.node_address);
      record.has_ip = true;
      record.port = 80;
      records->records.push_back(record);
    }
    web_ = records;
  }

  std::shared_ptr<const ServiceRecords> peek_service(const std::string& name) override {
    return name == "web" ? web_ : nullptr;
  }
  std::shared_ptr<const ServiceRecords> find_service(const std::string& name, int thread,
                                                     ServiceReady ready) override {
    if (name == "broken") {
      ready(fail(ErrorCode::NoLeader, "No cluster leader"));
      return nullptr;
    }
    if (name == "later") runtime_.post(thread, [this, ready] { ready(web_); });
    if (name == "lost") {
      std::lock_guard lock(mutex_);
      lost_.push_back(std::move(ready));
    }
    return name == "none" ? std::make_shared<const ServiceRecords>() : nullptr;
  }
  void find_query(const std::string& name, int thread, ServiceReady ready) override {
    auto found = std::make_shared<ServiceRecords>();
    if (name == "near") {
      found->records.assign(web_->records.begin(), web_->records.begin() + 2);
      found->ordered = true;
      found->ttl = std::chrono::seconds(17);
      found->service = "web";
    }
    runtime_.post(thread, [ready, found] { ready(found); });
  }
  void find_node(const std::string& name, int, NodesReady ready) override {
    ready(std::vector<NodeRecord>{{name, "10.1.1.1", {}}});
  }
  void find_address(const IpAddress&, int thread, NodesReady ready) override {
    runtime_.post(thread, [ready] { ready(std::vector<NodeRecord>{{"n1", "10.0.0.1", {}}}); });
  }
  void find_servers(int, NodesReady ready) override {
    ready(std::vector<NodeRecord>{{"s1", "10.9.9.9", {}}});
  }

  void answer_the_lost() {
    std::lock_guard lock(mutex_);
    for (auto& ready : lost_) ready(web_);
  }

 private:
  io::Runtime& runtime_;
  std::shared_ptr<const ServiceRecords> web_;
  std::mutex mutex_;
  std::vector<ServiceReady> lost_;
};

class Client {
 public:
  Client(int type, std::uint16_t port) : tcp_(type == SOCK_STREAM) {
    fd_ = ::socket(AF_INET, type, 0);
    const timeval limit{5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void send(std::string message) {
    if (tcp_)
      message.insert(0,
                     {static_cast<char>(message.size() >> 8), static_cast<char>(message.size())});
    send_raw(message);
  }
  void send_raw(const std::string& bytes) {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  std::optional<test::Decoded> receive() {
    std::string message(65535, '\0');
    if (!tcp_) {
      const auto size = ::recv(fd_, message.data(), message.size(), 0);
      if (size < 0) return std::nullopt;
      message.resize(static_cast<std::size_t>(size));
      return test::decode(message);
    }
    unsigned char head[2];
    if (::recv(fd_, head, 2, MSG_WAITALL) != 2) return std::nullopt;
    message.resize(static_cast<std::size_t>(head[0] << 8 | head[1]));
    if (::recv(fd_, message.data(), message.size(), MSG_WAITALL) !=
        static_cast<ssize_t>(message.size()))
      return std::nullopt;
    return test::decode(message);
  }
  test::Decoded ask(const test::Ask& question) {
    send(test::encode(question));
    const auto answer = receive();
    EXPECT_TRUE(answer.has_value()) << question.name;
    return answer.value_or(test::Decoded{});
  }

 private:
  bool tcp_;
  int fd_;
  bool connected_;
};

class Server : public testing::Test {
 protected:
  void open(DnsServerOptions options = {}) {
    options.listen = {{"127.0.0.1", 0}};
    auto server = DnsServer::listen(runtime_, std::move(options), names_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
    port_ = server_->bound().at(0).port;
    runtime_.start();
  }
  void TearDown() override {
    if (server_) server_->stop();
    runtime_.stop();
  }

  io::Runtime runtime_{2};
  Names names_{runtime_};
  std::unique_ptr<DnsServer> server_;
  std::uint16_t port_ = 0;
};

TEST_F(Server, AnswersOverUdpAndCompletelyOverTcp) {
  open();
  EXPECT_EQ(Client(SOCK_DGRAM, port_).ask({.name = "web.service.consul"}).answer.size(), 3u);
  EXPECT_EQ(Client(SOCK_STREAM, port_).ask({.name = "web.service.consul"}).answer.size(), 100u);
}

TEST_F(Server, PreparedQueriesAreAnsweredInTheirOrderWithTheirTtl) {
  open();
  for (int i = 0; i < 10; ++i) {
    const auto found = Client(SOCK_DGRAM, port_).ask({.name = "near.query.consul"});
    ASSERT_EQ(found.answer.size(), 2u);
    EXPECT_EQ(found.answer[0].data, "10.0.0.1");
    EXPECT_EQ(found.answer[0].ttl, 17u);
  }
  EXPECT_EQ(Client(SOCK_DGRAM, port_).ask({.name = "none.query.consul"}).rcode, 3);
}

TEST_F(Server, ManyClientsReachEveryThread) {
  open();
  for (int i = 0; i < 64; ++i) {
    const auto answer = Client(SOCK_DGRAM, port_).ask({.name = "web.service.consul"});
    ASSERT_EQ(answer.answer.size(), 3u) << i;
  }
}

TEST_F(Server, AnswersThatComeLaterAreSentToTheRightClient) {
  open();
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    Client client(type, port_);
    EXPECT_EQ(client.ask({.name = "later.service.consul", .id = 9}).id, 9);
    EXPECT_EQ(client.ask({.name = "n.node.consul", .id = 10}).answer.at(0).data, "10.1.1.1");
    EXPECT_EQ(client.ask({.name = "1.0.0.10.in-addr.arpa", .type = 12}).answer.at(0).data,
              "n1.node.dc1.consul.");
    EXPECT_EQ(client.ask({.name = "consul", .type = 6}).additional.at(0).data, "10.9.9.9");
    EXPECT_EQ(client.ask({.name = "none.service.consul"}).rcode, 3);
  }
}

TEST_F(Server, PipelinedTcpQueriesAreAllAnswered) {
  open();
  Client client(SOCK_STREAM, port_);
  for (std::uint16_t id = 1; id <= 100; ++id)
    client.send(
        test::encode({.name = id % 2 ? "web.service.consul" : "later.service.consul", .id = id}));
  std::set<int> ids;
  for (int i = 0; i < 100; ++i) {
    const auto answer = client.receive();
    ASSERT_TRUE(answer.has_value());
    ids.insert(answer->id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

TEST_F(Server, FailuresAndSilenceOfTheSourceBecomeServfail) {
  DnsServerOptions options;
  options.fetch_timeout = std::chrono::milliseconds(20);
  open(options);
  Client client(SOCK_DGRAM, port_);
  EXPECT_EQ(client.ask({.name = "broken.service.consul"}).rcode, 2);
  const auto late = client.ask({.name = "lost.service.consul", .edns = 1232});
  EXPECT_EQ(late.rcode, 2);
  EXPECT_EQ(late.extended_error, 22);
}

TEST_F(Server, WaitingQueriesAreBounded) {
  DnsServerOptions options;
  options.fetch_timeout = std::chrono::seconds(60);
  options.max_pending = 3;
  open(options);
  Client client(SOCK_DGRAM, port_);
  for (std::uint16_t id = 1; id <= 4; ++id)
    client.send(test::encode({.name = "lost.service.consul", .id = id}));
  const auto refused = client.receive();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->id, 4);
  EXPECT_EQ(refused->rcode, 2);
}

TEST_F(Server, GarbageIsSurvived) {
  open();
  Client client(SOCK_DGRAM, port_);
  for (const auto& packet : {std::string("x"), std::string(12, '\xff'), std::string(4000, '\xaa'),
                             std::string(5000, 'y')})
    client.send(packet);
  EXPECT_EQ(client.ask({.name = "web.service.consul", .id = 77}).id, 77);
  Client stream(SOCK_STREAM, port_);
  stream.send(std::string(3, 'x'));
  EXPECT_EQ(stream.ask({.name = "web.service.consul", .id = 78}).id, 78);
}

TEST_F(Server, AHalfSentTcpMessageDelaysNobody) {
  open();
  Client slow(SOCK_STREAM, port_);
  slow.send_raw(std::string("\0\x40half", 6));
  Client client(SOCK_STREAM, port_);
  EXPECT_EQ(client.ask({.name = "web.service.consul"}).answer.size(), 100u);
}

TEST_F(Server, ReloadChangesAnswersAndRefusesBadDomains) {
  open();
  Settings settings;
  settings.udp_answer_limit = 1;
  ASSERT_TRUE(server_->reload(settings).has_value());
  // Reload is posted before this query's packet is read on the same threads.
  EXPECT_EQ(Client(SOCK_DGRAM, port_).ask({.name = "web.service.consul"}).answer.size(), 1u);
  settings.domain = "..";
  EXPECT_THAT(server_->reload(settings).error().message, HasSubstr("domain"));
}

TEST_F(Server, ATakenPortIsNamedOnEitherTransport) {
  open();
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    const int fd = ::socket(AF_INET, type, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    if (type == SOCK_STREAM) ::listen(fd, 1);
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    DnsServerOptions options;
    options.listen = {{"127.0.0.1", ntohs(address.sin_port)}};
    const auto second = DnsServer::listen(runtime_, options, names_);
    ASSERT_FALSE(second.has_value());
    EXPECT_THAT(second.error().message, HasSubstr(options.listen[0].to_string()));
    ::close(fd);
  }
  DnsServerOptions same;
  same.listen = {{"127.0.0.1", port_}};
  EXPECT_FALSE(DnsServer::listen(runtime_, same, names_).has_value());
}

TEST_F(Server, StopsWhileQueriesWaitAndFreesThePort) {
  open();
  Client client(SOCK_DGRAM, port_);
  client.send(test::encode({.name = "lost.service.consul"}));
  EXPECT_EQ(client.ask({.name = "web.service.consul", .id = 5}).id, 5);
  server_->stop();
  names_.answer_the_lost();
  DnsServerOptions same;
  same.listen = {{"127.0.0.1", port_}};
  auto again = DnsServer::listen(runtime_, same, names_);
  EXPECT_TRUE(again.has_value());
}

}  // namespace
}  // namespace fyr::dns
