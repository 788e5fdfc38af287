// The few socket calls of the data path, non-blocking, errors as errno values.
//
// Thread: any; each descriptor belongs to whoever owns it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/net_address.h"
#include "base/time.h"

namespace fyr::proxy {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const IpAddress& address, std::uint16_t port);
// "10.1.2.3" and "10.1.2.3:4567" ("[v6]:port"); an IPv4 peer of an IPv6 socket is shown as IPv4.
std::string address_text(const SocketAddress& address);
std::string address_port_text(const SocketAddress& address);

// Listening, non-blocking, shared between the io threads. `exclusive_probe` first makes sure that
// no other process listens there, which SO_REUSEPORT alone would allow.
Result<int> open_listener(const SocketAddress& address, bool exclusive_probe);

// -1 and errno if none is waiting.
int accept_connection(int listener, SocketAddress& peer);

// A connection being made; errno value in `error` if it failed at once. `user_timeout` bounds how
// long sent bytes may stay unacknowledged.
int start_connect(const SocketAddress& address, Duration user_timeout, int& error);
void set_user_timeout(int fd, Duration timeout);
int pending_error(int fd);  // SO_ERROR
// Bytes in the kernel the peer has not acknowledged yet.
int unacknowledged(int fd);
// True if the peer has neither closed nor sent anything: an idle connection fit for use.
bool is_quiet(int fd);

// Bytes moved, 0 if the socket would block, -1 with errno. `receive` says 0 for end of file in
// `eof`.
ssize_t send_some(int fd, std::string_view bytes);
ssize_t send_two(int fd, std::string_view first, std::string_view second);
ssize_t receive(int fd, char* buffer, std::size_t size, bool& eof);

void close_socket(int fd);
void reset_socket(int fd);  // closes with RST: the peer must not take it for a proper end

}  // namespace fyr::proxy
