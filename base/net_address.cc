#include "base/net_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace fyr {
namespace {

bool has_prefix(const IpAddress& ip, std::initializer_list<std::uint8_t> prefix, int bits) {
  auto want = prefix.begin();
  for (std::size_t i = 0; bits > 0; ++i, ++want, bits -= 8) {
    const auto mask = bits >= 8 ? 0xff : static_cast<std::uint8_t>(0xff00 >> bits);
    if ((ip.bytes[i] & mask) != (*want & mask)) return false;
  }
  return true;
}

std::string shown(std::string_view text) {
  return "\"" + std::string(text.substr(0, 256)) + "\"";
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  *std::copy(text.begin(), text.end(), copy) = '\0';
  IpAddress address;
  address.v6 = text.find(':') != std::string_view::npos;
  const int family = address.v6 ? AF_INET6 : AF_INET;
  if (inet_pton(family, copy, address.bytes.data()) != 1) return std::nullopt;
  return address;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text) == nullptr) return {};
  return text;
}

bool IpAddress::is_loopback() const {
  if (!v6) return bytes[0] == 127;
  return has_prefix(*this, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128);
}

bool IpAddress::is_private() const {
  if (is_loopback()) return true;
  if (v6) return has_prefix(*this, {0xfc}, 7) || has_prefix(*this, {0xfe, 0x80}, 10);
  return has_prefix(*this, {10}, 8) || has_prefix(*this, {172, 16}, 12) ||
         has_prefix(*this, {192, 168}, 16) || has_prefix(*this, {100, 64}, 10) ||
         has_prefix(*this, {169, 254}, 16);
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

std::string HostPort::to_string() const {
  const bool bracket = host.find(':') != std::string::npos;
  return (bracket ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port) {
  const auto bad = [text](std::string_view reason) {
    return fail(ErrorCode::InvalidArgument, "address " + shown(text) + ": " + std::string(reason));
  };
  if (text.empty()) return bad("is empty");
  auto host = text;
  std::optional<std::string_view> port;
  if (text[0] == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return bad("missing ']'");
    host = text.substr(1, close - 1);
    const auto literal = IpAddress::parse(host);
    if (!literal || !literal->v6) return bad("no IPv6 address between the brackets");
    const auto rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return bad("unexpected text after ']'");
    if (!rest.empty()) port = rest.substr(1);
  } else if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    if (text.find(':') != colon) {
      if (!IpAddress::parse(text)) return bad("too many colons");
    } else {
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
    }
  }
  HostPort result{std::string(host), default_port};
  if (port) {
    const auto* end = port->data() + port->size();
    const auto parsed = std::from_chars(port->data(), end, result.port);
    if (port->empty() || parsed.ec != std::errc() || parsed.ptr != end) {
      return bad("port must be a number from 0 to 65535");
    }
  }
  return result;
}

}  // namespace fyr
