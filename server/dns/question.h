// What a question asks for: names of the zone (`[tag.]name.service[.dc].domain`,
// `_name._tag[.service][.dc].domain`, `name.node[.dc].domain`, `hex.addr[.dc].domain`) and reverse
// names (RFC 1035 3.5, RFC 3596 2.5), in any mixture of letters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/net_address.h"
#include "server/dns/message.h"

namespace fyr::dns {

enum class LookupKind : std::uint8_t {
  Foreign,     // not a name of ours
  Unknown,     // inside the domain, but no such form of name or datacenter
  Apex,        // the domain itself, or a name under it without its own zone data
  Service,     // name, tag
  Query,       // name or id of a prepared query: name
  Node,        // name
  Address,     // the address written in the name
  Reverse,     // a whole reverse name: address
  ReverseZone  // a part of the reverse tree without data of its own
};

// Reused from query to query; strings keep their space.
struct Lookup {
  LookupKind kind = LookupKind::Foreign;
  bool in_domain = false;
  bool in_main_domain = false;
  int zone_label = 0;  // first label of the domain in the question
  std::string name;    // small letters
  std::string tag;     // empty: any
  IpAddress address{};
};

// Names in wire form, small letters.
struct ZoneNames {
  std::string domain;
  std::string alt_domain;  // empty: none
  std::string datacenter;  // plain text, small letters
};

void classify(const Query& query, const ZoneNames& zone, Lookup& lookup);

// First label of the locally served reverse zone the name lies in (RFC 6303, RFC 7793: private,
// loopback, link-local and shared address space), or -1.
int private_reverse_zone(const Query& query);

}  // namespace fyr::dns
