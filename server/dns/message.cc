#include "server/dns/message.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"

namespace fyr::dns {
namespace {

constexpr std::size_t kOptBytes = 11;
constexpr std::size_t kExtendedErrorBytes = 6;

char lower_case(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Reads forward through a packet; every getter fails once the end was passed.
class Reader {
 public:
  explicit Reader(std::string_view packet) : packet_(packet) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return packet_.size() - at_; }

  std::uint8_t u8() {
    if (!need(1)) return 0;
    return static_cast<std::uint8_t>(packet_[at_++]);
  }
  std::uint16_t u16() {
    const auto high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  const char* take(std::size_t size) {
    if (!need(size)) return nullptr;
    const char* from = packet_.data() + at_;
    at_ += size;
    return from;
  }
  // A name we do not care about; a pointer ends it. Returns whether it was the root.
  bool skip_name() {
    bool root = true;
    while (ok_) {
      const auto length = u8();
      if (length == 0) return root && ok_;
      root = false;
      if ((length & 0xc0) == 0xc0) {
        u8();
        return false;
      }
      if (length > kMaxLabelBytes) ok_ = false;
      take(length);
    }
    return false;
  }

 private:
  bool need(std::size_t size) {
    if (left() < size) ok_ = false;
    return ok_;
  }
  std::string_view packet_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

// The question's name. A pointer cannot be right here: nothing stands before it.
bool read_question_name(Reader& reader, Query& query) {
  std::size_t size = 0;
  int labels = 0;
  for (;;) {
    const auto length = reader.u8();
    if (!reader.ok() || length > kMaxLabelBytes || size + length + 1 > kMaxNameBytes) return false;
    query.name[size] = query.lower[size] = static_cast<char>(length);
    if (length == 0) break;
    const char* text = reader.take(length);
    if (text == nullptr) return false;
    query.label_at[static_cast<std::size_t>(labels++)] = static_cast<std::uint8_t>(size);
    std::memcpy(&query.name[size + 1], text, length);
    std::transform(text, text + length, &query.lower[size + 1], lower_case);
    size += length + std::size_t{1};
  }
  query.name_size = size + 1;
  query.labels = labels;
  return true;
}

// Answer, authority and additional of a query: only OPT matters, at most one (RFC 6891 6.1.1).
Rcode read_records(Reader& reader, int before_additional, int additional, Query& query) {
  bool bad_version = false;
  for (int i = 0; i < before_additional + additional; ++i) {
    const bool root = reader.skip_name();
    const auto type = reader.u16();
    const auto dns_class = reader.u16();
    reader.u8();  // extended rcode, or the first byte of a TTL
    const auto version = reader.u8();
    const auto flags = reader.u16();
    const auto size = reader.u16();
    reader.take(size);
    if (!reader.ok()) return Rcode::FormErr;
    if (type != kTypeOpt) continue;
    if (!root || query.edns || i < before_additional) return Rcode::FormErr;
    query.edns = true;
    query.edns_size = dns_class;
    query.dnssec_ok = (flags & 0x8000) != 0;
    bad_version = version != 0;
  }
  return bad_version ? Rcode::BadVers : Rcode::NoError;
}

}  // namespace

std::string_view Query::label(int i) const {
  const std::size_t at = label_at[static_cast<std::size_t>(i)];
  return {lower.data() + at + 1, static_cast<std::uint8_t>(lower[at])};
}

std::string_view Query::lower_suffix(int first_label) const {
  const std::size_t at =
      first_label < labels ? label_at[static_cast<std::size_t>(first_label)] : name_size - 1;
  return {lower.data() + at, name_size - at};
}

Verdict parse_query(std::string_view packet, Query& query) {
  query.has_question = query.edns = query.dnssec_ok = false;
  query.edns_size = 0;
  query.name_size = 0;
  query.labels = 0;
  if (packet.size() < kHeaderBytes) return {Verdict::Ignore, Rcode::NoError};
  Reader reader(packet);
  query.id = reader.u16();
  const auto flags = reader.u16();
  if ((flags & 0x8000) != 0) return {Verdict::Ignore, Rcode::NoError};  // a response
  query.opcode = static_cast<std::uint8_t>(flags >> 11 & 15);
  query.recursion_desired = (flags & 0x0100) != 0;
  query.checking_disabled = (flags & 0x0010) != 0;
  const int questions = reader.u16();
  const int before_additional = reader.u16() + reader.u16();
  const int additional = reader.u16();
  if (query.opcode != 0) return {Verdict::Reject, Rcode::NotImp};
  if (questions != 1) return {Verdict::Reject, Rcode::FormErr};
  // A bare header that promises a question: Consul refuses it, so do we.
  if (reader.left() == 0) return {Verdict::Reject, Rcode::Refused};
  if (!read_question_name(reader, query)) return {Verdict::Reject, Rcode::FormErr};
  query.type = reader.u16();
  query.class_ = reader.u16();
  if (!reader.ok()) return {Verdict::Reject, Rcode::FormErr};
  query.has_question = true;
  const auto rcode = read_records(reader, before_additional, additional, query);
  if (rcode != Rcode::NoError) return {Verdict::Reject, rcode};
  return {};
}

bool append_labels(std::string& wire, std::string_view text) {
  const auto start = wire.size();
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  while (true) {
    const auto dot = text.find('.');
    const auto label = text.substr(0, dot);
    if (label.empty() || label.size() > kMaxLabelBytes ||
        wire.size() - start + label.size() + 2 > kMaxNameBytes) {
      wire.resize(start);
      return false;
    }
    wire.push_back(static_cast<char>(label.size()));
    wire.append(label);
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

std::optional<std::string> to_wire(std::string_view text) {
  std::string wire;
  if (!append_labels(wire, text)) return std::nullopt;
  wire.push_back('\0');
  return wire;
}

MessageWriter::MessageWriter(std::string& out, const Query& query, std::size_t limit, bool compress)
    : out_(out), query_(query), limit_(limit - (query.edns ? kOptBytes : 0)), compress_(compress) {
  out_.assign(kHeaderBytes, '\0');
  if (query_.has_question) {
    out_.append(query_.wire());
    append_be16(out_, query_.type);
    append_be16(out_, query_.class_);
  }
}

MessageWriter::Name MessageWriter::question_suffix(int first_label) const {
  const auto skipped = query_.name_size - query_.lower_suffix(first_label).size();
  return {query_.wire().substr(skipped), kHeaderBytes + skipped};
}

void MessageWriter::append_name(const Name& name) {
  if (compress_ && name.at != 0 && name.at < 0x4000) {
    append_be16(out_, static_cast<std::uint16_t>(0xc000 | name.at));
  } else if (name.at != 0) {
    out_.append(out_, name.at, name.wire.size());  // `wire` may point into this string
  } else {
    out_.append(name.wire);
  }
}

void MessageWriter::start_record(const Name& owner, std::uint16_t type, std::uint32_t ttl) {
  record_at_ = out_.size();
  append_name(owner);
  append_be16(out_, type);
  append_be16(out_, kClassIn);
  append_be32(out_, ttl);
  append_be16(out_, 0);
  data_at_ = out_.size();
}

bool MessageWriter::end_record() {
  if (out_.size() > limit_) {
    out_.resize(record_at_);
    return false;
  }
  const auto size = out_.size() - data_at_;
  out_[data_at_ - 2] = static_cast<char>(size >> 8);
  out_[data_at_ - 1] = static_cast<char>(size);
  ++counts_[static_cast<std::size_t>(section_)];
  return true;
}

void MessageWriter::drop_last() {
  CHECK(counts_[static_cast<std::size_t>(section_)] > 0 && record_at_ < out_.size());
  out_.resize(record_at_);
  --counts_[static_cast<std::size_t>(section_)];
}

bool MessageWriter::add_address(const Name& owner, std::uint32_t ttl, const IpAddress& address) {
  start_record(owner, address.v6 ? kTypeAaaa : kTypeA, ttl);
  out_.append(reinterpret_cast<const char*>(address.bytes.data()), address.v6 ? 16 : 4);
  return end_record();
}

bool MessageWriter::add_name(const Name& owner, RecordType type, std::uint32_t ttl,
                             std::string_view target) {
  start_record(owner, type, ttl);
  out_.append(target);
  return end_record();
}

bool MessageWriter::add_srv(const Name& owner, std::uint32_t ttl, std::uint16_t weight,
                            std::uint16_t port, std::string_view target) {
  start_record(owner, kTypeSrv, ttl);
  append_be16(out_, 1);  // priority
  append_be16(out_, weight);
  append_be16(out_, port);
  out_.append(target);
  return end_record();
}

bool MessageWriter::add_txt(const Name& owner, std::uint32_t ttl, std::string_view text) {
  // Longer texts go as several strings of 255; data is at most 65,535 bytes.
  if (text.size() > 60000) return false;
  start_record(owner, kTypeTxt, ttl);
  do {
    const auto part = text.substr(0, 255);
    out_.push_back(static_cast<char>(part.size()));
    out_.append(part);
    text.remove_prefix(part.size());
  } while (!text.empty());
  return end_record();
}

bool MessageWriter::add_soa(const Name& owner, std::uint32_t ttl, std::string_view domain,
                            const SoaFields& fields) {
  start_record(owner, kTypeSoa, ttl);
  out_.append("\2ns");
  const Name written{domain, out_.size()};
  out_.append(domain);
  out_.append("\12hostmaster");
  append_name(written);
  for (const auto value :
       {fields.serial, fields.refresh, fields.retry, fields.expire, fields.minimum})
    append_be32(out_, value);
  return end_record();
}

void MessageWriter::append_opt(Rcode rcode, ExtendedError error) {
  const bool explain = error != ExtendedError::None && out_.size() + kExtendedErrorBytes <= limit_;
  out_.push_back('\0');
  append_be16(out_, kTypeOpt);
  append_be16(out_, kEdnsUdpBytes);
  out_.push_back(static_cast<char>(static_cast<std::uint8_t>(rcode) >> 4));
  out_.push_back('\0');  // version
  append_be16(out_, query_.dnssec_ok ? 0x8000 : 0);
  append_be16(out_, explain ? kExtendedErrorBytes : 0);
  if (!explain) return;
  append_be16(out_, 15);  // option code of RFC 8914
  append_be16(out_, 2);
  append_be16(out_, static_cast<std::uint16_t>(error));
}

void MessageWriter::finish(Rcode rcode, bool authoritative, bool truncated, ExtendedError error) {
  if (query_.edns) {
    append_opt(rcode, error);
    ++counts_[static_cast<std::size_t>(Section::Additional)];
  }
  unsigned flags = 0x8000u | static_cast<unsigned>(query_.opcode) << 11;
  if (authoritative) flags |= 0x0400;
  if (truncated) flags |= 0x0200;
  if (query_.recursion_desired) flags |= 0x0100;
  if (query_.checking_disabled) flags |= 0x0010;
  flags |= static_cast<unsigned>(rcode) & 15;
  const std::array<std::uint16_t, 6> header{query_.id,
                                            static_cast<std::uint16_t>(flags),
                                            static_cast<std::uint16_t>(query_.has_question ? 1 : 0),
                                            counts_[0],
                                            counts_[1],
                                            counts_[2]};
  for (std::size_t i = 0; i < header.size(); ++i) {
    out_[2 * i] = static_cast<char>(header[i] >> 8);
    out_[2 * i + 1] = static_cast<char>(header[i]);
  }
}

}  // namespace fyr::dns
