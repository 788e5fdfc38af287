// Consul's filter expressions (?filter=): parse once, then ask row by row.
//
//   Status == critical and "v1" in Tags and not (Meta.zone matches `^os` or Meta is empty)
//
// Operators: == != in, not in, contains, not contains, matches, not matches (RE2), is empty,
// is not empty, and, or, not, parentheses. Values: "quoted", `raw`, numbers, bare words.
// Selectors: Field.Field, Map.key, Map["any key"]; through a list of objects they hold if they
// hold for any element. A schema says which selectors exist and of what type they are, so a wrong
// one is an error of the expression and not a row that never matches. The first words of every
// error are those clients know: "Failed to create boolean expression evaluator: ".
//
// Rows are given as the JSON that is shown (proto/registry_json.h): absent and null members are
// empty. Threading: immutable after parse.
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fyr {

enum class FilterType {
  String,
  Integer,
  Bool,
  StringList,
  StringMap,
  Object,
  ObjectList,
  ObjectMap
};

struct FilterField {
  std::string name;
  FilterType type;
  std::vector<FilterField> fields;  // of Object, ObjectList and ObjectMap (its values)
};
using FilterSchema = std::vector<FilterField>;

class Filter {
 public:
  struct Node;

  // Expressions are at most 8 KiB long and 100 levels deep.
  static Result<Filter> parse(std::string_view expression, const FilterSchema& schema);
  bool matches(const boost::json::value& row) const;

 private:
  explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace fyr
