// Any query string, and any text given as a duration in it: what is understood is understood the
// same when it is written anew.
#include <cstdlib>

#include "base/bytes.h"
#include "base/io/http_router.h"
#include "base/time.h"

namespace {

using namespace fyr;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto params = io::QueryParams::parse(text);
  std::string again;
  for (const auto& [name, value] : params.items()) {
    require(params.has(name));
    if (!again.empty()) again += '&';
    again += percent_encode(name) + "=" + percent_encode(value);
  }
  const auto twice = io::QueryParams::parse(again);
  std::size_t named = 0;  // a pair without name and value is none
  for (const auto& item : params.items())
    named += item.first.empty() && item.second.empty() ? 0 : 1;
  require(twice.items().size() >= named);
  for (const auto& [name, value] : params.items()) {
    if (!name.empty()) require(twice.get(name) == params.get(name));
  }
  const auto length = parse_duration(text);
  require(length.has_value() || !length.error().message.empty());
  return 0;
}
