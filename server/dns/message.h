// DNS wire format: reading queries and building answers (RFC 1035, 3596, 2782, 6891, 8914).
//
// Answers are built by hand into a string the caller keeps, so that a query costs no allocation.
// Names travel as "wire" strings: length-prefixed labels ending with the root's zero byte. Every
// compression pointer points backwards; SRV targets are never compressed (RFC 2782).
//
// Threading: values and plain functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/net_address.h"

namespace fyr::dns {

enum class Rcode : std::uint8_t {
  NoError = 0,
  FormErr = 1,
  ServFail = 2,
  NxDomain = 3,
  NotImp = 4,
  Refused = 5,
  BadVers = 16,  // needs an OPT record for its upper bits
};

using RecordType = std::uint16_t;
constexpr RecordType kTypeA = 1;
constexpr RecordType kTypeNs = 2;
constexpr RecordType kTypeCname = 5;
constexpr RecordType kTypeSoa = 6;
constexpr RecordType kTypePtr = 12;
constexpr RecordType kTypeTxt = 16;
constexpr RecordType kTypeAaaa = 28;
constexpr RecordType kTypeSrv = 33;
constexpr RecordType kTypeOpt = 41;
constexpr RecordType kTypeIxfr = 251;
constexpr RecordType kTypeAxfr = 252;
constexpr RecordType kTypeAny = 255;
constexpr std::uint16_t kClassIn = 1;

// Extended DNS errors (RFC 8914), sent to clients that speak EDNS.
enum class ExtendedError : std::uint16_t {
  None = 0xffff,
  NotAuthoritative = 20,
  NoReachableAuthority = 22
};

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::size_t kMaxLabelBytes = 63;
constexpr std::size_t kPlainUdpBytes = 512;
constexpr std::size_t kEdnsUdpBytes = 1232;  // what fits every path without fragments
constexpr std::size_t kTcpBytes = 65535;

// One question and what its header and OPT record said.
struct Query {
  std::uint16_t id = 0;
  std::uint8_t opcode = 0;
  bool recursion_desired = false;
  bool checking_disabled = false;
  bool has_question = false;  // false: an error answer cannot repeat the question
  std::uint16_t type = 0;
  std::uint16_t class_ = 0;
  bool edns = false;
  bool dnssec_ok = false;
  std::uint16_t edns_size = 0;

  // The name as sent and in small letters; label i starts at label_at[i] of both.
  std::array<char, kMaxNameBytes> name{};
  std::array<char, kMaxNameBytes> lower{};
  std::size_t name_size = 0;  // with the root's zero byte
  int labels = 0;             // without the root
  std::array<std::uint8_t, 128> label_at{};

  std::string_view wire() const { return {name.data(), name_size}; }
  std::string_view label(int i) const;                   // small letters, without its length
  std::string_view lower_suffix(int first_label) const;  // wire form, small letters
};

// What to do with a packet: go on, answer with an error, or stay silent (responses are never
// answered, nor is what has no whole header).
struct Verdict {
  enum Kind { Proceed, Reject, Ignore } kind = Proceed;
  Rcode rcode = Rcode::NoError;
};
Verdict parse_query(std::string_view packet, Query& query);

// "a.b.c" (a final dot is allowed) appended as labels, without the root byte. False, and nothing
// appended, if a label is empty or longer than 63 bytes or the whole is too long for a name.
bool append_labels(std::string& wire, std::string_view text);
// The same with the root byte; the whole is at most 255 bytes.
std::optional<std::string> to_wire(std::string_view text);

enum class Section : std::uint8_t { Answer = 0, Authority = 1, Additional = 2 };

struct SoaFields {
  std::uint32_t serial = 0;
  std::uint32_t refresh = 0;
  std::uint32_t retry = 0;
  std::uint32_t expire = 0;
  std::uint32_t minimum = 0;
};

// Builds one answer. Records are added whole or not at all: an add that would pass the size limit
// leaves the message as it was and returns false. Sections come in order. Space for the OPT record
// is kept free.
class MessageWriter {
 public:
  // A name and, if it already stands in the message, where.
  struct Name {
    std::string_view wire;
    std::size_t at = 0;  // 0: nowhere
  };

  // `out` is overwritten. `limit`: most bytes of the whole message.
  MessageWriter(std::string& out, const Query& query, std::size_t limit, bool compress);

  Name question() const { return {query_.wire(), kHeaderBytes}; }
  Name question_suffix(int first_label) const;

  void section(Section section) { section_ = section; }
  bool add_address(const Name& owner, std::uint32_t ttl, const IpAddress& address);
  // NS, CNAME, PTR: a name as the only data.
  bool add_name(const Name& owner, RecordType type, std::uint32_t ttl, std::string_view target);
  bool add_srv(const Name& owner, std::uint32_t ttl, std::uint16_t weight, std::uint16_t port,
               std::string_view target);
  bool add_txt(const Name& owner, std::uint32_t ttl, std::string_view text);
  // Data: ns.<domain> hostmaster.<domain> and the numbers; `domain` in wire form.
  bool add_soa(const Name& owner, std::uint32_t ttl, std::string_view domain,
               const SoaFields& fields);

  const std::string& message() const { return out_; }
  // The data of the record added last.
  std::size_t data_at() const { return data_at_; }
  std::size_t data_size() const { return out_.size() - data_at_; }
  std::string_view bytes(std::size_t at, std::size_t size) const {
    return std::string_view(out_).substr(at, size);
  }
  // Takes the record added last out again.
  void drop_last();

  // Writes the OPT record, flags and counters.
  void finish(Rcode rcode, bool authoritative, bool truncated,
              ExtendedError error = ExtendedError::None);

 private:
  void append_name(const Name& name);
  void start_record(const Name& owner, std::uint16_t type, std::uint32_t ttl);
  bool end_record();
  void append_opt(Rcode rcode, ExtendedError error);

  std::string& out_;
  const Query& query_;
  const std::size_t limit_;
  const bool compress_;
  Section section_ = Section::Answer;
  std::array<std::uint16_t, 3> counts_{};
  std::size_t record_at_ = 0;
  std::size_t data_at_ = 0;
};

}  // namespace fyr::dns
