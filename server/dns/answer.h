// The answer policy: which records a question gets, from what a NameSource knows. No I/O, no
// clock, no randomness of its own.
//
// The caller parses a packet, asks plan() what is needed, gets it from the NameSource, and hands
// it to the matching answer function. A question that needs nothing is answered by plan() itself.
//
// Where Consul's recorded behaviour and ours differ is said in tests/conformance/differences.md.
//
// Threading: immutable after create(); every method from any thread with a Context of its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "server/dns/message.h"
#include "server/dns/name_source.h"
#include "server/dns/question.h"
#include "server/dns/scratch.h"
#include "server/dns/settings.h"

namespace fyr::dns {

enum class Transport : std::uint8_t { Udp, Tcp };

// What must be fetched before the question can be answered.
enum class Need : std::uint8_t {
  Nothing,  // already answered
  Service,  // lookup.name -> answer_service
  Query,    // lookup.name -> answer_service
  Node,     // lookup.name -> answer_node
  Address,  // lookup.address -> answer_reverse
  Servers   // -> answer_apex
};

struct Context {
  Transport transport = Transport::Udp;
  std::uint32_t serial = 0;  // of the SOA record: seconds since 1970
  Random* random = nullptr;
  Scratch* scratch = nullptr;
};

class Answerer {
 public:
  // Refuses a domain that is no DNS name, naming the setting.
  static Result<Answerer> create(Settings settings);

  // `reply` is overwritten when the result is Nothing.
  Need plan(const Query& query, const Context& context, Lookup& lookup, std::string& reply) const;

  void answer_service(const Query& query, const Lookup& lookup, const ServiceRecords& service,
                      const Context& context, std::string& reply) const;
  void answer_node(const Query& query, const Lookup& lookup, std::span<const NodeRecord> nodes,
                   const Context& context, std::string& reply) const;
  void answer_reverse(const Query& query, const Lookup& lookup, std::span<const NodeRecord> owners,
                      const Context& context, std::string& reply) const;
  void answer_apex(const Query& query, const Lookup& lookup, std::span<const NodeRecord> servers,
                   const Context& context, std::string& reply) const;

  // An answer without records: refusals, failures, malformed questions.
  static void answer_error(const Query& query, Rcode rcode, std::string& reply,
                           ExtendedError error = ExtendedError::None);

 private:
  explicit Answerer(Settings settings) : settings_(std::move(settings)) {}
  struct ServiceAnswer;  // answer_service.cc: one answer being built

  MessageWriter writer(const Query& query, const Context& context, std::string& reply) const;
  MessageWriter::Name zone(const Lookup& lookup, const MessageWriter& writer) const;
  void add_soa(MessageWriter& out, const MessageWriter::Name& owner, const Context& context) const;
  // NXDOMAIN or NODATA, with the SOA record that says so.
  void deny(const Query& query, const Lookup& lookup, Rcode rcode, const Context& context,
            std::string& reply) const;
  void answer_hex(const Query& query, const Lookup& lookup, const Context& context,
                  std::string& reply) const;
  void deny_reverse(const Query& query, Rcode rcode, const Context& context,
                    std::string& reply) const;
  bool add_meta(MessageWriter& out, const MessageWriter::Name& owner, std::uint32_t ttl,
                const std::vector<std::pair<std::string, std::string>>& meta,
                const Context& context) const;
  std::uint32_t ttl_of(const Lookup& lookup, const ServiceRecords& service) const;
  std::uint32_t service_ttl(const std::string& name) const;
  bool node_target(std::string_view node, std::string& wire) const;
  std::string_view address_target(const IpAddress& address, std::string& wire) const;

  Settings settings_;
  ZoneNames zone_;
  std::string node_suffix_;     // node.<dc>.<domain>, wire form
  std::string address_suffix_;  // addr.<dc>.<domain>
  std::string service_suffix_;  // service.<dc>.<domain>
  std::uint32_t node_ttl_ = 0;
  std::vector<std::pair<std::string, std::uint32_t>> ttl_exact_;   // sorted
  std::vector<std::pair<std::string, std::uint32_t>> ttl_prefix_;  // longest first
};

// Bytes an answer may have.
std::size_t answer_limit(const Query& query, Transport transport);

// Key and value as one TXT string (RFC 1464); keys "rfc1035-..." stand for the value alone.
void meta_text(std::string_view key, std::string_view value, std::string& out);

}  // namespace fyr::dns
