#include "base/net_address.h"

#include <gtest/gtest.h>

namespace fyr {
namespace {

IpAddress ip(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress{});
}

TEST(IpAddress, ReadsAndWritesBothFamilies) {
  for (const auto* text : {"127.0.0.1", "255.255.255.255", "::1", "2001:db8::1", "fe80::1"}) {
    EXPECT_EQ(ip(text).to_string(), text);
  }
  EXPECT_EQ(ip("2001:DB8:0:0::1").to_string(), "2001:db8::1");
}

TEST(IpAddress, RefusesEverythingElse) {
  for (const auto* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "[::1]", "::1%eth0",
                           "localhost", " 1.2.3.4", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST(IpAddress, KnowsPrivateRanges) {
  for (const auto* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                           "169.254.1.1", "127.8.8.8", "::1", "fd00::1", "fe80::1"}) {
    EXPECT_TRUE(ip(text).is_private()) << text;
  }
  for (const auto* text : {"172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "::2"}) {
    EXPECT_FALSE(ip(text).is_private()) << text;
  }
  EXPECT_TRUE(ip("127.0.0.2").is_loopback());
  EXPECT_FALSE(ip("::2").is_loopback());
  EXPECT_TRUE(ip("::").is_unspecified());
  EXPECT_TRUE(ip("0.0.0.0").is_unspecified());
}

TEST(HostPort, IsReadInAllItsForms) {
  const std::tuple<const char*, const char*, int> cases[] = {{"a.example:80", "a.example", 80},
                                                             {"a.example", "a.example", 99},
                                                             {"[::1]:80", "::1", 80},
                                                             {"[::1]", "::1", 99},
                                                             {"::1", "::1", 99},
                                                             {":8500", "", 8500},
                                                             {"1.2.3.4:65535", "1.2.3.4", 65535}};
  for (const auto& [text, host, port] : cases) {
    const auto parsed = parse_host_port(text, 99);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, port);
  }
  EXPECT_EQ((HostPort{"::1", 80}.to_string()), "[::1]:80");
  EXPECT_EQ((HostPort{"a", 80}.to_string()), "a:80");
}

TEST(HostPort, RefusalNamesTheText) {
  for (const auto* text : {"", "a:", "a:b", "a:65536", "a:-1", "a:1:2", "[::1", "[::1]80", "[a]:1",
                           "a:80x", "a:+80"}) {
    const auto parsed = parse_host_port(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find(std::string("\"") + text + "\""), std::string::npos);
  }
}

}  // namespace
}  // namespace fyr
