#include "base/json_syntax.h"

namespace fyr {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string quoted(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == '\'') return "'\\''";
  if (c == '\\') return "'\\\\'";
  if (c == '\n') return "'\\n'";
  if (c == '\r') return "'\\r'";
  if (c == '\t') return "'\\t'";
  if (byte < 0x20 || byte == 0x7f) {
    return std::string("'\\x") + "0123456789abcdef"[byte >> 4] + "0123456789abcdef"[byte & 15] +
           "'";
  }
  if (byte < 0x80) return std::string("'") + c + "'";
  // Go takes the byte for a code point.
  return std::string("'") + static_cast<char>(0xc0 | byte >> 6) +
         static_cast<char>(0x80 | (byte & 0x3f)) + "'";
}

// Recursive descent; each function returns false after setting the reason.
class Scanner {
 public:
  Scanner(std::string_view text, std::size_t max_depth) : rest_(text), max_depth_(max_depth) {}

  std::string run() {
    skip_blanks();
    if (rest_.empty()) return "EOF";
    if (!value(0)) return reason_;
    skip_blanks();
    if (!rest_.empty()) unexpected("after top-level value");
    return reason_;
  }

 private:
  void skip_blanks() {
    while (!rest_.empty() && is_blank(rest_[0])) rest_.remove_prefix(1);
  }
  bool unexpected(const std::string& where) {
    reason_ =
        rest_.empty() ? "unexpected EOF" : "invalid character " + quoted(rest_[0]) + " " + where;
    return false;
  }
  bool next_is(char c) const { return !rest_.empty() && rest_[0] == c; }
  bool next_is_digit() const { return !rest_.empty() && is_digit(rest_[0]); }
  bool take(char c) {
    if (!next_is(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool value(std::size_t depth) {
    if (depth > max_depth_) {
      reason_ = "exceeded max depth";
      return false;
    }
    skip_blanks();
    if (take('{')) return object(depth);
    if (take('[')) return array(depth);
    if (take('"')) return string();
    if (next_is('t')) return literal("true");
    if (next_is('f')) return literal("false");
    if (next_is('n')) return literal("null");
    if (next_is('-') || next_is_digit()) return number();
    return unexpected("looking for beginning of value");
  }

  bool object(std::size_t depth) {
    skip_blanks();
    if (take('}')) return true;
    for (;;) {
      skip_blanks();
      if (!take('"')) return unexpected("looking for beginning of object key string");
      if (!string()) return false;
      skip_blanks();
      if (!take(':')) return unexpected("after object key");
      if (!value(depth + 1)) return false;
      skip_blanks();
      if (take('}')) return true;
      if (!take(',')) return unexpected("after object key:value pair");
    }
  }

  bool array(std::size_t depth) {
    skip_blanks();
    if (take(']')) return true;
    for (;;) {
      if (!value(depth + 1)) return false;
      skip_blanks();
      if (take(']')) return true;
      if (!take(',')) return unexpected("after array element");
    }
  }

  bool string() {
    for (;;) {
      if (take('"')) return true;
      if (rest_.empty() || static_cast<unsigned char>(rest_[0]) < 0x20) {
        return unexpected("in string literal");
      }
      if (!take('\\')) {
        rest_.remove_prefix(1);
        continue;
      }
      if (take('u')) {
        for (int i = 0; i < 4; ++i) {
          if (rest_.empty() || !is_hex(rest_[0])) {
            return unexpected("in \\u hexadecimal character escape");
          }
          rest_.remove_prefix(1);
        }
      } else if (!rest_.empty() &&
                 std::string_view("\"\\/bfnrt").find(rest_[0]) != std::string_view::npos) {
        rest_.remove_prefix(1);
      } else {
        return unexpected("in string escape code");
      }
    }
  }

  bool literal(std::string_view word) {
    for (const char c : word) {
      if (!take(c)) {
        return unexpected("in literal " + std::string(word) + " (expecting " + quoted(c) + ")");
      }
    }
    return true;
  }

  bool digits(const std::string& where) {
    if (!next_is_digit()) return unexpected(where);
    while (next_is_digit()) rest_.remove_prefix(1);
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits("in numeric literal")) return false;
    if (take('.') && !digits("after decimal point in numeric literal")) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits("in exponent of numeric literal");
    }
    return true;
  }

  std::string_view rest_;
  std::size_t max_depth_;
  std::string reason_;
};

}  // namespace

std::string describe_json_syntax_error(std::string_view text, std::size_t max_depth) {
  return Scanner(text, max_depth).run();
}

}  // namespace fyr
