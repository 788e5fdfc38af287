// Who belongs to the cluster, as a value: the content of a Config entry (raft.md §7).
//
// A joint configuration has two voter sets, `voters` (incoming) and `outgoing`; every decision
// then needs a majority of both (Ongaro's thesis §4.3). Effective as soon as it is appended.
//
// The encoding lives in log entries: never renumber, raise the version byte instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "raft/types.h"

namespace fyr::raft {

// On disk; do not renumber.
enum class MemberKind : std::uint8_t {
  Data = 0,
  Witness = 1,     // votes and keeps the log until every data server has it; no state
  ReadServer = 2,  // never becomes a voter
};

struct Member {
  NodeId id{};
  std::string name;
  std::string address;  // host:port of its RPC
  std::string site;
  std::uint8_t priority = 100;  // 0: avoid as leader
  MemberKind kind = MemberKind::Data;
  bool operator==(const Member&) const = default;
};

struct Configuration {
  std::vector<Member> members;  // everybody named below, once
  std::vector<NodeId> voters;
  std::vector<NodeId> outgoing;  // empty unless joint
  std::vector<NodeId> learners;

  bool operator==(const Configuration&) const = default;
  bool is_joint() const { return !outgoing.empty(); }
  bool is_voter(NodeId id) const;  // of either set
  const Member* find(NodeId id) const;
};

// Every voter of either set, once.
std::vector<NodeId> all_voters(const Configuration& configuration);
// How much a member is wanted as leader. -1: a witness, which only hands on what it holds.
int leading_priority(const Configuration& configuration, NodeId id);
// 16 hexadecimal digits.
std::string to_text(NodeId id);
std::optional<NodeId> node_id_from_text(std::string_view text);

// The configuration a new cluster starts with.
Configuration single_voter(Member member);

std::string encode_configuration(const Configuration& configuration);
// Corrupt: the bytes are not a configuration; Unsupported: a later version wrote them.
Result<Configuration> decode_configuration(std::string_view bytes);

}  // namespace fyr::raft
