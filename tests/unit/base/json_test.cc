#include "base/json.h"

#include <gtest/gtest.h>

namespace fyr {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// What Go's encoding/json writes for the same strings.
TEST(JsonString, IsEscapedAsGoEscapes) {
  EXPECT_EQ(escaped("plain"), "\"plain\"");
  EXPECT_EQ(escaped("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
  EXPECT_EQ(escaped("\n\r\t\b\x01\x7f"), "\"\\n\\r\\t\\u0008\\u0001\x7f\"");
  EXPECT_EQ(escaped("<a&b>"), "\"\\u003ca\\u0026b\\u003e\"");
  EXPECT_EQ(escaped("\u2028\u2029\u202a"), "\"\\u2028\\u2029\u202a\"");
  EXPECT_EQ(escaped("ærøå 日本 \U0001f600"), "\"ærøå 日本 \U0001f600\"");
  EXPECT_EQ(escaped(std::string_view("\0", 1)), "\"\\u0000\"");
}

TEST(JsonString, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(escaped("a\xffz"), "\"a\\ufffdz\"");
  EXPECT_EQ(escaped("\xc3"), "\"\\ufffd\"");                                   // cut short
  EXPECT_EQ(escaped("\xc0\xaf"), "\"\\ufffd\\ufffd\"");                        // overlong
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");             // surrogate
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");  // above U+10FFFF
}

TEST(JsonWriter, PutsCommasWhereTheyBelong) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("a").number(1).key("b").begin_array().string("x").null().boolean(true).end_array();
  json.key("c").begin_object().end_object().key("d").begin_array().end_array();
  json.key("e").raw("{\"x\":1}").key("f").string("");
  json.end_object();
  EXPECT_EQ(out, R"({"a":1,"b":["x",null,true],"c":{},"d":[],"e":{"x":1},"f":""})");
}

TEST(JsonWriter, WritesNumbersAsGo) {
  const auto number = [](auto value) {
    std::string out;
    JsonWriter(out).number(value);
    return out;
  };
  EXPECT_EQ(number(std::int64_t{-9223372036854775807} - 1), "-9223372036854775808");
  EXPECT_EQ(number(~std::uint64_t{0}), "18446744073709551615");
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(100.0), "100");
  EXPECT_EQ(number(1e20), "100000000000000000000");
  EXPECT_EQ(number(1e21), "1e+21");
  EXPECT_EQ(number(1e-6), "0.000001");
  EXPECT_EQ(number(1e-7), "1e-7");
  EXPECT_EQ(number(-1.5e-10), "-1.5e-10");
}

TEST(IndentJson, LooksLikeGosIndentWithFourBlanks) {
  EXPECT_EQ(indent_json(R"({"a":[1,{"b":"x,{}:"}],"c":{},"d":[],"e":"\""})"),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": \"x,{}:\"\n        }\n"
            "    ],\n    \"c\": {},\n    \"d\": [],\n    \"e\": \"\\\"\"\n}");
  EXPECT_EQ(indent_json("[]"), "[]");
  EXPECT_EQ(indent_json("null"), "null");
}

TEST(ParseJson, ReportsSyntaxInGosWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "EOF"},
      {"  ", "EOF"},
      {"{", "unexpected EOF"},
      {"[1,", "unexpected EOF"},
      {"\"abc", "unexpected EOF"},
      {"{not json", "invalid character 'n' looking for beginning of object key string"},
      {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
      {"x", "invalid character 'x' looking for beginning of value"},
      {"[1,]", "invalid character ']' looking for beginning of value"},
      {"{\"a\" 1}", "invalid character '1' after object key"},
      {"{\"a\":1 2}", "invalid character '2' after object key:value pair"},
      {"[1 2]", "invalid character '2' after array element"},
      {"{} x", "invalid character 'x' after top-level value"},
      {"01", "invalid character '1' after top-level value"},
      {"nope", "invalid character 'o' in literal null (expecting 'u')"},
      {"-x", "invalid character 'x' in numeric literal"},
      {"1.x", "invalid character 'x' after decimal point in numeric literal"},
      {"1ex", "invalid character 'x' in exponent of numeric literal"},
      {"\"a\nb\"", "invalid character '\\n' in string literal"},
      {"\"\\x\"", "invalid character 'x' in string escape code"},
      {"\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"},
      {"'a'", "invalid character '\\'' looking for beginning of value"},
      {"\xff", "invalid character 'ÿ' looking for beginning of value"}};
  for (const auto& [text, message] : cases) {
    const auto parsed = parse_json(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().message, message) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::InvalidArgument);
  }
}

TEST(ParseJson, BoundsDepth) {
  EXPECT_TRUE(parse_json(std::string(200, '[') + std::string(200, ']')));
  const auto deep = parse_json(std::string(100000, '['));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().message, "exceeded max depth");
}

boost::json::value value_of(std::string_view text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed) << text;
  return *parsed;
}

struct Target {
  std::string name;
  bool on = false;
  int port = 0;
  std::int64_t big = 0;
  std::uint64_t index = 0;
  double weight = 0;
  Duration ttl{};
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  std::map<std::string, std::vector<std::string>> header;
};

Result<void> decode(std::string_view text, Target& out,
                    UnknownFields unknown = UnknownFields::Refuse) {
  const auto value = value_of(text);
  ObjectDecoder decoder(value, "T", unknown);
  return decoder.field("Name|full_name", out.name)
      .field("On", out.on)
      .field("Port", out.port)
      .field("Big", out.big)
      .field("Index", out.index)
      .field("Weight", out.weight)
      .field("TTL", out.ttl)
      .field("Tags", out.tags)
      .field("Meta", out.meta)
      .field("Header", out.header)
      .ignore("Old")
      .finish();
}

TEST(ObjectDecoder, ReadsEveryKindOfField) {
  Target target;
  const auto done = decode(
      R"({"Name":"n","On":true,"Port":80,"Big":-5,"Index":18446744073709551615,"Weight":2,
          "TTL":"10s","Tags":["a","b"],"Meta":{"k":"v"},"Header":{"h":["1","2"]},"Old":{}})",
      target);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(target.name, "n");
  EXPECT_TRUE(target.on);
  EXPECT_EQ(target.port, 80);
  EXPECT_EQ(target.big, -5);
  EXPECT_EQ(target.index, ~std::uint64_t{0});
  EXPECT_EQ(target.weight, 2.0);
  EXPECT_EQ(target.ttl, std::chrono::seconds(10));
  EXPECT_EQ(target.tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(target.meta.at("k"), "v");
  EXPECT_EQ(target.header.at("h"), (std::vector<std::string>{"1", "2"}));
}

TEST(ObjectDecoder, TakesAnySpellingAndLetterCase) {
  Target target;
  EXPECT_TRUE(decode(R"({"FULL_NAME":"a"})", target));
  EXPECT_EQ(target.name, "a");
  EXPECT_TRUE(decode(R"({"full_name":"b","NAME":"c"})", target));
  EXPECT_EQ(target.name, "c");
}

TEST(ObjectDecoder, LeavesFieldsThatAreNullOrAbsent) {
  Target target;
  target.name = "kept";
  target.tags = {"kept"};
  EXPECT_TRUE(decode(R"({"Name":null,"Tags":null})", target));
  EXPECT_TRUE(decode("null", target));
  EXPECT_EQ(target.name, "kept");
  EXPECT_EQ(target.tags.size(), 1u);
}

TEST(ObjectDecoder, ReadsDurationsFromNanoseconds) {
  Target target;
  EXPECT_TRUE(decode(R"({"TTL":1500000000})", target));
  EXPECT_EQ(target.ttl, std::chrono::milliseconds(1500));
  EXPECT_TRUE(decode(R"({"TTL":1e9})", target));
  EXPECT_EQ(target.ttl, std::chrono::seconds(1));
}

TEST(ObjectDecoder, ReportsTypesInGosWords) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"Name":5})", "json: cannot unmarshal number into Go struct field T.Name of type string"},
      {R"({"Port":"80"})", "json: cannot unmarshal string into Go struct field T.Port of type int"},
      {R"({"Port":1.5})",
       "json: cannot unmarshal number 1.5 into Go struct field T.Port of type int"},
      {R"({"Port":3000000000})",
       "json: cannot unmarshal number 3000000000 into Go struct field T.Port of type int"},
      {R"({"Index":-1})",
       "json: cannot unmarshal number -1 into Go struct field T.Index of type uint64"},
      {R"({"On":"yes"})", "json: cannot unmarshal string into Go struct field T.On of type bool"},
      {R"({"Tags":"a"})",
       "json: cannot unmarshal string into Go struct field T.Tags of type []string"},
      {R"({"Tags":[1]})",
       "json: cannot unmarshal number into Go struct field T.Tags of type string"},
      {R"({"Meta":{"a":1}})",
       "json: cannot unmarshal number into Go struct field T.Meta of type string"},
      {R"({"Weight":1e999})",
       "json: cannot unmarshal number into Go struct field T.Weight of type float64"},
      {R"({"TTL":1e300})",
       "json: cannot unmarshal number into Go struct field T.TTL of type time.Duration"},
      {R"({"TTL":"xx"})", "time: invalid duration \"xx\""},
      {R"({"Unknown":1})", "json: unknown field \"Unknown\""},
      {"[]", "json: cannot unmarshal array into Go value of type T"}};
  for (const auto& [text, message] : cases) {
    Target target;
    const auto done = decode(text, target);
    ASSERT_FALSE(done) << text;
    EXPECT_EQ(done.error().message, message);
  }
}

TEST(ObjectDecoder, IgnoresUnknownFieldsWhenAsked) {
  Target target;
  EXPECT_TRUE(decode(R"({"Unknown":1,"Name":"n"})", target, UnknownFields::Ignore));
  EXPECT_EQ(target.name, "n");
}

TEST(ObjectDecoder, PathsOfNestedObjectsAppearInErrors) {
  const auto value = value_of(R"({"Service":{"Port":"x"}})");
  int port = 0;
  ObjectDecoder outer(value, "R");
  outer.field("Service", [&](const boost::json::value& inner, const std::string& path) {
    ObjectDecoder decoder(inner, path);
    return decoder.field("Port", port).finish();
  });
  const auto done = outer.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message,
            "json: cannot unmarshal string into Go struct field R.Service.Port of type int");
}

TEST(ObjectDecoder, ReplacesBytesThatAreNoUtf8) {
  Target target;
  EXPECT_TRUE(decode("{\"Name\":\"a\xff\"}", target));
  EXPECT_EQ(target.name, "a\xef\xbf\xbd");
}

TEST(ObjectDecoder, KnowsWhetherAFieldIsPresent) {
  const auto value = value_of(R"({"a":1,"b":null})");
  const ObjectDecoder decoder(value, "T");
  EXPECT_TRUE(decoder.has("A"));
  EXPECT_FALSE(decoder.has("b"));
  EXPECT_FALSE(decoder.has("c"));
}

}  // namespace
}  // namespace fyr
