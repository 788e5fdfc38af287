// A key of the store as its clients see it: a value and the index of its last change. A write does
// not tell its index, so the model learns it from the first read after it; it is higher than any
// learned before.
#pragma once

#include <algorithm>
#include <optional>

#include "tests/lincheck/history.h"

namespace fyr::lincheck {

struct RegisterState {
  int value = 0;            // 0: absent
  std::uint64_t index = 0;  // 0: not learned yet
  std::uint64_t floor = 0;  // highest index learned before the last write
  bool operator==(const RegisterState&) const = default;
};

inline RegisterState written(const RegisterState& state, int value) {
  return {value, 0, std::max(state.index, state.floor)};
}

// The state after the operation, or nothing if it cannot have had its result here.
inline std::optional<RegisterState> step(const RegisterState& state, const Operation& operation) {
  const bool absent = state.value == 0;
  const auto may_be = [&](std::uint64_t index) {
    return state.index == 0 ? index > state.floor : state.index == index;
  };
  switch (operation.verb) {
    case Verb::Put:
      return written(state, operation.value);
    case Verb::Delete:
      return written(state, 0);
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
        return may_match ? std::optional(written(state, operation.value)) : std::nullopt;
      }
      return may_differ ? std::optional(state) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace fyr::lincheck
