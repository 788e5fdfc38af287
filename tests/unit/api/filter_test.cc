#include "base/filter.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace fyr {
namespace {

const FilterSchema& schema() {
  static const FilterSchema value = {
      {"Node", FilterType::String, {}},
      {"Port", FilterType::Integer, {}},
      {"Native", FilterType::Bool, {}},
      {"Tags", FilterType::StringList, {}},
      {"Meta", FilterType::StringMap, {}},
      {"Service", FilterType::Object, {{"ID", FilterType::String, {}}}},
      {"Checks", FilterType::ObjectList, {{"Status", FilterType::String, {}}}},
      {"Addresses", FilterType::ObjectMap, {{"Port", FilterType::Integer, {}}}},
  };
  return value;
}

bool matches(std::string_view expression, std::string_view row) {
  auto filter = Filter::parse(expression, schema());
  EXPECT_TRUE(filter) << expression << ": " << (filter ? "" : filter.error().message);
  return filter && filter->matches(boost::json::parse(row));
}

std::string error_of(std::string_view expression) {
  auto filter = Filter::parse(expression, schema());
  return filter ? "" : filter.error().message;
}

constexpr std::string_view kRow = R"({"Node":"web-1","Port":8080,"Native":true,
  "Tags":["v1","blue"],"Meta":{"zone":"osl","a-b":"c"},"Service":{"ID":"s1"},
  "Checks":[{"Status":"passing"},{"Status":"critical"}],"Addresses":{"lan":{"Port":7}}})";

TEST(Filter, ComparesTextNumbersAndBooleans) {
  EXPECT_TRUE(matches(R"(Node == "web-1")", kRow));
  EXPECT_TRUE(matches("Node==`web-1`", kRow));
  EXPECT_FALSE(matches("Node == web", kRow));
  EXPECT_TRUE(matches("Node != web", kRow));
  EXPECT_TRUE(matches("Port==8080", kRow));
  EXPECT_FALSE(matches("Port!=8080", kRow));
  EXPECT_TRUE(matches("Native == true", kRow));
  EXPECT_FALSE(matches("Native == false", kRow));
  EXPECT_TRUE(matches("Service.ID == s1", kRow));
}

TEST(Filter, LooksIntoListsMapsAndText) {
  EXPECT_TRUE(matches(R"("v1" in Tags)", kRow));
  EXPECT_TRUE(matches("v1 in Tags", kRow));
  EXPECT_TRUE(matches("green not in Tags", kRow));
  EXPECT_TRUE(matches("Tags contains blue", kRow));
  EXPECT_TRUE(matches("Tags not contains green", kRow));
  EXPECT_TRUE(matches("zone in Meta", kRow));
  EXPECT_TRUE(matches("eb in Node", kRow));
  EXPECT_TRUE(matches("Meta.zone == osl", kRow));
  EXPECT_TRUE(matches(R"(Meta["a-b"] == c)", kRow));
  EXPECT_TRUE(matches("Addresses.lan.Port == 7", kRow));
  EXPECT_FALSE(matches("Tags is empty", kRow));
  EXPECT_TRUE(matches("Tags is not empty", kRow));
}

TEST(Filter, AMissingMapKeyEqualsNothingAndDiffersFromEverything) {
  EXPECT_FALSE(matches("Meta.none == x", kRow));
  EXPECT_TRUE(matches("Meta.none != x", kRow));
  EXPECT_FALSE(matches("Addresses.wan.Port == 0", kRow));
  EXPECT_TRUE(matches("Meta.none != x", R"({"Meta":null})"));
  EXPECT_FALSE(matches(R"(Meta.none == "")", R"({"Meta":null})"));
}

TEST(Filter, AFieldThatIsNotShownHasItsEmptyValue) {
  EXPECT_TRUE(matches("Port == 0", "{}"));
  EXPECT_TRUE(matches(R"(Node == "")", "{}"));
  EXPECT_TRUE(matches("Tags is empty", R"({"Tags":null})"));
  EXPECT_TRUE(matches("Native == false", "{}"));
}

TEST(Filter, HoldsForAListIfItHoldsForAnyElement) {
  EXPECT_TRUE(matches("Checks.Status == critical", kRow));
  EXPECT_FALSE(matches("Checks.Status == warning", kRow));
  EXPECT_FALSE(matches("Checks.Status != x", R"({"Checks":[]})"));
  EXPECT_TRUE(matches("Checks is empty", R"({"Checks":[]})"));
}

TEST(Filter, BindsNotBeforeAndBeforeOr) {
  EXPECT_TRUE(matches("Port==1 and Port==2 or Port==8080", kRow));
  EXPECT_FALSE(matches("Port==1 and (Port==2 or Port==8080)", kRow));
  EXPECT_TRUE(matches("not Port==1 and Port==8080", kRow));
  EXPECT_FALSE(matches("not (Port==8080)", kRow));
  EXPECT_TRUE(matches("Port==8080 and not v9 in Tags", kRow));
}

TEST(Filter, MatchesRegularExpressionsAnywhereInTheText) {
  EXPECT_TRUE(matches(R"(Node matches "^web-(1|2)$")", kRow));
  EXPECT_TRUE(matches("Node matches `\\d`", kRow));
  EXPECT_TRUE(matches("Node not matches `^x`", kRow));
}

TEST(Filter, NamesWhatIsWrong) {
  EXPECT_EQ(error_of("Nope==1"),
            "Failed to create boolean expression evaluator: Selector \"Nope\" is not valid");
  EXPECT_NE(error_of("Node=").find("no match found"), std::string::npos);
  EXPECT_NE(error_of("Node matches \"[\"").find("missing ]"), std::string::npos);
  EXPECT_NE(error_of("Port == \"x\"").find("Failed to coerce value \"x\""), std::string::npos);
  EXPECT_NE(error_of("Port in x").find("Selector \"x\" is not valid"), std::string::npos);
  for (const auto* bad :
       {"(", "Node", "Node is", "Node is full", "Node ==", "\"a\" == Node", "Port matches x",
        "Node == \"open", "Meta[x] == 1", "Node == a b", "Meta.a.b == c", "Checks == x",
        "Node. == a", "== a", "not", "Port == 1x"}) {
    EXPECT_FALSE(error_of(bad).empty()) << bad;
  }
}

TEST(Filter, RefusesWhatIsTooLongOrTooDeep) {
  EXPECT_FALSE(error_of(std::string(9000, ' ')).empty());
  EXPECT_NE(error_of(std::string(4000, '(')).find("too deeply"), std::string::npos);
}

}  // namespace
}  // namespace fyr
