// Any expression is refused with a reason or judges any row without harm.
#include <boost/json.hpp>
#include <cstdlib>
#include <string_view>

#include "base/filter.h"

namespace {

const fyr::FilterSchema& schema() {
  using enum fyr::FilterType;
  static const fyr::FilterSchema value = {{"a", String, {}},
                                          {"n", Integer, {}},
                                          {"b", Bool, {}},
                                          {"l", StringList, {}},
                                          {"m", StringMap, {}},
                                          {"o", Object, {{"a", String, {}}}},
                                          {"c", ObjectList, {{"a", String, {}}}},
                                          {"t", ObjectMap, {{"n", Integer, {}}}}};
  return value;
}

const boost::json::value& row() {
  static const auto value = boost::json::parse(
      R"({"a":"x","n":1,"b":true,"l":["x"],"m":{"k":"v"},"o":{"a":"y"},"c":[{"a":"z"}],
          "t":{"k":{"n":2}}})");
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto filter = fyr::Filter::parse(text, schema());
  if (!filter) {
    if (filter.error().message.empty()) std::abort();
    return 0;
  }
  filter->matches(row());
  filter->matches(boost::json::object());
  return 0;
}
