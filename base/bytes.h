// Byte strings: hex, base64 (RFC 4648, padded), percent coding (RFC 3986), big-endian integers,
// CRC32C (Castagnoli), SHA-256, ASCII case.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fyr {

std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view text);
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

// Decodes %XX once; '+' stays as it is unless `plus_is_space` (query strings). nullopt: bad escape.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
std::string percent_encode(std::string_view text);  // everything but unreserved characters

void append_be16(std::string& out, std::uint16_t value);
void append_be32(std::string& out, std::uint32_t value);
void append_be64(std::string& out, std::uint64_t value);
std::uint64_t read_be64(std::string_view bytes);  // exactly the first 8 bytes

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);
std::string sha256(std::string_view bytes);  // 32 raw bytes

bool equals_ignoring_case(std::string_view a, std::string_view b);  // ASCII only
std::string to_lower(std::string_view text);                        // ASCII only
std::string_view trim(std::string_view text);                       // blanks and tabs
std::vector<std::string_view> split(std::string_view text, char separator);

// Edit distance, for "did you mean" in error messages.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace fyr
