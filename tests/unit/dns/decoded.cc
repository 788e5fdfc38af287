#include "tests/unit/dns/decoded.h"

#include <arpa/inet.h>

#include <algorithm>
#include <stdexcept>

namespace fyr::dns::test {
namespace {

class Cursor {
 public:
  Cursor(std::string_view message, Decoded& out) : message_(message), out_(out) {}

  std::size_t at = 0;

  unsigned u8() {
    if (at >= message_.size()) throw std::runtime_error("past the end");
    return static_cast<unsigned char>(message_[at++]);
  }
  unsigned u16() {
    const auto high = u8();
    return high << 8 | u8();
  }
  std::uint32_t u32() {
    const auto high = u16();
    return high << 16 | u16();
  }
  std::string name() {
    std::string text;
    std::size_t total = 1;
    std::size_t here = at;
    bool jumped = false;
    for (;;) {
      if (here >= message_.size()) throw std::runtime_error("name past the end");
      const auto length = static_cast<unsigned char>(message_[here]);
      if ((length & 0xc0) == 0xc0) {
        const std::size_t target =
            (length & 0x3fu) << 8 | static_cast<unsigned char>(message_.at(here + 1));
        if (target >= here) throw std::runtime_error("pointer forward");
        if (!jumped) at = here + 2;
        jumped = true;
        ++out_.pointers;
        here = target;
        continue;
      }
      if (length > 63) throw std::runtime_error("bad label");
      if (length == 0) break;
      total += length + 1u;
      if (total > 255) throw std::runtime_error("name too long");
      text += message_.substr(here + 1, length);
      text += '.';
      here += length + 1u;
    }
    if (!jumped) at = here + 1;
    return text.empty() ? "." : text;
  }

 private:
  std::string_view message_;
  Decoded& out_;
};

std::string address_text(int family, std::string_view bytes) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(family, bytes.data(), text, sizeof text);
}

std::string data_text(Cursor& cursor, std::string_view message, unsigned type, std::size_t end) {
  const auto words = [](auto... values) {
    std::string out;
    ((out += (out.empty() ? "" : " ") + std::to_string(values)), ...);
    return out;
  };
  const auto size = end - cursor.at;
  if (type == 1 && size == 4) return address_text(AF_INET, message.substr(cursor.at, 4));
  if (type == 28 && size == 16) return address_text(AF_INET6, message.substr(cursor.at, 16));
  if (type == 2 || type == 5 || type == 12) return cursor.name();
  if (type == 33) {
    const auto priority = cursor.u16();
    const auto weight = cursor.u16();
    const auto port = cursor.u16();
    return words(priority, weight, port) + " " + cursor.name();
  }
  if (type == 6) {
    std::string text = cursor.name();
    text += " " + cursor.name();
    for (int i = 0; i < 5; ++i) text += " " + std::to_string(cursor.u32());
    return text;
  }
  if (type == 16) {
    std::string text;
    while (cursor.at < end) {
      const auto length = cursor.u8();
      text += message.substr(cursor.at, length);
      cursor.at += length;
    }
    return text;
  }
  throw std::runtime_error("type not expected");
}

void read_record(Cursor& cursor, std::string_view message, Decoded& out,
                 std::vector<Record>& section) {
  Record record;
  record.name = cursor.name();
  const auto type = cursor.u16();
  const auto class_ = cursor.u16();
  record.type = static_cast<std::uint16_t>(type);
  record.ttl = cursor.u32();
  const auto size = cursor.u16();
  const auto end = cursor.at + size;
  if (end > message.size()) throw std::runtime_error("data past the end");
  if (type == 41) {
    if (out.edns || record.name != ".") throw std::runtime_error("bad OPT");
    out.edns = true;
    out.edns_size = static_cast<std::uint16_t>(class_);
    out.rcode |= static_cast<int>(record.ttl >> 24) << 4;
    out.dnssec_ok = (record.ttl & 0x8000) != 0;
    if (size == 6 && cursor.u16() == 15 && cursor.u16() == 2)
      out.extended_error = static_cast<int>(cursor.u16());
    cursor.at = end;
    return;
  }
  if (class_ != 1) throw std::runtime_error("class not IN");
  record.data = data_text(cursor, message, type, end);
  if (type == 1 || type == 28) cursor.at = end;
  if (cursor.at != end) throw std::runtime_error("data has another size");
  section.push_back(std::move(record));
}

void append16(std::string& out, unsigned value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

}  // namespace

std::vector<std::string> Decoded::data(const std::vector<Record>& records) const {
  std::vector<std::string> all;
  for (const auto& record : records) all.push_back(record.data);
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<Decoded> decode(std::string_view message) {
  Decoded out;
  out.size = message.size();
  try {
    Cursor cursor(message, out);
    out.id = static_cast<std::uint16_t>(cursor.u16());
    const auto flags = cursor.u16();
    if ((flags & 0x8000) == 0) return std::nullopt;
    out.rcode = static_cast<int>(flags & 15);
    out.aa = (flags & 0x0400) != 0;
    out.tc = (flags & 0x0200) != 0;
    out.rd = (flags & 0x0100) != 0;
    out.ra = (flags & 0x0080) != 0;
    out.cd = (flags & 0x0010) != 0;
    const auto questions = cursor.u16();
    const unsigned counts[3] = {cursor.u16(), cursor.u16(), cursor.u16()};
    if (questions > 1) return std::nullopt;
    if (questions == 1) {
      out.question = cursor.name();
      out.question += " " + std::to_string(cursor.u16());
      cursor.u16();
    }
    std::vector<Record>* sections[3] = {&out.answer, &out.authority, &out.additional};
    for (int s = 0; s < 3; ++s)
      for (unsigned i = 0; i < counts[s]; ++i) read_record(cursor, message, out, *sections[s]);
    if (cursor.at != message.size()) return std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return out;
}

std::string encode_name(std::string_view text) {
  std::string out;
  while (!text.empty() && text != ".") {
    const auto dot = std::min(text.find('.'), text.size());
    out += static_cast<char>(dot);
    out += text.substr(0, dot);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return out + '\0';
}

std::string encode(const Ask& ask) {
  std::string out;
  append16(out, ask.id);
  append16(out, static_cast<unsigned>(ask.opcode) << 11 | (ask.rd ? 0x100u : 0u) |
                    (ask.cd ? 0x10u : 0u));
  append16(out, 1);
  append16(out, 0);
  append16(out, 0);
  append16(out, ask.edns >= 0 ? 1 : 0);
  out += encode_name(ask.name);
  append16(out, ask.type);
  append16(out, ask.class_);
  if (ask.edns >= 0) {
    out += '\0';
    append16(out, 41);
    append16(out, static_cast<unsigned>(ask.edns));
    out += '\0';
    out += static_cast<char>(ask.edns_version);
    append16(out, ask.dnssec_ok ? 0x8000 : 0);
    append16(out, 0);
  }
  return out;
}

}  // namespace fyr::dns::test
