// A DNS message read by other code than the one that wrote it, and queries to send.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fyr::dns::test {

struct Record {
  std::string name;  // with the final dot, letters as sent
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  std::string data;  // as zone files show it
};

struct Decoded {
  std::uint16_t id = 0;
  int rcode = 0;  // with the upper bits from OPT
  bool aa = false;
  bool tc = false;
  bool rd = false;
  bool ra = false;
  bool cd = false;
  std::string question;  // "name type"
  std::vector<Record> answer;
  std::vector<Record> authority;
  std::vector<Record> additional;  // without OPT
  bool edns = false;
  bool dnssec_ok = false;
  std::uint16_t edns_size = 0;
  int extended_error = -1;
  std::size_t size = 0;
  int pointers = 0;  // compression pointers met; forward ones make the message bad

  std::vector<std::string> data(const std::vector<Record>& records) const;  // sorted
};

// nullopt: not a well-formed response.
std::optional<Decoded> decode(std::string_view message);

struct Ask {
  std::string name;
  std::uint16_t type = 1;
  int edns = -1;  // size, -1: no OPT
  int edns_version = 0;
  bool dnssec_ok = false;
  bool rd = true;
  bool cd = false;
  int opcode = 0;
  std::uint16_t class_ = 1;
  std::uint16_t id = 0x1234;
};
std::string encode(const Ask& ask);
std::string encode_name(std::string_view text);

}  // namespace fyr::dns::test
