// A blocking client socket for tests: sends exactly the bytes a test writes.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/io/socket_address.h"

namespace fyr::io {

class RawClient {
 public:
  static constexpr int kPatience = 10'000;  // milliseconds; only a failing test waits for it

  explicit RawClient(const SocketAddress& address)
      : fd_(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(::connect(fd_, address.get(), address.length), 0);
  }
  explicit RawClient(int fd) : fd_(fd) {}  // connected already
  explicit RawClient(const HostPort& where) : RawClient(*to_bind_address(where)) {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { close(); }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void end_sending() { ::shutdown(fd_, SHUT_WR); }
  int fd() const { return fd_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // Reads until `text` holds `mark`; what came after it is kept for the next call. On an end or
  // silence returns what there is.
  std::string read_until(std::string_view mark) {
    for (;;) {
      const auto at = rest_.find(mark);
      if (at != std::string::npos) return take(at + mark.size());
      if (!read_more()) return take(rest_.size());
    }
  }
  std::string read_bytes(std::size_t count) {
    while (rest_.size() < count && read_more()) {
    }
    return take(std::min(count, rest_.size()));
  }
  std::string read_to_end() {
    while (read_more()) {
    }
    return take(rest_.size());
  }
  // Whether the peer closes without sending anything more.
  bool sees_end() { return read_to_end().empty() && ended_; }

 private:
  bool read_more() {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, kPatience) <= 0) {
      ADD_FAILURE() << "nothing came; so far: " << rest_;
      return false;
    }
    char buffer[16384];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    ended_ = n <= 0;
    if (n > 0) rest_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }
  std::string take(std::size_t count) {
    auto out = rest_.substr(0, count);
    rest_.erase(0, count);
    return out;
  }

  int fd_;
  bool ended_ = false;
  std::string rest_;
};

}  // namespace fyr::io
