#include "base/io/udp_server.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>

#include "base/check.h"
#include "base/io/socket_address.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::io {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

constexpr std::size_t kBatch = 32;     // packets a system call
constexpr int kBatchesPerTurn = 8;     // then other work of the thread gets its turn
constexpr int kBufferBytes = 4 << 20;  // asked of the kernel, which may give less

// Lives as long as a wait is pending; the socket is closed by detach() before that.
class UdpCore : public std::enable_shared_from_this<UdpCore> {
 public:
  UdpCore(asio::io_context& context, int fd, std::size_t max_packet, UdpSocket::Receive receive)
      : descriptor_(context, fd),
        max_packet_(max_packet),
        receive_(std::move(receive)),
        space_(kBatch * max_packet) {}

  int fd() { return descriptor_.native_handle(); }

  void wait() {
    descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& code) {
                             if (!code && !self->closed_.load()) self->drain();
                           });
  }

  void close() {
    if (closed_.exchange(true)) return;
    boost::system::error_code ignored;
    descriptor_.close(ignored);
    receive_ = nullptr;
  }

 private:
  void drain() {
    for (int turn = 0; turn < kBatchesPerTurn && !closed_.load(); ++turn) {
      const auto count = receive_batch();
      if (count == 0) break;
      answer_batch(count);
      if (count < kBatch) break;
    }
    if (!closed_.load()) wait();
  }

  std::size_t receive_batch() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      in_parts_[i] = {space_.data() + i * max_packet_, max_packet_};
      auto& header = in_[i].msg_hdr;
      header = {};
      header.msg_name = &peers_[i];
      header.msg_namelen = sizeof peers_[i];
      header.msg_iov = &in_parts_[i];
      header.msg_iovlen = 1;
    }
    const int n = ::recvmmsg(fd(), in_.data(), kBatch, MSG_DONTWAIT, nullptr);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }

  void answer_batch(std::size_t count) {
    std::size_t answers = 0;
    // The handler may close us.
    const auto receive = receive_;
    for (std::size_t i = 0; i < count && !closed_.load(); ++i) {
      if ((in_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;  // larger than anything we speak
      auto& reply = replies_[answers];
      reply.clear();
      receive(to_peer(peers_[i]), {space_.data() + i * max_packet_, in_[i].msg_len}, reply);
      if (reply.empty()) continue;
      out_parts_[answers] = {reply.data(), reply.size()};
      auto& header = out_[answers].msg_hdr;
      header = {};
      header.msg_name = &peers_[i];
      header.msg_namelen = in_[i].msg_hdr.msg_namelen;
      header.msg_iov = &out_parts_[answers];
      header.msg_iovlen = 1;
      ++answers;
    }
    if (!closed_.load()) send_batch(answers);
  }

  // One peer that cannot be reached must not cost the others their answers.
  void send_batch(std::size_t answers) {
    static auto& dropped = metrics::counter("fyr.udp.answers_dropped");
    for (std::size_t sent = 0; sent < answers;) {
      const int n = ::sendmmsg(fd(), out_.data() + sent, static_cast<unsigned>(answers - sent),
                               MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) {
        sent += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        dropped.add();
        ++sent;
      }
    }
  }

  Descriptor descriptor_;
  const std::size_t max_packet_;
  UdpSocket::Receive receive_;
  std::atomic<bool> closed_{false};
  std::vector<char> space_;
  std::array<sockaddr_storage, kBatch> peers_{};
  std::array<mmsghdr, kBatch> in_{};
  std::array<iovec, kBatch> in_parts_{};
  std::array<mmsghdr, kBatch> out_{};
  std::array<iovec, kBatch> out_parts_{};
  std::array<std::string, kBatch> replies_;
};

class UdpSocketImpl final : public UdpSocket {
 public:
  UdpSocketImpl(std::shared_ptr<UdpCore> core, HostPort bound, bool v6)
      : core_(std::move(core)), fd_(core_->fd()), bound_(std::move(bound)), v6_(v6) {}
  ~UdpSocketImpl() override { core_->close(); }

  HostPort bound() const override { return bound_; }

  void send(const UdpPeer& to, std::string_view packet) override {
    if (to.address.v6 != v6_) return;
    const auto address = to_socket_address(to.address, to.port);
    const auto sent = ::sendto(fd_, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                               address.get(), address.length);
    if (sent < 0) metrics::counter("fyr.udp.packets_dropped").add();
  }

 private:
  std::shared_ptr<UdpCore> core_;
  const int fd_;
  const HostPort bound_;
  const bool v6_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::open(Runtime& runtime, int thread, Options options,
                                                   Receive receive) {
  const auto address = to_bind_address(options.bind);
  if (!address) return address.error();
  const auto shown = options.bind.to_string();
  const int family = address->storage.ss_family;
  const int fd = ::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return bind_error("udp", shown, errno);
  const int on = 1;
  if (options.reuse_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
  if (::bind(fd, address->get(), address->length) != 0) {
    const int error = errno;
    ::close(fd);
    return bind_error("udp", shown, error);
  }
  auto core = std::make_shared<UdpCore>(runtime.context(thread), fd, options.max_packet,
                                        std::move(receive));
  runtime.post(thread, [core] { core->wait(); });
  return std::unique_ptr<UdpSocket>(
      std::make_unique<UdpSocketImpl>(core, local_address(fd), family == AF_INET6));
}

}  // namespace fyr::io
