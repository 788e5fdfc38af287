// Any text given as JSON: refused with a reason or read, and what is written reads back.
#include <cstdlib>

#include "base/json.h"

namespace {

using namespace fyr;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  std::string quoted;
  append_json_string(quoted, text);
  const auto back = parse_json(quoted);
  require(back.has_value() && back->is_string());
  std::string again;
  append_json_string(again, std::string_view(back->get_string()));
  const auto twice = parse_json(again);
  require(twice.has_value() && *twice == *back);

  const auto parsed = parse_json(text);
  if (!parsed) {
    require(!parsed.error().message.empty());
    return 0;
  }
  std::string name;
  Duration ttl{};
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  ObjectDecoder decoder(*parsed, "T");
  const auto done = decoder.field("Name|name", name)
                        .field("TTL", ttl)
                        .field("Tags", tags)
                        .field("Meta", meta)
                        .finish();
  require(done.has_value() || !done.error().message.empty());
  // Not compared by value: 0e999999999 is read as NaN, which equals nothing.
  require(parse_json(indent_json(text)).has_value());
  return 0;
}
