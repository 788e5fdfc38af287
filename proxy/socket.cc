#include "proxy/socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace fyr::proxy {
namespace {

constexpr int kBacklog = 4096;

void set_option(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

int user_timeout_ms(Duration timeout) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
}

Error listen_error(const SocketAddress& address, int error) {
  return fail(
      error == EADDRINUSE ? ErrorCode::Conflict : ErrorCode::Unavailable,
      "listen " + address_port_text(address) + ": " + std::generic_category().message(error));
}

Result<int> bind_once(const SocketAddress& address, bool reuse_port) {
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return listen_error(address, errno);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (reuse_port) set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  // Inherited by every accepted connection: one call less for each.
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (::bind(fd, address.get(), address.length) != 0 ||
      (reuse_port && ::listen(fd, kBacklog) != 0)) {
    const int error = errno;
    ::close(fd);
    return listen_error(address, error);
  }
  return fd;
}

}  // namespace

SocketAddress to_socket_address(const IpAddress& address, std::uint16_t port) {
  SocketAddress out;
  if (address.v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    std::memcpy(&in6->sin6_addr, address.bytes.data(), 16);
    out.length = sizeof(sockaddr_in6);
  } else {
    auto* in4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port);
    std::memcpy(&in4->sin_addr, address.bytes.data(), 4);
    out.length = sizeof(sockaddr_in);
  }
  return out;
}

std::string address_text(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "unknown";
  if (address.storage.ss_family == AF_INET) {
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    ::inet_ntop(AF_INET, &in4->sin_addr, text, sizeof text);
  } else if (address.storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
      ::inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    }
  }
  return text;
}

std::string address_port_text(const SocketAddress& address) {
  const auto port = address.storage.ss_family == AF_INET6
                        ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                        : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port;
  return HostPort{address_text(address), ntohs(port)}.to_string();
}

Result<int> open_listener(const SocketAddress& address, bool exclusive_probe) {
  if (exclusive_probe) {
    const auto probe = bind_once(address, false);
    if (!probe) return probe.error();
    ::close(*probe);
  }
  return bind_once(address, true);
}

int accept_connection(int listener, SocketAddress& peer) {
  peer.length = sizeof peer.storage;
  return ::accept4(listener, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length,
                   SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int start_connect(const SocketAddress& address, Duration user_timeout, int& error) {
  error = 0;
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    error = errno;
    return -1;
  }
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_user_timeout(fd, user_timeout);
  if (::connect(fd, address.get(), address.length) != 0 && errno != EINPROGRESS) {
    error = errno;
    ::close(fd);
    return -1;
  }
  return fd;
}

void set_user_timeout(int fd, Duration timeout) {
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms(timeout));
}

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

int unacknowledged(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool is_quiet(int fd) {
  char byte;
  const auto n = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

ssize_t send_some(int fd, std::string_view bytes) {
  const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return n < 0 && errno == EAGAIN ? 0 : n;
}

ssize_t send_two(int fd, std::string_view first, std::string_view second) {
  if (second.empty()) return send_some(fd, first);
  iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                    {const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const auto n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  return n < 0 && errno == EAGAIN ? 0 : n;
}

ssize_t receive(int fd, char* buffer, std::size_t size, bool& eof) {
  eof = false;
  const auto n = ::recv(fd, buffer, size, 0);
  if (n == 0) eof = true;
  return n < 0 && errno == EAGAIN ? 0 : n;
}

void close_socket(int fd) {
  ::close(fd);
}

void reset_socket(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd);
}

}  // namespace fyr::proxy
