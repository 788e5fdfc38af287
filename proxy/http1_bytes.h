// Byte classes and small helpers of the HTTP/1 parsers; for their files only.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/http1.h"

namespace fyr::proxy::http1 {

// Classes of bytes, one table look-up each.
inline constexpr std::uint8_t kToken = 1;   // RFC 9110 section 5.6.2
inline constexpr std::uint8_t kValue = 2;   // in a field value: HTAB, SP, VCHAR, obs-text
inline constexpr std::uint8_t kTarget = 4;  // in a request target: VCHAR without '#'
inline constexpr std::uint8_t kHost = 8;    // in a registered name
inline constexpr std::uint8_t kDigit = 16;

constexpr std::array<std::uint8_t, 256> make_table() {
  std::array<std::uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    std::uint8_t bits = 0;
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";
    constexpr std::string_view host_marks = "-._~%!$&'()*+,;=";
    const char as_char = static_cast<char>(c);
    if (alpha || digit || token_marks.find(as_char) != std::string_view::npos) bits |= kToken;
    if (alpha || digit || host_marks.find(as_char) != std::string_view::npos) bits |= kHost;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= kValue;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= kTarget;
    if (digit) bits |= kDigit;
    table[static_cast<std::size_t>(c)] = bits;
  }
  return table;
}
inline constexpr auto kTable = make_table();

inline bool is(char c, std::uint8_t cls) {
  return (kTable[static_cast<unsigned char>(c)] & cls) != 0;
}

inline bool all(std::string_view text, std::uint8_t cls) {
  for (const char c : text) {
    if (!is(c, cls)) return false;
  }
  return true;
}

inline bool refuse(Fault& fault, int status, std::string_view reason, std::string_view text) {
  fault = {status, reason, text};
  return false;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

inline bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

}  // namespace fyr::proxy::http1
