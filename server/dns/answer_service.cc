// Answers about services: which instances, in which order, how many.
#include <algorithm>

#include "base/bytes.h"
#include "server/dns/answer.h"

namespace fyr::dns {
namespace {

constexpr std::size_t kMaxRecords = 4096;  // more do not fit into 64 KiB

std::uint16_t weight_of(const ServiceRecord& record) {
  const int weight =
      record.health == Health::Warning ? record.weight_warning : record.weight_passing;
  return static_cast<std::uint16_t>(std::clamp(weight, 0, 65535));
}

bool has_tag(const ServiceRecord& record, const std::string& tag) {
  return std::any_of(record.tags.begin(), record.tags.end(),
                     [&](const std::string& have) { return equals_ignoring_case(have, tag); });
}

// Whether a host name is the name asked for: answering it with itself would be a loop.
bool is_question(const Query& query, std::string_view wire) {
  return equals_ignoring_case(query.lower_suffix(0), wire);
}

}  // namespace

struct Answerer::ServiceAnswer {
  const Answerer& policy;
  const Query& query;
  const Lookup& lookup;
  const ServiceRecords& service;
  const Context& context;
  MessageWriter out;
  std::uint32_t ttl;

  bool exists = false;       // an instance may be answered with
  bool has_address = false;  // one of them has an IP address
  bool incomplete = false;   // a record was left out that the client must know of
  std::size_t added = 0;

  ServiceAnswer(const Answerer& answerer, const Query& q, const Lookup& l, const ServiceRecords& s,
                const Context& c, std::string& reply)
      : policy(answerer),
        query(q),
        lookup(l),
        service(s),
        context(c),
        out(answerer.writer(q, c, reply)),
        ttl(answerer.ttl_of(l, s)) {}

  bool eligible(const ServiceRecord& record) const {
    if (record.health == Health::Critical) return false;
    if (policy.settings_.only_passing && record.health != Health::Passing) return false;
    return lookup.tag.empty() || has_tag(record, lookup.tag);
  }

  // Most records of an answer of this type. Sampling by udp_answer_limit is not an incomplete
  // answer unless enable_truncate says so.
  struct Limits {
    std::size_t records = kMaxRecords;
    bool tell = false;
  };
  Limits limits(bool addresses) const {
    Limits limits;
    const auto& settings = policy.settings_;
    if (addresses && settings.a_record_limit > 0)
      limits.records = std::min(limits.records, static_cast<std::size_t>(settings.a_record_limit));
    if (context.transport == Transport::Udp &&
        answer_limit(query, context.transport) <= kPlainUdpBytes) {
      const auto most = static_cast<std::size_t>(std::clamp(settings.udp_answer_limit, 1, 8));
      if (most < limits.records) limits = {most, settings.enable_truncate};
    }
    return limits;
  }

  // After an add: true to go on. Takes the record out again if it repeats another one or is one
  // too many.
  bool keep(bool fitted, const Limits& limits) {
    if (!fitted) {
      incomplete = true;
      return false;
    }
    if (!context.scratch->seen.insert(out.message(), out.data_at(), out.data_size())) {
      out.drop_last();
      return true;
    }
    if (added == limits.records) {
      out.drop_last();
      incomplete = true;
      return false;
    }
    ++added;
    return added < limits.records || limits.tell;
  }

  // Calls use(record, index) for eligible instances in random order until it returns false.
  template <class F>
  void for_each_eligible(F&& use) {
    auto& scratch = *context.scratch;
    scratch.seen.reset(std::min(service.records.size(), kMaxRecords));
    if (service.ordered) {
      for (std::uint32_t i = 0; i < service.records.size(); ++i) {
        const auto& record = service.records[i];
        if (!eligible(record)) continue;
        exists = true;
        if (!use(record, i)) return;
      }
      return;
    }
    Draw draw(scratch.draw, service.records.size(), *context.random);
    while (const auto i = draw.next()) {
      const auto& record = service.records[*i];
      if (!eligible(record)) continue;
      exists = true;
      if (!use(record, *i)) return;
    }
  }

  // The address to answer with. A service whose address is the name asked for means its node's.
  bool address_of(const ServiceRecord& record, IpAddress& address) const {
    if (record.has_ip) {
      address = record.ip;
      return true;
    }
    auto& wire = context.scratch->target;
    wire.clear();
    if (record.service_address.empty() || !append_labels(wire, record.service_address))
      return false;
    wire.push_back('\0');
    if (!is_question(query, wire)) return false;
    const auto parsed = IpAddress::parse(record.node_address);
    if (parsed) address = *parsed;
    return parsed.has_value();
  }

  void addresses() {
    const auto most = limits(true);
    const bool v4 = query.type != kTypeAaaa;
    const bool v6 = query.type != kTypeA;
    const ServiceRecord* named = nullptr;
    for_each_eligible([&](const ServiceRecord& record, std::uint32_t) {
      IpAddress address;
      if (!address_of(record, address)) {
        if (named == nullptr) named = &record;
        return true;
      }
      has_address = true;
      if (address.v6 ? !v6 : !v4) return true;
      return keep(out.add_address(out.question(), ttl, address), most);
    });
    if (!has_address && named != nullptr) alias(*named);
  }

  // A name has one CNAME at most (RFC 2181 10.1), and none beside addresses.
  void alias(const ServiceRecord& record) {
    const auto& host =
        record.service_address.empty() ? record.node_address : record.service_address;
    auto& wire = context.scratch->target;
    wire.clear();
    if (!append_labels(wire, host)) return;
    wire.push_back('\0');
    if (is_question(query, wire)) return;
    if (out.add_name(out.question(), kTypeCname, ttl, wire)) {
      ++added;
    } else {
      incomplete = true;
    }
  }

  void alias_only() {
    const ServiceRecord* named = nullptr;
    for_each_eligible([&](const ServiceRecord& record, std::uint32_t) {
      IpAddress address;
      if (address_of(record, address)) {
        has_address = true;
        return false;
      }
      if (named == nullptr) named = &record;
      return true;
    });
    if (!has_address && named != nullptr) alias(*named);
  }

  // The name an SRV record points at, in scratch.target; unique for each address.
  bool target_of(const ServiceRecord& record, bool& is_node) const {
    auto& wire = context.scratch->target;
    is_node = false;
    if (!record.service_address.empty() && !record.has_ip) {
      wire.clear();
      if (append_labels(wire, record.service_address)) {
        wire.push_back('\0');
        if (!is_question(query, wire)) return true;
      }
    } else if (!record.service_address.empty()) {
      policy.address_target(record.ip, wire);
      return true;
    }
    is_node = policy.node_target(record.node, wire);
    if (is_node) return true;
    // A node whose name is no DNS name is still reachable by its address.
    if (!record.has_ip) return false;
    policy.address_target(record.ip, wire);
    return true;
  }

  void services() {
    const auto most = limits(false);
    auto& scratch = *context.scratch;
    scratch.targets.clear();
    for_each_eligible([&](const ServiceRecord& record, std::uint32_t i) {
      bool is_node = false;
      if (!target_of(record, is_node)) return true;
      const auto before = added;
      const bool more = keep(
          out.add_srv(out.question(), ttl, weight_of(record), record.port, scratch.target), most);
      if (added > before) {
        constexpr std::size_t kNumbers = 6;  // priority, weight, port stand before the target
        scratch.targets.push_back({i, static_cast<std::uint16_t>(out.data_at() + kNumbers),
                                   static_cast<std::uint16_t>(out.data_size() - kNumbers),
                                   is_node});
      }
      return more;
    });
    glue();
  }

  MessageWriter::Name target_name(const Scratch::Target& target) const {
    return {out.bytes(target.at, target.size), target.at};
  }

  // Addresses of the targets, then the nodes' metadata: record by record of the answer, as far as
  // there is room. What does not fit is no loss the client must be told of (RFC 2181 9).
  void glue() {
    auto& scratch = *context.scratch;
    out.section(Section::Additional);
    scratch.seen.reset(scratch.targets.size());
    auto end = std::remove_if(scratch.targets.begin(), scratch.targets.end(),
                              [&](const Scratch::Target& target) {
                                return !scratch.seen.insert(out.message(), target.at, target.size);
                              });
    scratch.targets.erase(end, scratch.targets.end());
    for (const auto& target : scratch.targets) {
      const auto& record = service.records[target.record];
      auto address = record.has_ip ? std::optional(record.ip) : std::nullopt;
      if (!address && target.is_node) address = IpAddress::parse(record.node_address);
      if (address && !out.add_address(target_name(target), ttl, *address)) return;
    }
    if (!policy.settings_.node_meta_txt) return;
    for (const auto& target : scratch.targets) {
      if (!target.is_node) continue;
      const auto& meta = service.records[target.record].node_meta;
      if (!policy.add_meta(out, target_name(target), ttl, meta, context)) return;
    }
  }
};

void Answerer::answer_service(const Query& query, const Lookup& lookup,
                              const ServiceRecords& service, const Context& context,
                              std::string& reply) const {
  ServiceAnswer answer(*this, query, lookup, service, context, reply);
  switch (query.type) {
    case kTypeA:
    case kTypeAaaa:
    case kTypeAny:
      answer.addresses();
      break;
    case kTypeSrv:
      answer.services();
      break;
    case kTypeCname:
      answer.alias_only();
      break;
    default:
      answer.for_each_eligible([](const ServiceRecord&, std::uint32_t) { return false; });
  }
  if (answer.added == 0 && !answer.incomplete)
    return deny(query, lookup, answer.exists ? Rcode::NoError : Rcode::NxDomain, context, reply);
  answer.out.finish(Rcode::NoError, true, answer.incomplete);
}

}  // namespace fyr::dns
