// Do all servers have the same state (raft.md §9)? A Check entry without data makes each of them
// take the digest of its state at that index; they report it with their heartbeats. If somebody
// differs from the majority, the leader puts what the majority has into a second Check entry, and
// whoever finds that it had something else rebuilds its state.
//
// A majority of those who reported, at least two, must agree; three must have reported. Otherwise
// nobody can say who is right.
//
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "raft/types.h"

namespace fyr::raft {

struct StateDigest {
  NodeId node{};
  std::uint64_t digest = 0;
};

struct StateVerdict {
  bool differ = false;                  // not all are equal
  std::optional<std::uint64_t> agreed;  // what the majority has
  std::vector<NodeId> odd;              // who has something else; empty without a majority
};
StateVerdict judge(std::span<const StateDigest> reports);

// The data of the second entry.
struct AgreedDigest {
  Index check{};
  std::uint64_t digest = 0;
};
std::string encode(const AgreedDigest& agreed);
std::optional<AgreedDigest> decode_agreed(std::string_view data);

}  // namespace fyr::raft
