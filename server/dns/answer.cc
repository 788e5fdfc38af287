#include "server/dns/answer.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/bytes.h"

namespace fyr::dns {
namespace {

using Name = MessageWriter::Name;

std::uint32_t ttl_seconds(std::chrono::seconds ttl) {
  // RFC 2181 8: 31 bits.
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(ttl.count(), 0, std::numeric_limits<std::int32_t>::max()));
}

bool asks_for(std::uint16_t asked, std::uint16_t type) {
  return asked == type || asked == kTypeAny;
}

}  // namespace

std::size_t answer_limit(const Query& query, Transport transport) {
  if (transport == Transport::Tcp) return kTcpBytes;
  if (!query.edns) return kPlainUdpBytes;
  return std::clamp<std::size_t>(query.edns_size, kPlainUdpBytes, kEdnsUdpBytes);
}

void meta_text(std::string_view key, std::string_view value, std::string& out) {
  out.clear();
  constexpr std::string_view kValueOnly = "rfc1035-";
  if (key.size() >= kValueOnly.size() &&
      equals_ignoring_case(key.substr(0, kValueOnly.size()), kValueOnly)) {
    out.append(value);
    return;
  }
  const auto first = std::min(key.find_first_not_of(" \t"), key.size());
  const auto last = key.find_last_not_of(" \t");
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool outer_blank = (key[i] == ' ' || key[i] == '\t') && (i < first || i > last);
    if (outer_blank || key[i] == '=' || key[i] == '`') out.push_back('`');
    out.push_back(key[i]);
  }
  out.push_back('=');
  out.append(value);
}

Result<Answerer> Answerer::create(Settings settings) {
  Answerer self(std::move(settings));
  auto& s = self.settings_;
  const auto domain = to_wire(to_lower(s.domain));
  if (!domain)
    return fail(ErrorCode::InvalidArgument, "domain: \"" + s.domain + "\" is not a DNS name");
  self.zone_.domain = *domain;
  if (!s.alt_domain.empty()) {
    const auto alt = to_wire(to_lower(s.alt_domain));
    if (!alt)
      return fail(ErrorCode::InvalidArgument,
                  "alt_domain: \"" + s.alt_domain + "\" is not a DNS name");
    self.zone_.alt_domain = *alt;
  }
  self.zone_.datacenter = to_lower(s.datacenter);
  for (auto [word, suffix] : {std::pair{"node", &self.node_suffix_},
                              {"addr", &self.address_suffix_},
                              {"service", &self.service_suffix_}}) {
    auto wire = to_wire(std::string(word) + "." + s.datacenter + "." + s.domain);
    if (!wire)
      return fail(ErrorCode::InvalidArgument,
                  "datacenter: \"" + s.datacenter + "\" does not fit into a DNS name");
    *suffix = std::move(*wire);
  }
  self.node_ttl_ = ttl_seconds(s.node_ttl);
  for (const auto& [pattern, ttl] : s.service_ttl) {
    const bool prefix = !pattern.empty() && pattern.back() == '*';
    const auto name = to_lower(prefix ? pattern.substr(0, pattern.size() - 1) : pattern);
    (prefix ? self.ttl_prefix_ : self.ttl_exact_).emplace_back(name, ttl_seconds(ttl));
  }
  std::sort(self.ttl_exact_.begin(), self.ttl_exact_.end());
  std::stable_sort(self.ttl_prefix_.begin(), self.ttl_prefix_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return self;
}

std::uint32_t Answerer::service_ttl(const std::string& name) const {
  const auto exact =
      std::lower_bound(ttl_exact_.begin(), ttl_exact_.end(), name,
                       [](const auto& entry, const std::string& key) { return entry.first < key; });
  if (exact != ttl_exact_.end() && exact->first == name) return exact->second;
  for (const auto& [prefix, ttl] : ttl_prefix_)
    if (name.starts_with(prefix)) return ttl;
  return 0;
}

std::uint32_t Answerer::ttl_of(const Lookup& lookup, const ServiceRecords& service) const {
  if (service.ttl) return ttl_seconds(*service.ttl);
  return service_ttl(lookup.kind == LookupKind::Query ? service.service : lookup.name);
}

bool Answerer::node_target(std::string_view node, std::string& wire) const {
  wire.clear();
  if (!append_labels(wire, node) || wire.size() + node_suffix_.size() > kMaxNameBytes) return false;
  wire.append(node_suffix_);
  return true;
}

std::string_view Answerer::address_target(const IpAddress& address, std::string& wire) const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  wire.clear();
  const std::size_t size = address.v6 ? 16 : 4;
  wire.push_back(static_cast<char>(2 * size));
  for (std::size_t i = 0; i < size; ++i) {
    wire.push_back(kDigits[address.bytes[i] >> 4]);
    wire.push_back(kDigits[address.bytes[i] & 15]);
  }
  wire.append(address_suffix_);
  return wire;
}

MessageWriter Answerer::writer(const Query& query, const Context& context,
                               std::string& reply) const {
  return {reply, query, answer_limit(query, context.transport), !settings_.disable_compression};
}

// The domain as an SOA owner: in the question where it stands there, also under the alternative
// domain the main one, as Consul answers.
Name Answerer::zone(const Lookup& lookup, const MessageWriter& writer) const {
  if (lookup.in_main_domain) return writer.question_suffix(lookup.zone_label);
  return {zone_.domain, 0};
}

void Answerer::add_soa(MessageWriter& out, const Name& owner, const Context& context) const {
  const auto& soa = settings_.soa;
  out.add_soa(owner, soa.min_ttl, zone_.domain,
              {context.serial, soa.refresh, soa.retry, soa.expire, soa.min_ttl});
}

void Answerer::deny(const Query& query, const Lookup& lookup, Rcode rcode, const Context& context,
                    std::string& reply) const {
  auto out = writer(query, context, reply);
  out.section(Section::Authority);
  add_soa(out, zone(lookup, out), context);
  out.finish(rcode, true, false);
}

void Answerer::answer_error(const Query& query, Rcode rcode, std::string& reply,
                            ExtendedError error) {
  MessageWriter out(reply, query, kPlainUdpBytes, true);
  out.finish(rcode, false, false, error);
}

Need Answerer::plan(const Query& query, const Context& context, Lookup& lookup,
                    std::string& reply) const {
  // Zone transfers are not for clients, and CH and ANY classes hold no data of ours.
  if (query.type == kTypeAxfr || query.type == kTypeIxfr || query.class_ != kClassIn) {
    answer_error(query, Rcode::Refused, reply);
    return Need::Nothing;
  }
  classify(query, zone_, lookup);
  switch (lookup.kind) {
    case LookupKind::Foreign:
      answer_error(query, Rcode::Refused, reply, ExtendedError::NotAuthoritative);
      return Need::Nothing;
    case LookupKind::Unknown:
      deny(query, lookup, Rcode::NxDomain, context, reply);
      return Need::Nothing;
    case LookupKind::Address:
      answer_hex(query, lookup, context, reply);
      return Need::Nothing;
    case LookupKind::ReverseZone:
      // Names may exist below, so the name itself must not be denied (RFC 8020).
      deny_reverse(query, Rcode::NoError, context, reply);
      return Need::Nothing;
    case LookupKind::Apex:
      return Need::Servers;
    case LookupKind::Service:
      return Need::Service;
    case LookupKind::Query:
      return Need::Query;
    case LookupKind::Node:
      return Need::Node;
    case LookupKind::Reverse:
      return Need::Address;
  }
  return Need::Nothing;
}

void Answerer::answer_hex(const Query& query, const Lookup& lookup, const Context& context,
                          std::string& reply) const {
  if (!asks_for(query.type, lookup.address.v6 ? kTypeAaaa : kTypeA))
    return deny(query, lookup, Rcode::NoError, context, reply);
  auto out = writer(query, context, reply);
  out.add_address(out.question(), node_ttl_, lookup.address);
  out.finish(Rcode::NoError, true, false);
}

bool Answerer::add_meta(MessageWriter& out, const Name& owner, std::uint32_t ttl,
                        const std::vector<std::pair<std::string, std::string>>& meta,
                        const Context& context) const {
  bool complete = true;
  for (const auto& [key, value] : meta) {
    meta_text(key, value, context.scratch->text);
    complete &= out.add_txt(owner, ttl, context.scratch->text);
  }
  return complete;
}

void Answerer::answer_node(const Query& query, const Lookup& lookup,
                           std::span<const NodeRecord> nodes, const Context& context,
                           std::string& reply) const {
  if (nodes.empty()) return deny(query, lookup, Rcode::NxDomain, context, reply);
  auto out = writer(query, context, reply);
  bool complete = true;
  bool has_address = false;
  std::optional<std::string> alias;
  for (const auto& node : nodes) {
    if (const auto address = IpAddress::parse(node.address)) {
      has_address = true;
      if (asks_for(query.type, address->v6 ? kTypeAaaa : kTypeA))
        complete &= out.add_address(out.question(), node_ttl_, *address);
    } else if (!alias) {
      alias = to_wire(node.address);
    }
  }
  const bool wants_address =
      query.type == kTypeA || query.type == kTypeAaaa || query.type == kTypeAny;
  if (!has_address && alias && (wants_address || query.type == kTypeCname))
    complete &= out.add_name(out.question(), kTypeCname, node_ttl_, *alias);
  if (asks_for(query.type, kTypeTxt)) {
    for (const auto& node : nodes)
      complete &= add_meta(out, out.question(), node_ttl_, node.meta, context);
  } else if (wants_address && settings_.node_meta_txt) {
    out.section(Section::Additional);
    for (const auto& node : nodes) add_meta(out, out.question(), node_ttl_, node.meta, context);
  }
  out.finish(Rcode::NoError, true, !complete);
}

void Answerer::deny_reverse(const Query& query, Rcode rcode, const Context& context,
                            std::string& reply) const {
  // Addresses that mean something only on this network are ours to deny; others are not.
  const int zone_label = private_reverse_zone(query);
  if (zone_label < 0)
    return answer_error(query, Rcode::Refused, reply, ExtendedError::NotAuthoritative);
  auto out = writer(query, context, reply);
  out.section(Section::Authority);
  add_soa(out, out.question_suffix(zone_label), context);
  out.finish(rcode, true, false);
}

void Answerer::answer_reverse(const Query& query, const Lookup&, std::span<const NodeRecord> owners,
                              const Context& context, std::string& reply) const {
  auto out = writer(query, context, reply);
  bool any = false;
  bool complete = true;
  auto& target = context.scratch->target;
  // Several nodes on one address: the lowest name, so that the answer is stable.
  const NodeRecord* lowest = nullptr;
  for (const auto& owner : owners)
    if (lowest == nullptr || owner.name < lowest->name) lowest = &owner;
  if (lowest != nullptr) {
    bool named = false;
    if (lowest->is_service) {
      target.clear();
      named = append_labels(target, lowest->name) &&
              target.size() + service_suffix_.size() <= kMaxNameBytes;
      if (named) target.append(service_suffix_);
    } else {
      named = node_target(lowest->name, target);
    }
    any = named;
    // TTL 0, as Consul gives it.
    if (named) complete = out.add_name(out.question(), kTypePtr, 0, target);
  }
  if (!any) return deny_reverse(query, Rcode::NxDomain, context, reply);
  out.finish(Rcode::NoError, true, !complete);
}

void Answerer::answer_apex(const Query& query, const Lookup& lookup,
                           std::span<const NodeRecord> servers, const Context& context,
                           std::string& reply) const {
  constexpr int kMaxServers = 3;
  auto out = writer(query, context, reply);
  auto& scratch = *context.scratch;
  const auto owner = zone(lookup, out);
  if (query.type == kTypeSoa) {
    add_soa(out, zone(lookup, out), context);
    out.section(Section::Authority);
  }
  scratch.targets.clear();
  {
    Draw draw(scratch.draw, servers.size(), *context.random);
    while (static_cast<int>(scratch.targets.size()) < kMaxServers) {
      const auto i = draw.next();
      if (!i) break;
      if (!node_target(servers[*i].name, scratch.target)) continue;
      if (!out.add_name(owner, kTypeNs, node_ttl_, scratch.target)) break;
      scratch.targets.push_back({*i, static_cast<std::uint16_t>(out.data_at()),
                                 static_cast<std::uint16_t>(out.data_size()), true});
    }
  }
  out.section(Section::Additional);
  for (const auto& target : scratch.targets) {
    const auto address = IpAddress::parse(servers[target.record].address);
    if (address)
      out.add_address({out.bytes(target.at, target.size), target.at}, node_ttl_, *address);
  }
  out.finish(Rcode::NoError, true, false);
}

}  // namespace fyr::dns
