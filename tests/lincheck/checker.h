// Whether a history of one register is linearizable: whether every operation can be given one
// moment between its call and its end so that, in that order, each saw what it reported.
//
// The search of Wing and Gong (1993) with the caching of Lowe (2017): operations are taken in any
// order real time allows; a set of taken operations that was reached before with the same state is
// not looked at again. A history is checked key by key, since registers are independent.
#pragma once

#include <cstddef>
#include <vector>

#include "tests/lincheck/history.h"

namespace fyr::lincheck {

enum class Verdict { Linearizable, Illegal, Undecided };

struct Limits {
  std::size_t states = 20'000'000;  // remembered; above: Undecided
};

Verdict check(const std::vector<Operation>& operations, const Limits& limits = {});

// Operations left out as long as the rest stays illegal: what to show a human.
std::vector<Operation> shrink(std::vector<Operation> operations, const Limits& limits = {});

}  // namespace fyr::lincheck
