// A recursive-descent parser over the grammar in filter.h and an evaluator over JSON values.
// Values stay text until the selector's type is known; then they are coerced once.
#include "base/filter.h"

#include <re2/re2.h>

#include <boost/json.hpp>
#include <cctype>
#include <charconv>

namespace fyr {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxLength = 8 * 1024;
constexpr int kMaxDepth = 100;
constexpr std::string_view kPrefix = "Failed to create boolean expression evaluator: ";

enum class Op { Equal, NotEqual, In, NotIn, Matches, NotMatches, Empty, NotEmpty };

bool is_negative(Op op) {
  return op == Op::NotEqual || op == Op::NotIn || op == Op::NotMatches || op == Op::Empty;
}

}  // namespace

struct Filter::Node {
  enum class Kind { And, Or, Not, Match };
  Kind kind = Kind::Match;
  std::shared_ptr<const Node> left;
  std::shared_ptr<const Node> right;

  // Match: one step of the path per member, what each step is, and the type it all leads to.
  enum class Step { Field, List, Key };
  std::vector<std::string> path;
  std::vector<Step> steps;
  FilterType type = FilterType::String;
  Op op = Op::Equal;
  std::string text;
  std::int64_t integer = 0;
  bool boolean = false;
  std::shared_ptr<const re2::RE2> regex;
};

namespace {

using Node = Filter::Node;
using NodePtr = std::shared_ptr<const Node>;

// What stands left or right of an operator before we know which of the two it is.
struct Term {
  std::string text;
  std::vector<std::string> path;  // not empty: may be a selector
};

class Parser {
 public:
  Parser(std::string_view text, const FilterSchema& schema) : text_(text), schema_(schema) {}

  Result<NodePtr> parse() {
    auto root = parse_or(0);
    if (!root) return root;
    skip_space();
    if (at_ < text_.size()) return syntax("an operator or the end");
    return root;
  }

 private:
  Error syntax(std::string_view expected) const {
    return fail(ErrorCode::InvalidArgument,
                std::string(kPrefix) + "1:" + std::to_string(at_ + 1) + " (" + std::to_string(at_) +
                    "): no match found, expected: " + std::string(expected));
  }
  static Error invalid(std::string message) {
    return fail(ErrorCode::InvalidArgument, std::string(kPrefix) + std::move(message));
  }

  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }
  static bool word_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  }
  // Takes `word` if it stands here as a whole word.
  bool take_word(std::string_view word) {
    skip_space();
    if (text_.substr(at_, word.size()) != word) return false;
    const std::size_t after = at_ + word.size();
    if (after < text_.size() && word_char(text_[after])) return false;
    at_ = after;
    return true;
  }
  bool take(std::string_view symbol) {
    skip_space();
    if (text_.substr(at_, symbol.size()) != symbol) return false;
    at_ += symbol.size();
    return true;
  }

  Result<NodePtr> parse_or(int depth) { return parse_chain(depth, "or", Node::Kind::Or); }

  // left ("and" left)* and the same for "or", which binds less.
  Result<NodePtr> parse_chain(int depth, std::string_view word, Node::Kind kind) {
    auto left =
        kind == Node::Kind::Or ? parse_chain(depth, "and", Node::Kind::And) : parse_not(depth);
    while (left && take_word(word)) {
      auto right =
          kind == Node::Kind::Or ? parse_chain(depth, "and", Node::Kind::And) : parse_not(depth);
      if (!right) return right;
      auto node = std::make_shared<Node>();
      node->kind = kind;
      node->left = std::move(*left);
      node->right = std::move(*right);
      left = NodePtr(std::move(node));
    }
    return left;
  }

  Result<NodePtr> parse_not(int depth) {
    if (depth > kMaxDepth) return invalid("too deeply nested");
    if (take_word("not")) {
      auto inner = parse_not(depth + 1);
      if (!inner) return inner;
      auto node = std::make_shared<Node>();
      node->kind = Node::Kind::Not;
      node->left = std::move(*inner);
      return NodePtr(std::move(node));
    }
    if (take("(")) {
      auto inner = parse_or(depth + 1);
      if (!inner) return inner;
      if (!take(")")) return syntax("\")\"");
      return inner;
    }
    return parse_match();
  }

  Result<NodePtr> parse_match() {
    auto left = parse_term();
    if (!left) return left.error();
    if (take("==")) return compare(*left, Op::Equal);
    if (take("!=")) return compare(*left, Op::NotEqual);
    if (take_word("in")) return reversed(*left, Op::In);
    if (take_word("contains")) return compare(*left, Op::In);
    if (take_word("matches")) return compare(*left, Op::Matches);
    if (take_word("is")) {
      const bool negated = take_word("not");
      if (!take_word("empty")) return syntax("\"empty\"");
      return build(*left, negated ? Op::NotEmpty : Op::Empty, {});
    }
    if (take_word("not")) {
      if (take_word("in")) return reversed(*left, Op::NotIn);
      if (take_word("contains")) return compare(*left, Op::NotIn);
      if (take_word("matches")) return compare(*left, Op::NotMatches);
      return syntax("\"in\", \"contains\" or \"matches\"");
    }
    return syntax("an operator");
  }

  Result<NodePtr> compare(const Term& selector, Op op) {
    auto value = parse_term();
    if (!value) return value.error();
    return build(selector, op, std::move(value->text));
  }
  Result<NodePtr> reversed(const Term& value, Op op) {
    auto selector = parse_term();
    if (!selector) return selector.error();
    return build(*selector, op, value.text);
  }

  Result<Term> parse_term() {
    skip_space();
    if (at_ >= text_.size()) return syntax("a selector or value");
    const char c = text_[at_];
    if (c == '"' || c == '`') {
      auto text = parse_string();
      if (!text) return text.error();
      return Term{std::move(*text), {}};
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-') return parse_number();
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) return parse_selector();
    return syntax("a selector or value");
  }

  Result<Term> parse_number() {
    const std::size_t begin = at_++;
    while (at_ < text_.size() &&
           (std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '.')) {
      ++at_;
    }
    if (at_ < text_.size() && word_char(text_[at_])) return syntax("a number");
    return Term{std::string(text_.substr(begin, at_ - begin)), {}};
  }

  Result<std::string> parse_string() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      // Inside "..." a backslash escapes the quote and itself; anything else keeps it, so that
      // regular expressions need no doubling.
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size() &&
          (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\')) {
        ++at_;
      }
      out.push_back(text_[at_++]);
    }
    if (at_ >= text_.size()) return syntax("the closing quote");
    ++at_;
    return out;
  }

  Result<Term> parse_selector() {
    Term term;
    const std::size_t begin = at_;
    term.path.push_back(take_identifier());
    while (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == '[')) {
      if (text_[at_] == '.') {
        ++at_;
        if (at_ >= text_.size() || !word_char(text_[at_])) return syntax("[a-zA-Z0-9_]");
        term.path.push_back(take_identifier());
        continue;
      }
      ++at_;
      if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '`')) {
        return syntax("a quoted key");
      }
      auto key = parse_string();
      if (!key) return key.error();
      if (at_ >= text_.size() || text_[at_] != ']') return syntax("\"]\"");
      ++at_;
      term.path.push_back(std::move(*key));
    }
    term.text = std::string(text_.substr(begin, at_ - begin));
    return term;
  }
  std::string take_identifier() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && word_char(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  // Fills in what each step is and the type the path leads to; false: no such path.
  bool resolve(Node& node) const {
    const std::vector<FilterField>* fields = &schema_;
    FilterType type = FilterType::Object;
    for (const auto& name : node.path) {
      if (type == FilterType::StringMap || type == FilterType::ObjectMap) {
        node.steps.push_back(Node::Step::Key);
        type = type == FilterType::StringMap ? FilterType::String : FilterType::Object;
        continue;
      }
      if (type != FilterType::Object && type != FilterType::ObjectList) return false;
      const FilterField* found = nullptr;
      for (const auto& field : *fields) {
        if (field.name == name) found = &field;
      }
      if (found == nullptr) return false;
      type = found->type;
      fields = &found->fields;
      node.steps.push_back(type == FilterType::ObjectList ? Node::Step::List : Node::Step::Field);
    }
    node.type = type;
    return true;
  }

  static bool supports(FilterType type, Op op) {
    switch (type) {
      case FilterType::String:
        return true;
      case FilterType::Integer:
      case FilterType::Bool:
        return op == Op::Equal || op == Op::NotEqual;
      case FilterType::StringList:
      case FilterType::StringMap:
      case FilterType::ObjectMap:
        return op == Op::In || op == Op::NotIn || op == Op::Empty || op == Op::NotEmpty;
      case FilterType::ObjectList:
        return op == Op::Empty || op == Op::NotEmpty;
      case FilterType::Object:
        return false;
    }
    return false;
  }

  Result<NodePtr> build(const Term& selector, Op op, std::string value) {
    if (selector.path.empty()) return syntax("a selector");
    auto node = std::make_shared<Node>();
    node->path = selector.path;
    node->op = op;
    if (!resolve(*node)) return invalid("Selector \"" + selector.text + "\" is not valid");
    if (!supports(node->type, op)) {
      return invalid("Invalid match operator for selector \"" + selector.text + "\"");
    }
    if (auto done = coerce(*node, selector.text, value); !done) return done.error();
    node->text = std::move(value);
    return NodePtr(std::move(node));
  }

  static Result<void> coerce(Node& node, const std::string& selector, const std::string& value) {
    const auto bad = [&](std::string_view call) {
      return invalid("Failed to coerce value \"" + value + "\" for selector \"" + selector +
                     "\": strconv." + std::string(call) + ": parsing \"" + value +
                     "\": invalid syntax");
    };
    if (node.op == Op::Matches || node.op == Op::NotMatches) {
      re2::RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(1 << 20);
      auto regex = std::make_shared<re2::RE2>(value, options);
      if (!regex->ok()) {
        return invalid("Failed to compile regular expression \"" + value +
                       "\": error parsing regexp: " + regex->error());
      }
      node.regex = std::move(regex);
    } else if (node.type == FilterType::Integer) {
      const auto* end = value.data() + value.size();
      auto [stop, error] = std::from_chars(value.data(), end, node.integer);
      if (error != std::errc() || stop != end) return bad("ParseInt");
    } else if (node.type == FilterType::Bool) {
      const bool yes = value == "true" || value == "1" || value == "t" || value == "T" ||
                       value == "TRUE" || value == "True";
      const bool no = value == "false" || value == "0" || value == "f" || value == "F" ||
                      value == "FALSE" || value == "False";
      if (!yes && !no) return bad("ParseBool");
      node.boolean = yes;
    }
    return {};
  }

  std::string_view text_;
  const FilterSchema& schema_;
  std::size_t at_ = 0;
};

// ---- evaluation --------------------------------------------------------------------------------

bool match_string(const Node& node, std::string_view value) {
  switch (node.op) {
    case Op::Equal:
      return value == node.text;
    case Op::NotEqual:
      return value != node.text;
    case Op::In:
      return value.find(node.text) != std::string_view::npos;
    case Op::NotIn:
      return value.find(node.text) == std::string_view::npos;
    case Op::Matches:
      return re2::RE2::PartialMatch({value.data(), value.size()}, *node.regex);
    case Op::NotMatches:
      return !re2::RE2::PartialMatch({value.data(), value.size()}, *node.regex);
    case Op::Empty:
      return value.empty();
    case Op::NotEmpty:
      return !value.empty();
  }
  return false;
}

std::size_t size_of(const json::value& value) {
  if (value.is_array()) return value.get_array().size();
  if (value.is_object()) return value.get_object().size();
  return 0;
}

bool holds(const Node& node, const json::value& value) {
  if (value.is_array()) {
    for (const auto& item : value.get_array()) {
      if (item.is_string() && std::string_view(item.get_string()) == node.text) return true;
    }
    return false;
  }
  return value.is_object() && value.get_object().if_contains(node.text) != nullptr;
}

// The value a path leads to, compared. `value` may be null: absent.
bool match_leaf(const Node& node, const json::value& value) {
  const bool equal_op = node.op == Op::Equal;
  switch (node.type) {
    case FilterType::String:
      return match_string(node, value.is_string() ? std::string_view(value.get_string()) : "");
    case FilterType::Integer: {
      boost::system::error_code error;
      const auto number = value.is_number() ? value.to_number<std::int64_t>(error) : 0;
      return (number == node.integer) == equal_op;
    }
    case FilterType::Bool:
      return ((value.is_bool() && value.get_bool()) == node.boolean) == equal_op;
    default:
      break;
  }
  if (node.op == Op::Empty) return size_of(value) == 0;
  if (node.op == Op::NotEmpty) return size_of(value) != 0;
  return holds(node, value) == (node.op == Op::In);
}

// The path ends early. A key that a map does not have: nothing equals it, everything differs from
// it. No element of a list: nothing holds. A field that is not shown: its empty value.
bool match_absent(const Node& node, std::size_t step) {
  static const json::value kAbsent;
  for (; step < node.path.size(); ++step) {
    if (node.steps[step] == Node::Step::Key) return is_negative(node.op);
    if (node.steps[step] == Node::Step::List && step + 1 < node.path.size()) return false;
  }
  return match_leaf(node, kAbsent);
}

bool match_path(const Node& node, std::size_t step, const json::value& value) {
  if (step == node.path.size()) return match_leaf(node, value);
  if (value.is_array()) {
    for (const auto& item : value.get_array()) {
      if (match_path(node, step, item)) return true;
    }
    return false;
  }
  if (value.is_object()) {
    const auto* next = value.get_object().if_contains(node.path[step]);
    if (next != nullptr && !next->is_null()) return match_path(node, step + 1, *next);
  }
  return match_absent(node, step);
}

bool evaluate(const Node& node, const json::value& row) {
  switch (node.kind) {
    case Node::Kind::And:
      return evaluate(*node.left, row) && evaluate(*node.right, row);
    case Node::Kind::Or:
      return evaluate(*node.left, row) || evaluate(*node.right, row);
    case Node::Kind::Not:
      return !evaluate(*node.left, row);
    case Node::Kind::Match:
      return match_path(node, 0, row);
  }
  return false;
}

}  // namespace

Result<Filter> Filter::parse(std::string_view expression, const FilterSchema& schema) {
  if (expression.size() > kMaxLength) {
    return fail(ErrorCode::InvalidArgument,
                std::string(kPrefix) + "the expression is longer than 8192 bytes");
  }
  auto root = Parser(expression, schema).parse();
  if (!root) return root.error();
  return Filter(std::move(*root));
}

bool Filter::matches(const boost::json::value& row) const {
  return evaluate(*root_, row);
}

}  // namespace fyr
