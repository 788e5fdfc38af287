// CHECK: an internal invariant. Always on, stops the process with the reason. Only for our own
// bugs: nothing a peer, client or disk can send may trigger it.
#pragma once

#include <string_view>

namespace fyr {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view detail = {});
}  // namespace fyr

#define CHECK(condition) \
  ((condition) ? (void)0 : ::fyr::check_failed(__FILE__, __LINE__, #condition))
#define CHECK_MSG(condition, detail) \
  ((condition) ? (void)0 : ::fyr::check_failed(__FILE__, __LINE__, #condition, detail))
