// What clients of a key-value register did and saw, as recorded by the cluster tests: one JSON
// object a line, an "invoke" when a call begins and an "ok", "fail" or "info" when it ends.
//
//   {"process":3,"type":"invoke","f":"put","key":"a","value":"7","time":123}
//   {"process":3,"type":"ok","f":"put","key":"a","time":456}
//
// f: put (value), cas (value, index: the one expected), delete, get. The "ok" of a get carries
// value (null: no such key) and index (modify index), that of a cas "done" (false: lost). "fail":
// it certainly did not happen. "info": nobody knows; so is a call that never ended.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace fyr::lincheck {

enum class Verb { Put, Cas, Delete, Get };

constexpr std::int64_t kNever = INT64_MAX;

struct Operation {
  Verb verb = Verb::Get;
  int value = 0;            // written, or read; 0: the key is absent
  std::uint64_t index = 0;  // cas: expected; get: seen
  bool done = true;         // of a cas
  bool known = true;        // false: may have happened at any time after `call`, or never
  std::int64_t call = 0, end = kNever;
  std::uint64_t written = 0;  // modify index of what it wrote; 0: not known (register_model.h)
};

// Operations by key, each list by time of call. Values are numbered as they come.
struct History {
  std::map<std::string, std::vector<Operation>> keys;
  std::size_t operations = 0, unknown = 0;
};

// Errors name the line.
Result<History> read_history(std::istream& in);

}  // namespace fyr::lincheck
