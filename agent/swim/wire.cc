#include "agent/swim/wire.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/bytes.h"

namespace fyr::agent {

std::string_view to_string(MemberState state) {
  switch (state) {
    case MemberState::Alive:
      return "alive";
    case MemberState::Suspect:
      return "suspect";
    case MemberState::Failed:
      return "failed";
    case MemberState::Leaving:
      return "leaving";
    case MemberState::Left:
      return "left";
  }
  return "none";
}

int to_serf_status(MemberState state) {
  switch (state) {
    case MemberState::Alive:
    case MemberState::Suspect:
      return 1;
    case MemberState::Leaving:
      return 2;
    case MemberState::Left:
      return 3;
    case MemberState::Failed:
      return 4;
  }
  return 0;
}

namespace swim {
namespace {

constexpr std::uint8_t kMagic0 = 0xF7;
constexpr std::uint8_t kMagic1 = 0x12;
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeader = 8;
constexpr std::size_t kMaxMessagesInPacket = 256;
constexpr std::size_t kMaxTags = 64;
constexpr std::size_t kMaxReason = 512;
constexpr std::size_t kMinSyncEntry = 8;

// Do not renumber.
enum class Type : std::uint8_t {
  Ping = 1,
  PingReq = 2,
  Ack = 3,
  Nack = 4,
  Suspect = 5,
  Alive = 6,
  Dead = 7,
  Leave = 8,
  Sync = 9,
  Refused = 10,
  Event = 11,
};

// ---- writing ----

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void put_string(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out += text;
}

void put_address(std::string& out, const Address& address) {
  const std::size_t length = address.ip.v6 ? 16 : 4;
  out += static_cast<char>(length);
  out.append(reinterpret_cast<const char*>(address.ip.bytes.data()), length);
  append_be16(out, address.port);
}

void put_body(std::string& out, const Ping& m) {
  put_varint(out, m.seq);
  put_string(out, m.target);
  put_string(out, m.source);
  put_address(out, m.source_address);
}
void put_body(std::string& out, const PingReq& m) {
  put_varint(out, m.seq);
  put_string(out, m.target);
  put_address(out, m.target_address);
  put_string(out, m.source);
  put_address(out, m.source_address);
  out += m.want_nack ? '\1' : '\0';
}
void put_body(std::string& out, const Ack& m) {
  put_varint(out, m.seq);
  put_varint(out, m.score);
}
void put_body(std::string& out, const Nack& m) {
  put_varint(out, m.seq);
}

void put_claim(std::string& out, const std::string& node, std::uint64_t incarnation,
               const std::string& from) {
  put_string(out, node);
  put_varint(out, incarnation);
  put_string(out, from);
}
void put_body(std::string& out, const Suspect& m) {
  put_claim(out, m.node, m.incarnation, m.from);
}
void put_body(std::string& out, const Dead& m) {
  put_claim(out, m.node, m.incarnation, m.from);
}
void put_body(std::string& out, const Leave& m) {
  put_claim(out, m.node, m.incarnation, m.from);
  out += m.prune ? '\1' : '\0';
}
void put_body(std::string& out, const Alive& m) {
  put_string(out, m.node);
  put_varint(out, m.incarnation);
  put_address(out, m.address);
  put_varint(out, m.tags.size());
  for (const auto& [key, value] : m.tags) {
    put_string(out, key);
    put_string(out, value);
  }
}
void put_body(std::string& out, const Sync& m) {
  out += m.join ? '\1' : '\0';
  put_string(out, m.source);
  put_varint(out, m.entries.size());
  std::string entry;
  for (const SyncEntry& e : m.entries) {
    entry.clear();
    put_body(entry, e.alive);
    entry += static_cast<char>(e.state);
    put_varint(entry, e.age_seconds);
    entry += e.pruned ? '\1' : '\0';
    put_string(out, entry);  // with its length, so that entries can grow
  }
  put_varint(out, m.event_time);
}
void put_body(std::string& out, const Event& m) {
  put_varint(out, m.time);
  put_varint(out, m.nonce);
  put_string(out, m.payload);
}
void put_body(std::string& out, const Refused& m) {
  put_string(out, std::string_view(m.reason).substr(0, kMaxReason));
}

template <class T>
constexpr Type type_of() {
  if constexpr (std::is_same_v<T, Ping>) return Type::Ping;
  if constexpr (std::is_same_v<T, PingReq>) return Type::PingReq;
  if constexpr (std::is_same_v<T, Ack>) return Type::Ack;
  if constexpr (std::is_same_v<T, Nack>) return Type::Nack;
  if constexpr (std::is_same_v<T, Suspect>) return Type::Suspect;
  if constexpr (std::is_same_v<T, Alive>) return Type::Alive;
  if constexpr (std::is_same_v<T, Dead>) return Type::Dead;
  if constexpr (std::is_same_v<T, Leave>) return Type::Leave;
  if constexpr (std::is_same_v<T, Sync>) return Type::Sync;
  if constexpr (std::is_same_v<T, Event>) return Type::Event;
  return Type::Refused;
}

// ---- reading ----

// Once a read fails everything after it fails: callers check ok() at the end of a body.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::size_t left() const { return rest_.size(); }

  std::uint8_t byte() {
    if (!ok_ || rest_.empty()) return fail_with<std::uint8_t>();
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t next = byte();
      if (!ok_) return 0;
      if (shift == 63 && next > 1) return fail_with<std::uint64_t>();
      value |= static_cast<std::uint64_t>(next & 0x7f) << shift;
      if ((next & 0x80) == 0) return value;
    }
    return fail_with<std::uint64_t>();
  }

  std::string_view bytes(std::uint64_t length) {
    if (!ok_ || length > rest_.size()) return fail_with<std::string_view>();
    const auto value = rest_.substr(0, static_cast<std::size_t>(length));
    rest_.remove_prefix(static_cast<std::size_t>(length));
    return value;
  }

  std::string_view string(std::size_t max) {
    const std::uint64_t length = varint();
    if (length > max) return fail_with<std::string_view>();
    return bytes(length);
  }

  std::string name() {
    const std::string_view text = string(kMaxName);
    if (ok_ && check_name(text).has_error()) ok_ = false;
    return std::string(text);
  }

  Address address() {
    const std::uint8_t length = byte();
    if (length != 4 && length != 16) return fail_with<Address>();
    const std::string_view raw = bytes(length);
    const std::string_view port = bytes(2);
    if (!ok_) return {};
    Address out;
    out.ip.v6 = length == 16;
    std::copy(raw.begin(), raw.end(), reinterpret_cast<char*>(out.ip.bytes.data()));
    out.port = static_cast<std::uint16_t>((static_cast<std::uint8_t>(port[0]) << 8) |
                                          static_cast<std::uint8_t>(port[1]));
    return out;
  }

 private:
  template <class T>
  T fail_with() {
    ok_ = false;
    return T{};
  }
  std::string_view rest_;
  bool ok_ = true;
};

Ping read_ping(Reader& in) {
  Ping m;
  m.seq = in.varint();
  m.target = in.name();
  m.source = in.name();
  m.source_address = in.address();
  return m;
}

PingReq read_ping_req(Reader& in) {
  PingReq m;
  m.seq = in.varint();
  m.target = in.name();
  m.target_address = in.address();
  m.source = in.name();
  m.source_address = in.address();
  m.want_nack = in.byte() != 0;
  return m;
}

template <class Claim>
Claim read_claim(Reader& in) {
  Claim m;
  m.node = in.name();
  m.incarnation = in.varint();
  m.from = in.name();
  return m;
}

Leave read_leave(Reader& in) {
  auto m = read_claim<Leave>(in);
  m.prune = in.byte() != 0;
  return m;
}

Alive read_alive(Reader& in, bool& ok) {
  Alive m;
  m.node = in.name();
  m.incarnation = in.varint();
  m.address = in.address();
  const std::uint64_t count = in.varint();
  ok = count <= kMaxTags;
  for (std::uint64_t i = 0; ok && in.ok() && i < count; ++i) {
    std::string key(in.string(kMaxTagBytes));
    std::string value(in.string(kMaxTagBytes));
    m.tags.insert_or_assign(std::move(key), std::move(value));
  }
  ok = ok && in.ok() && check_tags(m.tags).has_value();
  return m;
}

std::optional<SyncEntry> read_sync_entry(std::string_view bytes) {
  Reader in(bytes);
  bool ok = true;
  SyncEntry entry;
  entry.alive = read_alive(in, ok);
  const std::uint8_t state = in.byte();
  entry.age_seconds = in.varint();
  entry.pruned = in.byte() != 0;
  if (!ok || !in.ok() || state > static_cast<std::uint8_t>(MemberState::Left)) return {};
  entry.state = static_cast<MemberState>(state);
  return entry;
}

std::optional<Sync> read_sync(Reader& in) {
  Sync m;
  m.join = in.byte() != 0;
  m.source = in.name();
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > in.left() / kMinSyncEntry) return {};
  m.entries.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    auto entry = read_sync_entry(in.string(4096));
    if (!in.ok() || !entry) return {};
    m.entries.push_back(std::move(*entry));
  }
  if (!in.at_end()) m.event_time = in.varint();  // older versions end here
  return m;
}

Event read_event(Reader& in) {
  Event m;
  m.time = in.varint();
  m.nonce = in.varint();
  m.payload = in.string(kMaxEventBytes);
  return m;
}

// nullopt: malformed. `known` is false for types of a later version.
std::optional<Message> read_message(Type type, std::string_view body, bool& known) {
  Reader in(body);
  std::optional<Message> out;
  bool ok = true;
  known = true;
  switch (type) {
    case Type::Ping:
      out = read_ping(in);
      break;
    case Type::PingReq:
      out = read_ping_req(in);
      break;
    case Type::Ack: {
      const std::uint64_t seq = in.varint();
      out = Ack{seq, static_cast<std::uint32_t>(std::min<std::uint64_t>(in.varint(), 255))};
      break;
    }
    case Type::Nack:
      out = Nack{in.varint()};
      break;
    case Type::Suspect:
      out = read_claim<Suspect>(in);
      break;
    case Type::Alive:
      out = read_alive(in, ok);
      break;
    case Type::Dead:
      out = read_claim<Dead>(in);
      break;
    case Type::Leave:
      out = read_leave(in);
      break;
    case Type::Sync:
      if (auto sync = read_sync(in)) out = std::move(*sync);
      break;
    case Type::Refused:
      out = Refused{std::string(in.string(kMaxReason))};
      break;
    case Type::Event:
      out = read_event(in);
      break;
    default:
      known = false;
      return {};
  }
  if (!ok || !in.ok()) return {};
  return out;
}

std::uint32_t read_be32(std::string_view bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = (value << 8) | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::uint32_t cluster_hash(std::string_view cluster) {
  return crc32c("fyr gossip " + std::string(cluster));
}

void append_message(std::string& out, const Message& message) {
  std::visit(
      [&](const auto& m) {
        std::string body;
        put_body(body, m);
        out += static_cast<char>(type_of<std::decay_t<decltype(m)>>());
        put_string(out, body);
      },
      message);
}

std::string encode_message(const Message& message) {
  std::string out;
  append_message(out, message);
  return out;
}

std::string begin_packet(std::uint32_t cluster) {
  std::string out{static_cast<char>(kMagic0), static_cast<char>(kMagic1),
                  static_cast<char>(kVersion), '\0'};
  append_be32(out, cluster);
  return out;
}

void finish_packet(std::string& packet) {
  append_be32(packet, crc32c(packet));
}

std::string encode_packet(std::uint32_t cluster, const Message& message) {
  std::string out = begin_packet(cluster);
  append_message(out, message);
  finish_packet(out);
  return out;
}

Result<std::vector<Message>> decode_packet(std::string_view packet, std::uint32_t cluster,
                                           std::size_t max_size) {
  if (packet.size() < kPacketOverhead || packet.size() > max_size) {
    return fail(ErrorCode::Corrupt, "gossip packet: bad size");
  }
  if (static_cast<std::uint8_t>(packet[0]) != kMagic0 ||
      static_cast<std::uint8_t>(packet[1]) != kMagic1) {
    return fail(ErrorCode::Corrupt, "gossip packet: not ours");
  }
  if (static_cast<std::uint8_t>(packet[2]) != kVersion || packet[3] != '\0') {
    return fail(ErrorCode::Unsupported, "gossip packet: another version or encryption");
  }
  if (read_be32(packet.substr(4)) != cluster) {
    return fail(ErrorCode::InvalidArgument, "gossip packet: another cluster");
  }
  const std::string_view checked = packet.substr(0, packet.size() - 4);
  if (crc32c(checked) != read_be32(packet.substr(packet.size() - 4))) {
    return fail(ErrorCode::Corrupt, "gossip packet: checksum does not match");
  }
  Reader in(checked.substr(kHeader));
  std::vector<Message> out;
  while (!in.at_end()) {
    const auto type = static_cast<Type>(in.byte());
    const std::string_view body = in.string(kMaxStreamMessage);
    bool known = true;
    auto message = in.ok() ? read_message(type, body, known) : std::nullopt;
    if (!known) continue;
    if (!message) return fail(ErrorCode::Corrupt, "gossip packet: malformed message");
    if (out.size() == kMaxMessagesInPacket) {
      return fail(ErrorCode::Corrupt, "gossip packet: too many messages");
    }
    out.push_back(std::move(*message));
  }
  return out;
}

Result<void> check_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) {
    return fail(ErrorCode::InvalidArgument, "node name: must have 1 to 128 characters");
  }
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.') continue;
    return fail(ErrorCode::InvalidArgument,
                "node name: only letters, digits, '-', '_' and '.' are allowed");
  }
  return {};
}

Result<void> check_tags(const Tags& tags) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : tags) bytes += key.size() + value.size() + 4;
  if (tags.size() > kMaxTags || bytes > kMaxTagBytes) {
    return fail(ErrorCode::InvalidArgument, "member tags: more than 64 tags or 800 bytes");
  }
  return {};
}

}  // namespace swim
}  // namespace fyr::agent
