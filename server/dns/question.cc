#include "server/dns/question.h"

#include <array>
#include <optional>

namespace fyr::dns {
namespace {

bool ends_with(const Query& query, std::string_view zone, int& zone_label) {
  // Few zones have more labels than this loop runs; comparing sizes first makes it one memcmp.
  for (int i = 0; i <= query.labels; ++i) {
    const auto suffix = query.lower_suffix(i);
    if (suffix.size() > zone.size()) continue;
    if (suffix.size() < zone.size() || suffix != zone) return false;
    zone_label = i;
    return true;
  }
  return false;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<IpAddress> address_from_hex(std::string_view text) {
  if (text.size() != 8 && text.size() != 32) return std::nullopt;
  IpAddress address;
  address.v6 = text.size() == 32;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    address.bytes[i / 2] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return address;
}

// 0 to 255 without leading zeros; -1 otherwise.
int octet(std::string_view text) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return -1;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value <= 255 ? value : -1;
}

// Labels 0..count-1, least significant first.
std::optional<IpAddress> reverse_v4(const Query& query, int count) {
  if (count != 4) return std::nullopt;
  IpAddress address;
  for (int i = 0; i < 4; ++i) {
    const int value = octet(query.label(i));
    if (value < 0) return std::nullopt;
    address.bytes[static_cast<std::size_t>(3 - i)] = static_cast<std::uint8_t>(value);
  }
  return address;
}

std::optional<IpAddress> reverse_v6(const Query& query, int count) {
  if (count != 32) return std::nullopt;
  IpAddress address;
  address.v6 = true;
  for (int i = 0; i < 32; ++i) {
    const auto label = query.label(i);
    const int value = label.size() == 1 ? hex_digit(label[0]) : -1;
    if (value < 0) return std::nullopt;
    auto& byte = address.bytes[static_cast<std::size_t>(15 - i / 2)];
    byte = static_cast<std::uint8_t>(i % 2 == 0 ? value : byte | value << 4);
  }
  return address;
}

void join_labels(const Query& query, int first, int end, std::string& out) {
  out.clear();
  for (int i = first; i < end; ++i) {
    if (i > first) out.push_back('.');
    out.append(query.label(i));
  }
}

enum class Keyword { None, Service, Node, Query, Address, Mesh };

Keyword keyword_of(std::string_view label) {
  if (label == "service") return Keyword::Service;
  if (label == "node") return Keyword::Node;
  if (label == "query") return Keyword::Query;
  if (label == "addr") return Keyword::Address;
  if (label == "connect" || label == "virtual" || label == "ingress") return Keyword::Mesh;
  return Keyword::None;
}

bool is_underscored(std::string_view label) {
  return label.size() > 1 && label[0] == '_';
}

// RFC 2782: _name._tag, where the tag "tcp" stands for any.
void read_underscored(const Query& query, Lookup& lookup) {
  lookup.kind = LookupKind::Service;
  lookup.name = query.label(0).substr(1);
  lookup.tag = query.label(1).substr(1);
  if (lookup.tag == "tcp") lookup.tag.clear();
}

// Labels [0, end) stand before the word that says what is asked for.
void read_by_keyword(const Query& query, Keyword keyword, int end, Lookup& lookup) {
  lookup.kind = LookupKind::Unknown;
  if (end == 0) return;
  switch (keyword) {
    case Keyword::Service:
      if (end == 2 && is_underscored(query.label(0)) && is_underscored(query.label(1)))
        return read_underscored(query, lookup);
      lookup.kind = LookupKind::Service;
      lookup.name = query.label(end - 1);
      join_labels(query, 0, end - 1, lookup.tag);
      return;
    case Keyword::Node:
      lookup.kind = LookupKind::Node;
      join_labels(query, 0, end, lookup.name);
      return;
    case Keyword::Address: {
      const auto address = end == 1 ? address_from_hex(query.label(0)) : std::nullopt;
      if (!address) return;
      lookup.kind = LookupKind::Address;
      lookup.address = *address;
      return;
    }
    case Keyword::Query:
      lookup.kind = LookupKind::Query;
      join_labels(query, 0, end, lookup.name);
      return;
    case Keyword::Mesh:
    case Keyword::None:
      return;
  }
}

// Labels [0, end) stand before the domain.
void classify_in_domain(const Query& query, int end, const ZoneNames& zone, Lookup& lookup) {
  lookup.kind = LookupKind::Unknown;
  // A datacenter may be called like one of the words, so a word before it is looked for first.
  const bool datacenter_last = end > 0 && query.label(end - 1) == zone.datacenter;
  if (datacenter_last && end > 1) {
    const auto keyword = keyword_of(query.label(end - 2));
    if (keyword != Keyword::None) return read_by_keyword(query, keyword, end - 2, lookup);
  }
  if (end > 0) {
    const auto keyword = keyword_of(query.label(end - 1));
    if (keyword != Keyword::None) return read_by_keyword(query, keyword, end - 1, lookup);
  }
  const int names = datacenter_last ? end - 1 : end;
  if (names == 2 && is_underscored(query.label(0)) && is_underscored(query.label(1)))
    read_underscored(query, lookup);
}

bool classify_reverse(const Query& query, Lookup& lookup) {
  using namespace std::string_view_literals;
  int labels = 0;
  std::optional<IpAddress> address;
  if (ends_with(query, "\7in-addr\4arpa\0"sv, labels)) {
    address = reverse_v4(query, labels);
  } else if (ends_with(query, "\3ip6\4arpa\0"sv, labels)) {
    address = reverse_v6(query, labels);
  } else {
    return false;
  }
  lookup.kind = address ? LookupKind::Reverse : LookupKind::ReverseZone;
  if (address) lookup.address = *address;
  return true;
}

}  // namespace

void classify(const Query& query, const ZoneNames& zone, Lookup& lookup) {
  lookup.kind = LookupKind::Foreign;
  lookup.in_main_domain = ends_with(query, zone.domain, lookup.zone_label);
  lookup.in_domain =
      lookup.in_main_domain ||
      (!zone.alt_domain.empty() && ends_with(query, zone.alt_domain, lookup.zone_label));
  lookup.name.clear();
  lookup.tag.clear();
  if (!lookup.in_domain) {
    classify_reverse(query, lookup);
    return;
  }
  // Every name of the zone answers these two with the apex's records, as Consul does.
  if (query.type == kTypeSoa || query.type == kTypeNs) {
    lookup.kind = LookupKind::Apex;
    return;
  }
  classify_in_domain(query, lookup.zone_label, zone, lookup);
}

int private_reverse_zone(const Query& query) {
  const int root = query.labels - 2;  // the label "in-addr" or "ip6"
  if (root < 1) return -1;
  if (query.label(root) == "ip6") {
    const auto digit = [&](int from_top) {
      const auto label = root > from_top ? query.label(root - 1 - from_top) : std::string_view{};
      return label.size() == 1 ? hex_digit(label[0]) : -1;
    };
    if (digit(0) != 15) return -1;
    if (digit(1) == 12 || digit(1) == 13) return root - 2;                     // fc00::/7
    return digit(1) == 14 && digit(2) >= 8 && digit(2) <= 11 ? root - 3 : -1;  // fe80::/10
  }
  const int first = octet(query.label(root - 1));
  if (first == 10 || first == 127) return root - 1;
  const int second = root > 1 ? octet(query.label(root - 2)) : -1;
  const bool is_private = (first == 172 && second >= 16 && second <= 31) ||
                          (first == 192 && second == 168) || (first == 169 && second == 254) ||
                          (first == 100 && second >= 64 && second <= 127);
  return is_private ? root - 2 : -1;
}

}  // namespace fyr::dns
