// Gossip packets on the wire, version 1. The same form travels over UDP (at most 1,400 bytes) and
// as one frame over TCP.
//
//   magic(2) version(1) flags(1) cluster(4) | message* | crc32c(4, of everything before)
//   message: type(1) length(varint) body
//
// Integers are LEB128 varints unless a width is given, strings carry a varint length, addresses
// are 4 or 16 bytes behind their length. A receiver skips message types it does not know and
// ignores what follows the fields it knows in a body: that is how the format grows. Do not
// renumber types; never change a field's place.
//
// Nothing is allocated by a length that was only claimed: every length is checked against the
// bytes that are there. Pure functions, no threads.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/swim/member.h"
#include "base/error.h"
#include "base/net_address.h"

namespace fyr::agent {

inline constexpr std::size_t kMaxPacket = 1400;             // UDP payload, IPv4
inline constexpr std::size_t kMaxPacketV6 = 1232;           // fits the smallest IPv6 link
inline constexpr std::size_t kMaxStreamMessage = 20 << 20;  // one frame over TCP
inline constexpr std::size_t kMaxName = 128;
inline constexpr std::size_t kMaxTagBytes = 800;  // so that ALIVE always fits one packet
inline constexpr std::size_t kPacketOverhead = 12;
inline constexpr std::size_t kMaxEventBytes = 1000;  // so that an event always fits one packet

struct Address {
  IpAddress ip;
  std::uint16_t port = 0;
  auto operator<=>(const Address&) const = default;
  std::string to_string() const { return HostPort{ip.to_string(), port}.to_string(); }
};

namespace swim {

struct Ping {
  std::uint64_t seq = 0;
  std::string target;
  std::string source;
  Address source_address;
};
struct PingReq {
  std::uint64_t seq = 0;
  std::string target;
  Address target_address;
  std::string source;
  Address source_address;
  bool want_nack = false;
};
struct Ack {
  std::uint64_t seq = 0;
  std::uint32_t score = 0;  // of the answering member's own health
};
struct Nack {
  std::uint64_t seq = 0;
};
struct Suspect {
  std::string node;
  std::uint64_t incarnation = 0;
  std::string from;
};
struct Alive {
  std::string node;
  std::uint64_t incarnation = 0;
  Address address;
  Tags tags;
};
struct Dead {
  std::string node;
  std::uint64_t incarnation = 0;
  std::string from;
};
struct Leave {  // from == node: its own goodbye; otherwise an operator's force-leave
  std::string node;
  std::uint64_t incarnation = 0;
  std::string from;
  bool prune = false;
};
struct Event {             // of anybody for all
  std::uint64_t time = 0;  // Lamport
  std::uint64_t nonce = 0;
  std::string payload;
};
struct SyncEntry {
  Alive alive;
  MemberState state = MemberState::Alive;
  std::uint64_t age_seconds = 0;  // in that state, so that everybody forgets it at one time
  bool pruned = false;
};
struct Sync {
  bool join = false;
  std::string source;
  std::vector<SyncEntry> entries;
  std::uint64_t event_time = 0;  // the newest its sender has seen
};
struct Refused {  // the answer to a SYNC that broke a rule
  std::string reason;
};

using Message =
    std::variant<Ping, PingReq, Ack, Nack, Suspect, Alive, Dead, Leave, Sync, Refused, Event>;

std::uint32_t cluster_hash(std::string_view cluster);

void append_message(std::string& out, const Message& message);
std::string encode_message(const Message& message);

std::string begin_packet(std::uint32_t cluster);
void finish_packet(std::string& packet);
std::string encode_packet(std::uint32_t cluster, const Message& message);

// Corrupt: not ours or damaged. Unsupported: another version. InvalidArgument: another cluster.
Result<std::vector<Message>> decode_packet(std::string_view packet, std::uint32_t cluster,
                                           std::size_t max_size);

// Names go into DNS, logs and JSON: 1-128 of letters, digits, '-', '_', '.'.
Result<void> check_name(std::string_view name);
Result<void> check_tags(const Tags& tags);

}  // namespace swim
}  // namespace fyr::agent
