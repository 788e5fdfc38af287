#include "base/json.h"

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/parse_options.hpp>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json_syntax.h"

namespace fyr {
namespace {

constexpr std::size_t kMaxDepth = 256;
constexpr std::size_t kMaxBytes = 64 << 20;
constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Characters that are copied as they are.
constexpr std::array<bool, 256> make_plain() {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x80; ++c) plain[c] = true;
  for (const char c : {'"', '\\', '<', '>', '&'}) plain[static_cast<unsigned char>(c)] = false;
  return plain;
}
constexpr auto kPlain = make_plain();

void append_escape(std::string& out, unsigned char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += "0123456789abcdef"[c >> 4];
      out += "0123456789abcdef"[c & 15];
  }
}

// Length of the well-formed UTF-8 sequence at the front (Unicode table 3-7), 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [text](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&at](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
  const auto first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const auto low = first == 0xe0 ? 0xa0u : 0x80u;
    const auto high = first == 0xed ? 0x9fu : 0xbfu;
    return at(1) >= low && at(1) <= high && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const auto low = first == 0xf0 ? 0x90u : 0x80u;
    const auto high = first == 0xf4 ? 0x8fu : 0xbfu;
    return at(1) >= low && at(1) <= high && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// What Go does on decoding: bytes that are no UTF-8 become U+FFFD.
std::string with_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto length = utf8_length(text);
    out += length > 0 ? text.substr(0, length) : kReplacement;
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

std::string_view kind_of(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "bool";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      return "number";
    case boost::json::kind::string:
      return "string";
    case boost::json::kind::array:
      return "array";
    case boost::json::kind::object:
      return "object";
  }
  return "value";
}

// Go names the number when its type was right but not its value.
std::string shown_number(const boost::json::value& value) {
  std::string out = "number ";
  JsonWriter writer(out);
  if (value.is_int64()) {
    writer.number(static_cast<std::int64_t>(value.get_int64()));
  } else if (value.is_uint64()) {
    writer.number(static_cast<std::uint64_t>(value.get_uint64()));
  } else {
    writer.number(value.get_double());
  }
  return out;
}

std::string_view view(const boost::json::string& text) {
  return {text.data(), text.size()};
}

std::string_view first_spelling(std::string_view names) {
  return names.substr(0, names.find('|'));
}

}  // namespace

// ---- writing -----------------------------------------------------------------------------------

void append_json_string(std::string& out, std::string_view value) {
  out += '"';
  const char* run = value.data();
  const char* const end = run + value.size();
  for (const char* at = run; at != end;) {
    const auto c = static_cast<unsigned char>(*at);
    if (kPlain[c]) {
      ++at;
      continue;
    }
    if (c < 0x80) {
      out.append(run, at);
      append_escape(out, c);
      run = ++at;
      continue;
    }
    const auto length = utf8_length({at, static_cast<std::size_t>(end - at)});
    const bool line_separator = length == 3 && c == 0xe2 && at[1] == '\x80' &&
                                (at[2] == '\xa8' || at[2] == '\xa9');  // U+2028, U+2029
    if (length > 0 && !line_separator) {
      at += length;
      continue;
    }
    out.append(run, at);
    out += length == 0 ? "\\ufffd" : at[2] == '\xa8' ? "\\u2028" : "\\u2029";
    at += length == 0 ? 1 : length;
    run = at;
  }
  out.append(run, end);
  out += '"';
}

void JsonWriter::before_value() {
  if (need_comma_) out_ += ',';
  need_comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
  before_value();
  out_ += '{';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  need_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  before_value();
  out_ += '[';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  need_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  before_value();
  append_json_string(out_, name);
  out_ += ':';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  before_value();
  append_json_string(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
  before_value();
  char text[24];
  out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  return *this;
}

JsonWriter& JsonWriter::number(std::uint64_t value) {
  before_value();
  char text[24];
  out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  return *this;
}

// As Go: shortest form that reads back the same, exponents only outside [1e-6, 1e21).
JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return null();
  before_value();
  const auto magnitude = std::abs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  char text[64];
  const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(text, text + sizeof text, value, format).ptr;
  std::string_view shown(text, static_cast<std::size_t>(end - text));
  // Go writes e-9, the C++ library e-09.
  if (const auto at = shown.rfind("e-0"); at != std::string_view::npos) {
    out_ += shown.substr(0, at + 2);
    shown.remove_prefix(at + 3);
  }
  out_ += shown;
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  before_value();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  before_value();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

std::string indent_json(std::string_view compact) {
  std::string out;
  out.reserve(compact.size() * 2);
  std::size_t depth = 0;
  bool in_string = false;
  const auto new_line = [&] {
    out += '\n';
    out.append(depth * 4, ' ');
  };
  for (std::size_t i = 0; i < compact.size(); ++i) {
    const char c = compact[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < compact.size()) out += compact[++i];
      if (c == '"') in_string = false;
      continue;
    }
    const char following = i + 1 < compact.size() ? compact[i + 1] : '\0';
    if (c == '"') {
      in_string = true;
      out += c;
    } else if ((c == '{' && following == '}') || (c == '[' && following == ']')) {
      out += c;
      out += following;
      ++i;
    } else if (c == '{' || c == '[') {
      out += c;
      ++depth;
      new_line();
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
      new_line();
      out += c;
    } else if (c == ',') {
      out += c;
      new_line();
    } else if (c == ':') {
      out += ": ";
    } else {
      out += c;
    }
  }
  return out;
}

// ---- reading -----------------------------------------------------------------------------------

Result<boost::json::value> parse_json(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return fail(ErrorCode::ResourceExhausted, "JSON text is longer than 64 MiB");
  }
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  options.allow_invalid_utf8 = true;
  boost::system::error_code code;
  auto value = boost::json::parse({text.data(), text.size()}, code, {}, options);
  if (!code) return value;
  // The failure is rare, so its wording may cost a second look at the text.
  auto reason = describe_json_syntax_error(text, kMaxDepth);
  if (reason.empty()) reason = "invalid JSON: " + code.message();
  return fail(ErrorCode::InvalidArgument, std::move(reason));
}

ObjectDecoder::ObjectDecoder(const boost::json::value& value, std::string path,
                             UnknownFields unknown)
    : path_(std::move(path)), unknown_(unknown) {
  if (value.is_object()) {
    object_ = &value.get_object();
    known_.resize(object_->size());
  } else if (!value.is_null()) {
    std::string where = "value of type " + (path_.empty() ? "object" : path_);
    if (path_.find('.') != std::string::npos) where = "struct field " + path_ + " of type object";
    set_error("json: cannot unmarshal " + std::string(kind_of(value)) + " into Go " + where);
  }
}

void ObjectDecoder::set_error(std::string message) {
  if (!error_) error_ = fail(ErrorCode::InvalidArgument, std::move(message));
}

void ObjectDecoder::set_type_error(const boost::json::value& value, std::string_view name,
                                   std::string_view wanted) {
  const bool is_number = kind_of(value) == "number";
  const bool wants_number = wanted.find("int") != std::string_view::npos;
  const auto got = is_number && wants_number ? shown_number(value) : std::string(kind_of(value));
  set_error("json: cannot unmarshal " + got + " into Go struct field " + path_ + "." +
            std::string(name) + " of type " + std::string(wanted));
}

// The earliest spelling that is present and not null wins; of equal names the last, as in Go.
// All spellings count as known.
const boost::json::value* ObjectDecoder::find(std::string_view names) {
  if (object_ == nullptr || error_) return nullptr;
  const boost::json::value* found = nullptr;
  while (!names.empty()) {
    const auto name = first_spelling(names);
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    const boost::json::value* here = nullptr;
    std::size_t position = 0;
    for (const auto& member : *object_) {
      const auto& key = member.key();
      if (key.size() == name.size() && equals_ignoring_case({key.data(), key.size()}, name)) {
        known_[position] = true;
        if (!member.value().is_null()) here = &member.value();
      }
      ++position;
    }
    if (found == nullptr) found = here;
  }
  return found;
}

bool ObjectDecoder::has(std::string_view name) const {
  if (object_ == nullptr) return false;
  for (const auto& member : *object_) {
    const auto& key = member.key();
    if (!member.value().is_null() && equals_ignoring_case({key.data(), key.size()}, name)) {
      return true;
    }
  }
  return false;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, std::string& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (value->is_string()) {
    out = with_valid_utf8(view(value->get_string()));
  } else {
    set_type_error(*value, first_spelling(name), "string");
  }
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, bool& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (value->is_bool()) {
    out = value->get_bool();
  } else {
    set_type_error(*value, first_spelling(name), "bool");
  }
  return *this;
}

template <class Integer>
void ObjectDecoder::read_integer(std::string_view names, Integer& out, std::string_view wanted) {
  const auto* value = find(names);
  if (value == nullptr) return;
  if (value->is_int64() && std::in_range<Integer>(value->get_int64())) {
    out = static_cast<Integer>(value->get_int64());
  } else if (value->is_uint64() && std::in_range<Integer>(value->get_uint64())) {
    out = static_cast<Integer>(value->get_uint64());
  } else {
    set_type_error(*value, first_spelling(names), wanted);
  }
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, int& out) {
  read_integer(name, out, "int");
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, std::int64_t& out) {
  read_integer(name, out, "int64");
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, std::uint64_t& out) {
  read_integer(name, out, "uint64");
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, double& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (value->is_number() && std::isfinite(value->to_number<double>())) {
    out = value->to_number<double>();
  } else {
    set_type_error(*value, first_spelling(name), "float64");
  }
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, Duration& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  constexpr double kLimit = 9.2e18;  // nanoseconds that fit
  if (value->is_string()) {
    auto parsed = parse_duration(view(value->get_string()));
    if (parsed) {
      out = *parsed;
    } else {
      set_error(parsed.error().message);
    }
  } else if (value->is_int64()) {
    out = Duration(value->get_int64());
  } else if (value->is_double() && std::abs(value->get_double()) < kLimit) {
    out = Duration(static_cast<std::int64_t>(value->get_double()));
  } else {
    set_type_error(*value, first_spelling(name), "time.Duration");
  }
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name, std::vector<std::string>& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (!value->is_array()) {
    set_type_error(*value, first_spelling(name), "[]string");
    return *this;
  }
  std::vector<std::string> items;
  for (const auto& item : value->get_array()) {
    if (!item.is_string() && !item.is_null()) {
      set_type_error(item, first_spelling(name), "string");
      return *this;
    }
    items.push_back(item.is_string() ? with_valid_utf8(view(item.get_string())) : std::string());
  }
  out = std::move(items);
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name,
                                    std::map<std::string, std::string>& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (!value->is_object()) {
    set_type_error(*value, first_spelling(name), "map[string]string");
    return *this;
  }
  std::map<std::string, std::string> entries;
  for (const auto& member : value->get_object()) {
    const auto& item = member.value();
    if (!item.is_string() && !item.is_null()) {
      set_type_error(item, first_spelling(name), "string");
      return *this;
    }
    entries[with_valid_utf8({member.key().data(), member.key().size()})] =
        item.is_string() ? with_valid_utf8(view(item.get_string())) : std::string();
  }
  out = std::move(entries);
  return *this;
}

ObjectDecoder& ObjectDecoder::field(std::string_view name,
                                    std::map<std::string, std::vector<std::string>>& out) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  if (!value->is_object()) {
    set_type_error(*value, first_spelling(name), "map[string][]string");
    return *this;
  }
  std::map<std::string, std::vector<std::string>> entries;
  ObjectDecoder members(*value, path_ + "." + std::string(first_spelling(name)));
  for (const auto& member : value->get_object()) {
    const std::string key(member.key());
    members.field(key, entries[key]);
  }
  if (members.error_) {
    set_error(members.error_->message);
  } else {
    out = std::move(entries);
  }
  return *this;
}

ObjectDecoder& ObjectDecoder::field(
    std::string_view name,
    const std::function<Result<void>(const boost::json::value&, const std::string& path)>& decode) {
  const auto* value = find(name);
  if (value == nullptr) return *this;
  const auto path = path_ + "." + std::string(first_spelling(name));
  auto result = decode(*value, path);
  if (!result) error_ = result.error();
  return *this;
}

ObjectDecoder& ObjectDecoder::ignore(std::string_view name) {
  find(name);
  return *this;
}

Result<void> ObjectDecoder::finish() {
  if (error_) return *error_;
  if (object_ == nullptr || unknown_ == UnknownFields::Ignore) return {};
  std::size_t position = 0;
  for (const auto& member : *object_) {
    if (!known_[position++]) {
      std::string message = "json: unknown field ";
      append_json_string(message, {member.key().data(), member.key().size()});
      return fail(ErrorCode::InvalidArgument, std::move(message));
    }
  }
  return {};
}

}  // namespace fyr
