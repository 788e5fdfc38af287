#include "base/io/udp_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "base/io/socket_address.h"

namespace fyr::io {
namespace {

// A plain blocking UDP socket on loopback.
class Peer {
 public:
  explicit Peer(const HostPort& to) : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const auto address = *to_bind_address(to);
    EXPECT_EQ(::connect(fd_, address.get(), address.length), 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { ::close(fd_); }
  void send(std::string_view packet) { ::send(fd_, packet.data(), packet.size(), 0); }
  std::string receive() {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, 10'000) <= 0) return "nothing came";
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    return n < 0 ? "refused" : std::string(buffer, static_cast<std::size_t>(n));
  }
  UdpPeer address() const {
    const auto local = local_address(fd_);
    return {*IpAddress::parse(local.host), local.port};
  }

 private:
  int fd_;
};

UdpSocket::Options loopback() {
  return {{"127.0.0.1", 0}, false, 512};
}

TEST(UdpSocket, AnswersEachPacketToItsSender) {
  Runtime runtime(1);
  auto socket = UdpSocket::open(runtime, 0, loopback(),
                                [](const UdpPeer&, std::string_view packet, std::string& reply) {
                                  EXPECT_TRUE(reply.empty());
                                  if (packet != "quiet") reply = "re: " + std::string(packet);
                                });
  ASSERT_TRUE(socket) << socket.error().message;
  runtime.start();
  Peer one((*socket)->bound());
  Peer two((*socket)->bound());
  for (int i = 0; i < 100; ++i) {
    one.send("a" + std::to_string(i));
    two.send("quiet");
    two.send("b" + std::to_string(i));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(one.receive(), "re: a" + std::to_string(i));
    EXPECT_EQ(two.receive(), "re: b" + std::to_string(i));
  }
  runtime.stop();
}

TEST(UdpSocket, SendsUnaskedFromAnyThread) {
  Runtime runtime(1);
  std::promise<UdpPeer> from;
  auto socket = UdpSocket::open(
      runtime, 0, loopback(),
      [&](const UdpPeer& peer, std::string_view, std::string&) { from.set_value(peer); });
  ASSERT_TRUE(socket);
  runtime.start();
  Peer peer((*socket)->bound());
  peer.send("hello");
  const auto seen = from.get_future().get();
  EXPECT_EQ(seen, peer.address());
  (*socket)->send(seen, "back");
  EXPECT_EQ(peer.receive(), "back");
  runtime.stop();
}

TEST(UdpSocket, DropsPacketsThatAreTooLarge) {
  Runtime runtime(1);
  auto socket = UdpSocket::open(runtime, 0, loopback(),
                                [](const UdpPeer&, std::string_view packet, std::string& reply) {
                                  reply = std::to_string(packet.size());
                                });
  ASSERT_TRUE(socket);
  runtime.start();
  Peer peer((*socket)->bound());
  peer.send(std::string(513, 'x'));
  peer.send(std::string(511, 'x'));
  EXPECT_EQ(peer.receive(), "511");
  runtime.stop();
}

TEST(UdpSocket, ReportsAPortThatIsTaken) {
  Runtime runtime(1);
  const auto nothing = [](const UdpPeer&, std::string_view, std::string&) {};
  const auto first = UdpSocket::open(runtime, 0, loopback(), nothing);
  ASSERT_TRUE(first);
  auto options = loopback();
  options.bind = (*first)->bound();
  const auto second = UdpSocket::open(runtime, 0, options, nothing);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
  EXPECT_NE(second.error().message.find(options.bind.to_string()), std::string::npos);
}

TEST(UdpSocket, MayBeDestroyedByItsOwnHandler) {
  Runtime runtime(1);
  std::unique_ptr<UdpSocket> socket;
  std::promise<void> gone;
  auto opened = UdpSocket::open(runtime, 0, loopback(),
                                [&](const UdpPeer&, std::string_view, std::string& reply) {
                                  reply = "never sent";
                                  socket.reset();
                                  gone.set_value();
                                });
  ASSERT_TRUE(opened);
  socket = std::move(*opened);
  Peer peer(socket->bound());
  peer.send("x");
  peer.send("y");
  runtime.start();
  gone.get_future().get();
  peer.send("z");
  EXPECT_EQ(peer.receive(), "refused");
}

}  // namespace
}  // namespace fyr::io
