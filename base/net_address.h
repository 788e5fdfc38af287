// IP addresses and host:port pairs as values; no resolving, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fyr {

struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // v4 uses the first four; network order

  static std::optional<IpAddress> parse(std::string_view text);  // no brackets, no zone
  std::string to_string() const;
  bool is_loopback() const;
  bool is_private() const;  // RFC 1918, RFC 6598, RFC 4193, link-local, loopback
  bool is_unspecified() const;
  bool operator==(const IpAddress&) const = default;
  auto operator<=>(const IpAddress&) const = default;
};

struct HostPort {
  std::string host;  // name or literal, without brackets
  std::uint16_t port = 0;
  std::string to_string() const;  // brackets around IPv6
  bool operator==(const HostPort&) const = default;
};

// "host:port", "[v6]:port", "host" (then port = default_port). Bad input names the text.
Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port = 0);

}  // namespace fyr
