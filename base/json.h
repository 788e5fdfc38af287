// JSON as Consul's clients expect it from a Go program.
//
// JsonWriter appends compact JSON to a string the caller owns; text is escaped as Go's
// encoding/json does (<, >, & and U+2028/2029 as \u escapes, invalid UTF-8 replaced).
// ObjectDecoder reads a parsed object into fields by name, without regard to case, and reports
// type errors in Go's words; unknown fields are refused or ignored as the endpoint demands.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace fyr {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& number(std::int64_t value);
  JsonWriter& number(std::uint64_t value);
  JsonWriter& number(int value) { return number(static_cast<std::int64_t>(value)); }
  JsonWriter& number(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  JsonWriter& raw(std::string_view json);  // one complete value, trusted

 private:
  void before_value();
  std::string& out_;
  bool need_comma_ = false;
};

void append_json_string(std::string& out, std::string_view value);  // with the quotes

// Re-indents compact JSON with four blanks, as ?pretty does.
std::string indent_json(std::string_view compact);

// One value, nothing after it. Depth and size are bounded. Error texts start with Go's words.
Result<boost::json::value> parse_json(std::string_view text);

enum class UnknownFields { Ignore, Refuse };

// Reads one object. Name all fields, then call finish(). The first error wins; later calls do
// nothing. null leaves a field as it is.
class ObjectDecoder {
 public:
  // `type` and `path` only appear in messages.
  ObjectDecoder(const boost::json::value& value, std::string path,
                UnknownFields unknown = UnknownFields::Refuse);

  ObjectDecoder& field(std::string_view name, std::string& out);
  ObjectDecoder& field(std::string_view name, bool& out);
  ObjectDecoder& field(std::string_view name, int& out);
  ObjectDecoder& field(std::string_view name, std::int64_t& out);
  ObjectDecoder& field(std::string_view name, std::uint64_t& out);
  ObjectDecoder& field(std::string_view name, double& out);
  ObjectDecoder& field(std::string_view name, Duration& out);  // "10s" or a number of nanoseconds
  ObjectDecoder& field(std::string_view name, std::vector<std::string>& out);
  ObjectDecoder& field(std::string_view name, std::map<std::string, std::string>& out);
  ObjectDecoder& field(std::string_view name, std::map<std::string, std::vector<std::string>>& out);
  // Anything else: called with the value (not null) and its path when the field is present.
  ObjectDecoder& field(std::string_view name,
                       const std::function<Result<void>(const boost::json::value&,
                                                        const std::string& path)>& decode);
  // A second spelling of the field named last ("check_id" for "CheckID").
  // Spellings may be given inline: field("CheckID|check_id|ID", out).
  ObjectDecoder& ignore(std::string_view name);  // known, without effect

  bool has(std::string_view name) const;  // present and not null
  Result<void> finish();

 private:
  const boost::json::value* find(std::string_view names);
  void set_error(std::string message);
  void set_type_error(const boost::json::value& value, std::string_view name,
                      std::string_view wanted);
  template <class Integer>
  void read_integer(std::string_view names, Integer& out, std::string_view wanted);

  const boost::json::object* object_ = nullptr;
  std::string path_;
  UnknownFields unknown_;
  std::vector<bool> known_;  // by position in the object: somebody asked for it
  std::optional<Error> error_;
};

}  // namespace fyr
