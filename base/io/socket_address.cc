#include "base/io/socket_address.h"

#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace fyr::io {

SocketAddress to_socket_address(const IpAddress& address, std::uint16_t port) {
  SocketAddress out;
  if (address.v6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(out.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    std::memcpy(&in6.sin6_addr, address.bytes.data(), 16);
    out.length = sizeof(sockaddr_in6);
  } else {
    auto& in4 = reinterpret_cast<sockaddr_in&>(out.storage);
    in4.sin_family = AF_INET;
    in4.sin_port = htons(port);
    std::memcpy(&in4.sin_addr, address.bytes.data(), 4);
    out.length = sizeof(sockaddr_in);
  }
  return out;
}

Result<SocketAddress> to_bind_address(const HostPort& where) {
  std::string_view host = where.host;
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (host == "localhost") host = "127.0.0.1";
  const auto address = IpAddress::parse(host);
  if (!address) {
    return fail(ErrorCode::InvalidArgument, "listen " + where.to_string() + ": not an IP address");
  }
  return to_socket_address(*address, where.port);
}

Result<SocketAddress> to_unix_address(const std::string& path) {
  SocketAddress out;
  auto& un = reinterpret_cast<sockaddr_un&>(out.storage);
  un.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof un.sun_path) {
    return fail(ErrorCode::InvalidArgument,
                "unix socket \"" + path + "\": path must have 1 to 107 characters");
  }
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

UdpPeer to_peer(const sockaddr_storage& storage) {
  UdpPeer peer;
  if (storage.ss_family == AF_INET) {
    const auto& in4 = reinterpret_cast<const sockaddr_in&>(storage);
    std::memcpy(peer.address.bytes.data(), &in4.sin_addr, 4);
    peer.port = ntohs(in4.sin_port);
  } else if (storage.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
    peer.port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      std::memcpy(peer.address.bytes.data(), &in6.sin6_addr.s6_addr[12], 4);
    } else {
      peer.address.v6 = true;
      std::memcpy(peer.address.bytes.data(), &in6.sin6_addr, 16);
    }
  }
  return peer;
}

HostPort local_address(int fd) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(fd, address.get(), &address.length) != 0) return {};
  const auto peer = to_peer(address.storage);
  return {peer.address.to_string(), peer.port};
}

Error bind_error(const char* what, const std::string& where, int error) {
  const auto code = error == EADDRINUSE ? ErrorCode::Conflict
                    : error == EACCES   ? ErrorCode::PermissionDenied
                                        : ErrorCode::Unavailable;
  return fail(code, std::string("listen ") + what + " " + where + ": " +
                        std::generic_category().message(error));
}

Result<int> listen_on(const SocketAddress& address, const std::string& shown, bool reuse_port,
                      int backlog) {
  const bool is_unix = address.storage.ss_family == AF_UNIX;
  const char* what = is_unix ? "unix" : "tcp";
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return bind_error(what, shown, errno);
  const int on = 1;
  bool good = true;
  if (!is_unix) good = ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
  if (good && reuse_port) {
    good = ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
  }
  good = good && ::bind(fd, address.get(), address.length) == 0 && ::listen(fd, backlog) == 0;
  if (good) return fd;
  const int error = errno;
  ::close(fd);
  return bind_error(what, shown, error);
}

}  // namespace fyr::io
