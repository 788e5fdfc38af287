// A key of the store as its clients see it: a value and the index of its last change. A write does
// not tell its index, so the model learns it from the first read after it; it is higher than any
// learned before.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "tests/lincheck/history.h"

namespace fyr::lincheck {

struct RegisterState {
  int value = 0;            // 0: absent
  std::uint64_t index = 0;  // 0: not learned yet
  std::uint64_t floor = 0;  // highest index learned before the last write
  bool operator==(const RegisterState&) const = default;
};

// Fills in Operation::written of a value that one operation wrote and that all its readers saw
// under the same index.
inline std::vector<Operation> with_written_indexes(std::vector<Operation> operations) {
  struct Told {
    std::size_t writers = 0;
    std::uint64_t index = 0;
    bool agreed = true;
  };
  const auto writes = [](const Operation& o) {
    return o.value != 0 && (o.verb == Verb::Put || (o.verb == Verb::Cas && (o.done || !o.known)));
  };
  std::map<int, Told> told;
  for (const Operation& o : operations) {
    Told& value = told[o.value];
    if (writes(o)) ++value.writers;
    if (o.verb != Verb::Get) continue;
    value.agreed = value.agreed && (value.index == 0 || value.index == o.index);
    value.index = o.index;
  }
  for (Operation& o : operations) {
    const Told& value = told[o.value];
    if (writes(o) && value.writers == 1 && value.agreed) o.written = value.index;
  }
  return operations;
}

inline std::optional<RegisterState> written(const RegisterState& state, int value,
                                            std::uint64_t index) {
  const std::uint64_t floor = std::max(state.index, state.floor);
  if (index != 0 && index <= floor) return std::nullopt;
  return RegisterState{value, index, floor};
}

// The state after the operation, or nothing if it cannot have had its result here.
inline std::optional<RegisterState> step(const RegisterState& state, const Operation& operation) {
  const bool absent = state.value == 0;
  const auto may_be = [&](std::uint64_t index) {
    return state.index == 0 ? index > state.floor : state.index == index;
  };
  switch (operation.verb) {
    case Verb::Put:
      return written(state, operation.value, operation.written);
    case Verb::Delete:
      return written(state, 0, 0);
    case Verb::Get:
      if (operation.value != state.value) return std::nullopt;
      if (absent) return state;
      if (!may_be(operation.index)) return std::nullopt;
      return RegisterState{state.value, operation.index, state.floor};
    case Verb::Cas: {
      // Index 0 wants the key to be absent.
      const bool may_match = operation.index == 0 ? absent : !absent && may_be(operation.index);
      const bool may_differ =
          operation.index == 0 ? !absent : absent || state.index != operation.index;
      // Of unknown outcome: where it would be lost it is as if it never happened.
      if (operation.done || !operation.known) {
        return may_match ? written(state, operation.value, operation.written) : std::nullopt;
      }
      return may_differ ? std::optional(state) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace fyr::lincheck
