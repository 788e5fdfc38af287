// The words of Raft (Ongaro, Ousterhout 2014) as distinct types.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

namespace fyr::raft {

// A number with a name: indexes, terms and ids do not mix.
template <class Tag>
struct Number {
  std::uint64_t value = 0;
  constexpr Number() = default;
  constexpr explicit Number(std::uint64_t v) : value(v) {}
  auto operator<=>(const Number&) const = default;
  constexpr Number next() const { return Number(value + 1); }
  constexpr Number previous() const { return Number(value - 1); }
};

using Term = Number<struct TermTag>;
using Index = Number<struct IndexTag>;
using NodeId = Number<struct NodeIdTag>;
using WriteId = Number<struct WriteIdTag>;

// Default: the leader's local state under its lease. Consistent: leadership is confirmed first.
enum class ReadMode { Default, Consistent };

enum class Role { Follower, Candidate, Leader };

// On disk; do not renumber.
enum class EntryType : std::uint8_t { Noop = 0, App = 1, Config = 2, Check = 3 };

struct Entry {
  Term term;
  Index index;
  EntryType type = EntryType::Noop;
  std::shared_ptr<const std::string> data;
};

// Both ends are in it.
struct IndexRange {
  Index first, last;
  bool operator==(const IndexRange&) const = default;
};

struct LogPosition {
  Index index{};
  Term term{};
  auto operator<=>(const LogPosition&) const = default;
};

struct HardState {
  Term term;
  NodeId voted_for;
  bool operator==(const HardState&) const = default;
};

}  // namespace fyr::raft
