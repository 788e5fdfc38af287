#include "base/io/http_codec.h"

#include <array>
#include <charconv>
#include <ctime>

#include "base/bytes.h"

namespace fyr::io {
namespace {

constexpr std::size_t kMaxHeaders = 256;
constexpr std::size_t kMaxMethod = 32;
constexpr std::size_t kMaxChunkLine = 1024;
constexpr std::size_t kMaxTrailers = 8192;

// Character classes of RFC 9110 section 5.6.2 and 5.5.
enum : std::uint8_t { kToken = 1, kValue = 2, kTarget = 4 };
constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0x21; c < 256; ++c) {
    if (c != 0x7f) classes[c] = kValue | kTarget;
  }
  classes[' '] = kValue;
  classes['\t'] = kValue;
  for (unsigned c = '0'; c <= '9'; ++c) classes[c] |= kToken;
  for (unsigned c = 'a'; c <= 'z'; ++c) classes[c] |= kToken;
  for (unsigned c = 'A'; c <= 'Z'; ++c) classes[c] |= kToken;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
    classes[static_cast<unsigned char>(c)] |= kToken;
  }
  return classes;
}
constexpr auto kClasses = make_classes();

bool all_are(std::string_view text, std::uint8_t kind) {
  for (const char c : text) {
    if ((kClasses[static_cast<unsigned char>(c)] & kind) == 0) return false;
  }
  return true;
}

bool is_token(std::string_view text) {
  return !text.empty() && all_are(text, kToken);
}

// The next line without its CRLF; false if it ends otherwise.
bool take_line(std::string_view& rest, std::string_view& line) {
  const auto end = rest.find('\n');
  if (end == std::string_view::npos || end == 0 || rest[end - 1] != '\r') return false;
  line = rest.substr(0, end - 1);
  rest.remove_prefix(end + 1);
  return true;
}

// Whether a comma-separated list has `token`.
bool list_has(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (equals_ignoring_case(trim(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// The few headers that frame a message; collected while lines are read.
struct FramingHeaders {
  int hosts = 0;
  bool transfer_encoding = false;
  bool close = false;
  bool keep_alive = false;
};

HttpFault note_length(std::string_view value, HttpFraming& framing) {
  std::uint64_t length = 0;
  const auto* end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, length);
  if (value.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
    return {400, "Content-Length must be a number"};
  }
  if (framing.content_length && *framing.content_length != length) {
    return {400, "Content-Length given twice with different values"};
  }
  framing.content_length = length;
  return {};
}

HttpFault note_header(std::string_view name, std::string_view value, FramingHeaders& seen,
                      HttpFraming& framing) {
  switch (name.size()) {
    case 4:
      if (equals_ignoring_case(name, "host")) ++seen.hosts;
      break;
    case 6:
      if (equals_ignoring_case(name, "expect")) {
        if (!equals_ignoring_case(value, "100-continue")) return {417, "unknown expectation"};
        framing.expect_continue = true;
      }
      break;
    case 10:
      if (equals_ignoring_case(name, "connection")) {
        seen.close = seen.close || list_has(value, "close");
        seen.keep_alive = seen.keep_alive || list_has(value, "keep-alive");
      }
      break;
    case 14:
      if (equals_ignoring_case(name, "content-length")) return note_length(value, framing);
      break;
    case 17:
      if (equals_ignoring_case(name, "transfer-encoding")) {
        if (seen.transfer_encoding) return {400, "Transfer-Encoding given twice"};
        seen.transfer_encoding = true;
        if (!equals_ignoring_case(value, "chunked")) return {501, "unknown transfer encoding"};
        framing.chunked = true;
      }
      break;
    default:
      break;
  }
  return {};
}

HttpFault parse_headers(std::string_view rest, HttpHeaders& headers, FramingHeaders& seen,
                        HttpFraming& framing) {
  headers.reserve(8);
  for (;;) {
    std::string_view line;
    if (!take_line(rest, line)) return {400, "header line does not end with CR LF"};
    if (line.empty()) break;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return {400, "header line without colon"};
    const auto name = line.substr(0, colon);
    const auto value = trim(line.substr(colon + 1));
    if (!is_token(name)) return {400, "malformed header name"};
    if (!all_are(value, kValue)) return {400, "malformed header value"};
    if (headers.size() >= kMaxHeaders) return {431, "too many headers"};
    if (const auto fault = note_header(name, value, seen, framing)) return fault;
    headers.emplace_back(name, value);
  }
  if (framing.chunked && framing.content_length) {
    return {400, "both Content-Length and Transfer-Encoding"};
  }
  framing.keep_alive = framing.http10 ? seen.keep_alive && !seen.close : !seen.close;
  return {};
}

// "HTTP/1.1" and relatives.
HttpFault parse_version(std::string_view text, HttpFraming& framing) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || text[6] != '.' || !digit(text[5]) ||
      !digit(text[7])) {
    return {400, "malformed protocol version"};
  }
  if (text[5] != '1') return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  framing.http10 = text[7] == '0';
  return {};
}

// Origin form, absolute form (the authority is dropped, as a server must) or "*".
HttpFault parse_target(std::string_view target, HttpRequest& request) {
  if (target.empty() || !all_are(target, kTarget)) return {400, "malformed request target"};
  if (target[0] != '/' && target != "*") {
    const auto scheme = target.find("://");
    if (scheme == std::string_view::npos || !is_token(target.substr(0, scheme))) {
      return {400, "malformed request target"};
    }
    target.remove_prefix(scheme + 3);
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
  }
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  if (request.path.empty()) request.path = "/";
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  return {};
}

}  // namespace

std::size_t find_head_end(std::string_view data, std::size_t& scanned) {
  // The empty line may be split over two reads: look again at the last three bytes.
  auto from = scanned > 3 ? scanned - 3 : 0;
  for (;;) {
    const auto at = data.find('\n', from);
    if (at == std::string_view::npos) break;
    const auto rest = data.substr(at + 1);
    if (rest.starts_with("\r\n")) return at + 3;
    if (rest.starts_with("\n")) return at + 2;  // refused by the parser, but it is an end
    from = at + 1;
  }
  scanned = data.size();
  return 0;
}

HttpFault parse_request_head(std::string_view head, HttpRequest& request, HttpFraming& framing) {
  std::string_view line;
  if (!take_line(head, line)) return {400, "request line does not end with CR LF"};
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return {400, "malformed request line"};
  const auto method = line.substr(0, first);
  if (!is_token(method) || method.size() > kMaxMethod) return {400, "malformed method"};
  if (const auto fault = parse_version(line.substr(last + 1), framing)) return fault;
  if (const auto fault = parse_target(line.substr(first + 1, last - first - 1), request)) {
    return fault;
  }
  request.method = method;
  FramingHeaders seen;
  if (const auto fault = parse_headers(head, request.headers, seen, framing)) return fault;
  if (seen.hosts > 1) return {400, "more than one Host header"};
  if (!framing.http10 && seen.hosts == 0) return {400, "missing Host header"};
  if (framing.http10 && framing.chunked) return {400, "Transfer-Encoding in an HTTP/1.0 request"};
  if (framing.http10) framing.expect_continue = false;
  return {};
}

HttpFault parse_response_head(std::string_view head, HttpClientResponse& response,
                              HttpFraming& framing) {
  std::string_view line;
  if (!take_line(head, line)) return {502, "status line does not end with CR LF"};
  if (line.size() < 12 || line[8] != ' ') return {502, "malformed status line"};
  if (const auto fault = parse_version(line.substr(0, 8), framing)) return fault;
  const auto digits = line.substr(9, 3);
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), response.status);
  if (parsed.ptr != digits.data() + 3 || response.status < 100) {
    return {502, "malformed status code"};
  }
  if (line.size() > 12 && line[12] != ' ') return {502, "malformed status line"};
  response.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  FramingHeaders seen;
  return parse_headers(head, response.headers, seen, framing);
}

// ---- chunked bodies ----------------------------------------------------------------------------

ChunkedDecoder::State ChunkedDecoder::feed(std::string_view& data, std::string& out) {
  while (!data.empty() && stage_ != Stage::Finished) {
    if (stage_ == Stage::Payload) {
      const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(size_, data.size()));
      out.append(data.substr(0, take));
      data.remove_prefix(take);
      size_ -= take;
      if (size_ == 0) stage_ = Stage::PayloadCr;
      continue;
    }
    if (!step(data[0])) return State::Bad;
    data.remove_prefix(1);
  }
  return stage_ == Stage::Finished ? State::Done : State::More;
}

// One character outside the payload; false: malformed.
bool ChunkedDecoder::step(char c) {
  switch (stage_) {
    case Stage::Size: {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit >= 0) {
        if (size_ >> 56 != 0) return false;
        size_ = size_ << 4 | static_cast<std::uint64_t>(digit);
        any_digit_ = true;
        return ++line_bytes_ <= kMaxChunkLine;
      }
      if (!any_digit_) return false;
      if (c == '\r') {
        stage_ = Stage::SizeEnd;
        return true;
      }
      stage_ = Stage::Extension;
      return c == ';' || c == ' ' || c == '\t';
    }
    case Stage::Extension:
      if (c == '\r') {
        stage_ = Stage::SizeEnd;
        return true;
      }
      return c != '\n' && ++line_bytes_ <= kMaxChunkLine;
    case Stage::SizeEnd:
      line_bytes_ = 0;
      line_empty_ = true;
      after_cr_ = false;
      stage_ = size_ == 0 ? Stage::Trailer : Stage::Payload;
      return c == '\n';
    case Stage::PayloadCr:
      stage_ = Stage::PayloadLf;
      return c == '\r';
    case Stage::PayloadLf:
      stage_ = Stage::Size;
      any_digit_ = false;
      return c == '\n';
    case Stage::Trailer:
      if (++line_bytes_ > kMaxTrailers) return false;
      if (after_cr_) return c == '\n' && end_of_line();
      after_cr_ = c == '\r';
      if (!after_cr_) line_empty_ = false;
      return c != '\n';
    case Stage::Payload:
    case Stage::Finished:
      break;
  }
  return false;
}

bool ChunkedDecoder::end_of_line() {
  if (line_empty_) stage_ = Stage::Finished;
  line_empty_ = true;
  after_cr_ = false;
  return true;
}

// ---- answers -----------------------------------------------------------------------------------

namespace {

struct Reason {
  int status;
  std::string_view phrase;
};
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Request Entity Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Entity"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

}  // namespace

std::string_view reason_phrase(int status) {
  for (const auto& reason : kReasons) {
    if (reason.status == status) return reason.phrase;
  }
  return {};
}

bool status_has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

namespace {

// A line end inside a header would start another header: blanks instead.
void append_header_value(std::string& out, std::string_view value) {
  const auto at = out.size();
  out += value;
  if (value.find_first_of("\r\n") == std::string_view::npos) return;
  for (auto i = at; i < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n') out[i] = ' ';
  }
}

// Headers this server writes itself, whatever the handler says. A Content-Length of the handler
// stays in an answer without a body, as for HEAD.
bool belongs_to_the_connection(std::string_view name, const ResponseFraming& framing) {
  switch (name.size()) {
    case 4:
      return equals_ignoring_case(name, "date");
    case 10:
      return equals_ignoring_case(name, "connection");
    case 14:
      return (framing.content_length || framing.chunked) &&
             equals_ignoring_case(name, "content-length");
    case 17:
      return equals_ignoring_case(name, "transfer-encoding");
    default:
      return false;
  }
}

void append_number(std::string& out, std::size_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

}  // namespace

void append_response_head(std::string& out, const HttpResponse& response,
                          const ResponseFraming& framing, std::string_view date) {
  if (response.status == 200) {
    out += "HTTP/1.1 200 OK\r\n";
  } else {
    out += "HTTP/1.1 ";
    append_number(out, static_cast<std::size_t>(response.status));
    out += ' ';
    out += reason_phrase(response.status);
    out += "\r\n";
  }
  for (const auto& [name, value] : response.headers) {
    if (belongs_to_the_connection(name, framing)) continue;
    append_header_value(out, name);
    out += ": ";
    append_header_value(out, value);
    out += "\r\n";
  }
  out += "Date: ";
  out += date;
  if (framing.content_length) {
    out += "\r\nContent-Length: ";
    append_number(out, *framing.content_length);
  }
  if (framing.chunked) out += "\r\nTransfer-Encoding: chunked";
  if (framing.close) out += "\r\nConnection: close";
  if (framing.say_keep_alive) out += "\r\nConnection: keep-alive";
  out += "\r\n\r\n";
}

std::string format_http_date(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  const std::time_t whole = seconds;
  std::tm fields{};
  gmtime_r(&whole, &fields);
  char text[64];
  // The names are English whatever the locale: the process never calls setlocale.
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &fields)};
}

// ---- the small functions of http_server.h ------------------------------------------------------

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

HttpResponse HttpResponse::text(int status, std::string body) {
  return {status,
          {{"Content-Type", "text/plain; charset=utf-8"}},
          std::make_shared<const std::string>(std::move(body))};
}

HttpResponse HttpResponse::json(std::string body) {
  return {200,
          {{"Content-Type", "application/json"}},
          std::make_shared<const std::string>(std::move(body))};
}

}  // namespace fyr::io
