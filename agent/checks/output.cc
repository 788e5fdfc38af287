#include "agent/checks/output.h"

#include <cstdint>

namespace fyr::agent {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the well-formed sequence at `at` (Unicode table 3-7), 0 if there is none.
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[at + i]); };
  const auto follows = [&](std::size_t i, std::uint8_t low, std::uint8_t high) {
    return at + i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const std::uint8_t low = lead == 0xE0 ? 0xA0 : 0x80;
    const std::uint8_t high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const std::uint8_t low = lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

bool continues(char c) {
  return (static_cast<std::uint8_t>(c) & 0xC0) == 0x80;
}

// A cut may fall inside a character: at most three stray bytes go too.
std::string_view last_bytes(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  text.remove_prefix(text.size() - limit);
  for (int i = 0; i < 3 && !text.empty() && continues(text.front()); ++i) text.remove_prefix(1);
  return text;
}

std::string_view first_bytes(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;
  for (int i = 0; i < 3 && end > 0 && continues(text[end]); ++i) --end;
  return text.substr(0, end);
}

}  // namespace

std::string clean_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t length = sequence_length(bytes, at);
    if (length == 0) {
      out += kReplacement;
      ++at;
      continue;
    }
    if (bytes[at] != '\0') out += bytes.substr(at, length);
    at += length;
  }
  return out;
}

std::string script_output(std::string_view tail, std::size_t total, std::size_t limit) {
  std::string kept = clean_text(last_bytes(tail, limit));
  if (total <= limit && total <= tail.size()) return kept;
  return "Captured " + std::to_string(limit) + " of " + std::to_string(total) + " bytes\n...\n" +
         kept;
}

std::string body_output(std::string_view tail, std::size_t limit) {
  return clean_text(last_bytes(tail, limit));
}

std::string note_output(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return clean_text(text);
  return clean_text(first_bytes(text, limit)) + " ... (captured " + std::to_string(limit) + " of " +
         std::to_string(text.size()) + " bytes)";
}

}  // namespace fyr::agent
