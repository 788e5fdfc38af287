// Our address values as the kernel's, and back. Only for the files of this folder.
#pragma once

#include <sys/socket.h>

#include "base/error.h"
#include "base/io/udp_server.h"
#include "base/net_address.h"

namespace fyr::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const IpAddress& address, std::uint16_t port);
// "" and "*" mean all IPv4 addresses; "localhost" is 127.0.0.1; other names are refused.
Result<SocketAddress> to_bind_address(const HostPort& where);
Result<SocketAddress> to_unix_address(const std::string& path);
// An IPv4 peer of an IPv6 socket is shown as IPv4. Unspecified for other families.
UdpPeer to_peer(const sockaddr_storage& storage);
HostPort local_address(int fd);

// "listen tcp 127.0.0.1:8500: Address already in use"
Error bind_error(const char* what, const std::string& where, int error);
// Bound, listening, non-blocking; the descriptor belongs to the caller.
Result<int> listen_on(const SocketAddress& address, const std::string& shown, bool reuse_port,
                      int backlog);

}  // namespace fyr::io
