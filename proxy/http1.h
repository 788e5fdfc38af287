// HTTP/1 message heads, strictly (RFC 9112 and the tables of the behaviour specification,
// sections 4 and 5): nothing is accepted that two parsers could frame differently.
//
// Why not Beast: it unfolds, merges and tolerates what must be refused here, and the forwarder
// wants the raw lines back to copy them in runs. Two steps, so that a slow sender costs no
// repeated work: HeadScanner finds the end of a head as bytes arrive (and refuses bare LF and
// excess at once); parse_request_head / parse_response_head then read the complete text.
//
// Pure. Views point into the text given to the parser and live as long as it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace fyr::proxy::http1 {

// Why a message is refused: the status to answer (for a response: 502), the token of
// X-Proxy-Reason and a sentence. All static text.
struct Fault {
  int status = 0;
  std::string_view reason;
  std::string_view text;
};

struct HeadLimits {
  std::size_t request_line = 8 * 1024;
  std::size_t header_bytes = 32 * 1024;  // without the first line
  std::size_t header_count = 100;
};

enum class ScanStatus { NeedMore, Complete, Fault };

// Finds the empty line that ends a head. Feed it the whole text from the first byte each time;
// it remembers how far it has looked.
class HeadScanner {
 public:
  explicit HeadScanner(bool request = true) : request_(request) {}

  ScanStatus scan(std::string_view text, const HeadLimits& limits, Fault& fault);
  // After Complete: the head is text[begin(), end()), its empty line included. begin() skips up to
  // two empty lines that old clients send before a request.
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return scanned_; }
  bool started(std::string_view text) const { return text.size() > begin_; }
  void reset() { *this = HeadScanner(request_); }

 private:
  std::size_t begin_ = 0;
  std::size_t scanned_ = 0;     // everything before has been looked at
  std::size_t line_begin_ = 0;  // of the line being looked at
  std::size_t fields_begin_ = 0;
  std::uint32_t lines_ = 0;
  bool request_ = true;
};

enum class Method : std::uint8_t { Get, Head, Post, Put, Delete, Options, Patch, Other };
enum class BodyKind : std::uint8_t { None, Length, Chunked, UntilClose };

// Names the forwarder must know; everything else passes as it is.
enum class FieldName : std::uint8_t {
  Other,
  Connection,
  ContentLength,
  Expect,
  Host,
  KeepAlive,
  ProxyAuthorization,
  ProxyConnection,
  Te,
  Trailer,
  TransferEncoding,
  Upgrade,
  Via,
  XForwardedFor,
};

struct Field {
  std::string_view line;  // as received, CRLF included
  std::string_view name;
  std::string_view value;  // without surrounding blanks
  FieldName id = FieldName::Other;
};

// What both kinds of message share. Reused from message to message: no allocation once warm.
struct Head {
  std::vector<Field> fields;
  std::vector<std::string_view> nominated;  // by Connection, without close and keep-alive
  BodyKind body = BodyKind::None;
  std::uint64_t content_length = 0;
  int minor = 1;            // HTTP/1.minor; 1.2 to 1.9 count as 1.1
  bool close = false;       // Connection: close
  bool keep_alive = false;  // Connection: keep-alive

  // Must the connection end after this message?
  bool persistent() const { return minor == 0 ? keep_alive && !close : !close; }
  void clear();
};

struct RequestHead : Head {
  std::string_view line;  // without CRLF
  Method method = Method::Get;
  std::string_view method_text;
  std::string_view target;  // as received
  std::string_view path;    // origin-form, "*" for OPTIONS
  bool empty_path = false;  // absolute-form without a path: a "/" goes before `path`
  std::string_view host;    // of the field or the target; empty only in HTTP/1.0
  bool host_field = false;  // HTTP/1.0 may come without
  bool expect_continue = false;
  bool te_trailers = false;
  void clear();
};

struct ResponseHead : Head {
  int status = 0;
  std::string_view reason;
};

// `text` is a complete head. False: see `fault`; nothing of it may be forwarded.
bool parse_request_head(std::string_view text, const HeadLimits& limits, RequestHead& out,
                        Fault& fault);
// `request_method` decides whether there is a body. Fault.status is always 502.
bool parse_response_head(std::string_view text, const HeadLimits& limits, Method request_method,
                         ResponseHead& out, Fault& fault);
// The first line alone (without CRLF), so that nonsense is refused before the head is complete.
bool parse_request_line(std::string_view line, RequestHead& out, Fault& fault);

// One field line without CRLF; used for trailers too. Null text if it is well formed.
const char* parse_field_line(std::string_view line, Field& out);
FieldName field_name(std::string_view name);
// Replaying it cannot change anything twice (RFC 9110 section 9.2.2).
bool is_idempotent(Method method);
// Names a Connection field cannot take away (specification, section 4).
bool is_end_to_end(std::string_view name);
// Names that mean nothing, or too much, after the body.
bool is_forbidden_trailer(std::string_view name);

bool iequals(std::string_view a, std::string_view b);  // ASCII only
// The value of one cookie in a Cookie field (RFC 6265 section 4.2.1); the first if it is repeated.
std::optional<std::string_view> cookie(std::string_view field, std::string_view name);
// Calls `f(element)` for each non-empty element of a comma-separated list, blanks trimmed.
template <class F>
void for_each_element(std::string_view list, F&& f) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
      element.remove_prefix(1);
    }
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
      element.remove_suffix(1);
    }
    if (!element.empty()) f(element);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace fyr::proxy::http1
