// Complete heads: request and status line, fields, and the framing they add up to.
#include <cstring>
#include <limits>
#include <optional>

#include "proxy/http1.h"
#include "proxy/http1_bytes.h"

namespace fyr::proxy::http1 {
namespace {

// Digits only, at most 2^63 - 1: larger lengths overflow somewhere behind us.
std::optional<std::uint64_t> parse_length(std::string_view text) {
  if (text.empty() || text.size() > 19 || !all(text, kDigit)) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return value;
}

bool is_known_coding(std::string_view name) {
  return iequals(name, "gzip") || iequals(name, "x-gzip") || iequals(name, "deflate") ||
         iequals(name, "compress") || iequals(name, "x-compress") || iequals(name, "br") ||
         iequals(name, "identity");
}

// RFC 9110 section 7.2 with the authority rules of RFC 3986: a name or address, perhaps a port.
bool is_valid_host(std::string_view host) {
  if (host.empty()) return false;
  std::string_view port;
  if (host.front() == '[') {
    const auto close = host.find(']');
    if (close == std::string_view::npos || close < 2) return false;
    for (const char c : host.substr(1, close - 1)) {
      if (!is(c, kToken) && c != ':') return false;
    }
    port = host.substr(close + 1);
  } else {
    const auto colon = host.find(':');
    const auto name = host.substr(0, colon);
    if (name.empty() || !all(name, kHost)) return false;
    if (colon == std::string_view::npos) return true;
    port = host.substr(colon);
  }
  if (port.empty()) return true;
  if (port.front() != ':') return false;
  port.remove_prefix(1);
  if (port.size() > 5 || !all(port, kDigit)) return false;
  return port.empty() || parse_length(port).value_or(65536) <= 65535;
}

// Facts about framing collected while the fields pass by.
struct Framing {
  std::optional<std::uint64_t> length;
  bool bad_length = false;
  bool unequal_length = false;
  int encodings = 0;  // Transfer-Encoding fields
  std::string_view encoding;
};

void note_length(Framing& framing, std::string_view value) {
  if (value.empty()) framing.bad_length = true;
  // A list of equal numbers is one number (RFC 9112 section 6.3); empty elements are not.
  std::size_t at = 0;
  while (at <= value.size()) {
    auto comma = value.find(',', at);
    if (comma == std::string_view::npos) comma = value.size();
    const auto number = parse_length(trim(value.substr(at, comma - at)));
    at = comma + 1;
    if (!number) {
      framing.bad_length = true;
      return;
    }
    if (framing.length && *framing.length != *number) framing.unequal_length = true;
    framing.length = number;
  }
}

void note_connection(Head& head, std::string_view value) {
  for_each_element(value, [&](std::string_view token) {
    if (iequals(token, "close")) {
      head.close = true;
    } else if (iequals(token, "keep-alive")) {
      head.keep_alive = true;
    } else {
      head.nominated.push_back(token);
    }
  });
}

// Splits text[at...] into field lines. Returns false with `fault` text; the empty line is last.
bool parse_fields(std::string_view text, std::size_t at, const HeadLimits& limits, Head& head,
                  Framing& framing, Fault& fault) {
  while (true) {
    const auto* lf =
        static_cast<const char*>(std::memchr(text.data() + at, '\n', text.size() - at));
    if (lf == nullptr) return refuse(fault, 400, "bad_request", "incomplete head");
    const auto end = static_cast<std::size_t>(lf - text.data());
    if (end == at || text[end - 1] != '\r') {
      return refuse(fault, 400, "bad_request", "line ends without CR");
    }
    const auto line = text.substr(at, end - 1 - at);
    if (line.empty()) return true;
    if (head.fields.size() >= limits.header_count) {
      return refuse(fault, 431, "header_count", "too many header fields");
    }
    Field& field = head.fields.emplace_back();
    if (const char* problem = parse_field_line(line, field)) {
      return refuse(fault, 400, "bad_request", problem);
    }
    field.line = text.substr(at, end + 1 - at);
    switch (field.id) {
      case FieldName::ContentLength:
        note_length(framing, field.value);
        break;
      case FieldName::TransferEncoding:
        ++framing.encodings;
        framing.encoding = field.value;
        break;
      case FieldName::Connection:
        note_connection(head, field.value);
        break;
      default:
        break;
    }
    at = end + 1;
  }
}

// Transfer-Encoding must be exactly "chunked", once.
bool check_encoding(const Framing& framing, Fault& fault) {
  if (framing.encodings > 1) {
    return refuse(fault, 400, "framing", "Transfer-Encoding given more than once");
  }
  if (iequals(framing.encoding, "chunked")) return true;
  std::string_view last;
  bool others_known = true;
  int chunked = 0;
  int count = 0;
  for_each_element(framing.encoding, [&](std::string_view coding) {
    ++count;
    if (iequals(last, "chunked") || (count > 1 && !is_known_coding(last))) others_known = false;
    if (iequals(coding, "chunked")) ++chunked;
    last = coding;
  });
  if (count > 1 && chunked == 1 && iequals(last, "chunked") && others_known) {
    return refuse(fault, 501, "framing", "transfer coding not supported");
  }
  return refuse(fault, 400, "framing", "Transfer-Encoding is not \"chunked\"");
}

bool settle_framing(const Framing& framing, Head& head, Fault& fault) {
  if (framing.encodings > 0) {
    if (framing.length || framing.bad_length) {
      return refuse(fault, 400, "framing", "Content-Length and Transfer-Encoding together");
    }
    if (head.minor == 0) return refuse(fault, 400, "framing", "Transfer-Encoding in HTTP/1.0");
    if (!check_encoding(framing, fault)) return false;
    head.body = BodyKind::Chunked;
    return true;
  }
  if (framing.bad_length) return refuse(fault, 400, "framing", "Content-Length is not a number");
  if (framing.unequal_length) {
    return refuse(fault, 400, "framing", "Content-Length given twice with different values");
  }
  if (framing.length) {
    head.body = BodyKind::Length;
    head.content_length = *framing.length;
  }
  return true;
}

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::Get;
      if (text == "PUT") return Method::Put;
      break;
    case 4:
      if (text == "HEAD") return Method::Head;
      if (text == "POST") return Method::Post;
      break;
    case 5:
      if (text == "PATCH") return Method::Patch;
      break;
    case 6:
      if (text == "DELETE") return Method::Delete;
      break;
    case 7:
      if (text == "OPTIONS") return Method::Options;
      break;
    default:
      break;
  }
  return Method::Other;
}

// "HTTP/1.1" -> true, minor; otherwise the fault a request gets.
bool parse_version(std::string_view text, int& minor, Fault& fault) {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is(text[5], kDigit) || text[6] != '.' ||
      !is(text[7], kDigit)) {
    return refuse(fault, 400, "bad_request", "malformed HTTP version");
  }
  if (text[5] == '0') return refuse(fault, 400, "bad_request", "HTTP/0.9 is not supported");
  if (text[5] != '1') return refuse(fault, 505, "bad_request", "HTTP version not supported");
  minor = text[7] == '0' ? 0 : 1;
  return true;
}

// Origin-form of the target; for the absolute form the authority too.
bool split_target(RequestHead& head, std::string_view& authority, Fault& fault) {
  const auto target = head.target;
  if (target.front() == '/') {
    head.path = target;
    return true;
  }
  if (target == "*") {
    if (head.method != Method::Options) {
      return refuse(fault, 400, "bad_request", "* is for OPTIONS only");
    }
    head.path = target;
    return true;
  }
  std::size_t scheme = 0;
  if (istarts_with(target, "http://")) scheme = 7;
  if (istarts_with(target, "https://")) scheme = 8;
  if (scheme == 0) return refuse(fault, 400, "bad_request", "malformed request target");
  const auto rest = target.substr(scheme);
  const auto end = rest.find_first_of("/?");
  authority = rest.substr(0, end);
  head.path = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  head.empty_path = head.path.empty() || head.path.front() == '?';
  if (head.empty_path && head.path.empty() && head.method == Method::Options) {
    head.path = "*";
    head.empty_path = false;
  }
  if (!is_valid_host(authority)) return refuse(fault, 400, "host", "invalid host in target");
  return true;
}

bool same_authority(std::string_view a, std::string_view b) {
  const auto without_default = [](std::string_view text) {
    return text.ends_with(":80") ? text.substr(0, text.size() - 3) : text;
  };
  return iequals(without_default(a), without_default(b));
}

bool check_host(RequestHead& head, std::string_view authority, Fault& fault) {
  int hosts = 0;
  for (const Field& field : head.fields) {
    if (field.id != FieldName::Host) continue;
    ++hosts;
    head.host = field.value;
  }
  if (hosts > 1) return refuse(fault, 400, "host", "Host given more than once");
  if (hosts == 0) {
    if (head.minor > 0) return refuse(fault, 400, "host", "Host is missing");
    head.host = authority;
    return true;
  }
  head.host_field = true;
  if (!is_valid_host(head.host)) return refuse(fault, 400, "host", "invalid Host");
  if (!authority.empty() && !same_authority(authority, head.host)) {
    return refuse(fault, 400, "host", "Host differs from the request target");
  }
  return true;
}

bool check_expect(RequestHead& head, Fault& fault) {
  for (const Field& field : head.fields) {
    if (field.id == FieldName::Expect) {
      if (!iequals(field.value, "100-continue")) {
        return refuse(fault, 417, "bad_request", "expectation not supported");
      }
      head.expect_continue = head.minor > 0;  // RFC 9110 section 10.1.1: ignored in 1.0
    } else if (field.id == FieldName::Te) {
      for_each_element(field.value, [&](std::string_view coding) {
        if (iequals(coding, "trailers")) head.te_trailers = true;
      });
    }
  }
  return true;
}

}  // namespace

void Head::clear() {
  fields.clear();
  nominated.clear();
  body = BodyKind::None;
  content_length = 0;
  minor = 1;
  close = false;
  keep_alive = false;
}

void RequestHead::clear() {
  Head::clear();
  line = method_text = target = path = host = {};
  method = Method::Get;
  empty_path = host_field = expect_continue = te_trailers = false;
}

bool parse_request_line(std::string_view line, RequestHead& out, Fault& fault) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos || first == 0 || !all(line.substr(0, first), kToken)) {
    return refuse(fault, 400, "bad_request", "malformed request line");
  }
  const auto second = line.find(' ', first + 1);
  if (second == std::string_view::npos || second == first + 1) {
    return refuse(fault, 400, "bad_request", "malformed request line");
  }
  out.line = line;
  out.method_text = line.substr(0, first);
  out.target = line.substr(first + 1, second - first - 1);
  if (!all(out.target, kTarget)) {
    return refuse(fault, 400, "bad_request", "invalid byte in the request target");
  }
  if (!parse_version(line.substr(second + 1), out.minor, fault)) return false;
  if (out.method_text == "CONNECT" || out.method_text == "TRACE") {
    return refuse(fault, 405, "bad_request", "method not allowed");
  }
  out.method = method_of(out.method_text);
  return true;
}

bool parse_request_head(std::string_view text, const HeadLimits& limits, RequestHead& out,
                        Fault& fault) {
  out.clear();
  const auto end = text.find("\r\n");
  if (end == std::string_view::npos) {
    return refuse(fault, 400, "bad_request", "incomplete head");
  }
  if (!parse_request_line(text.substr(0, end), out, fault)) return false;
  std::string_view authority;
  if (!split_target(out, authority, fault)) return false;
  Framing framing;
  return parse_fields(text, end + 2, limits, out, framing, fault) &&
         check_host(out, authority, fault) && settle_framing(framing, out, fault) &&
         check_expect(out, fault);
}

bool parse_response_head(std::string_view text, const HeadLimits& limits, Method request_method,
                         ResponseHead& out, Fault& fault) {
  out.Head::clear();
  const auto bad = [&](std::string_view sentence) {
    return refuse(fault, 502, "bad_response", sentence);
  };
  const auto end = text.find("\r\n");
  if (end == std::string_view::npos || end < 12) return bad("malformed status line");
  const auto line = text.substr(0, end);
  if (!parse_version(line.substr(0, 8), out.minor, fault)) return bad(fault.text);
  if (line[8] != ' ' || !all(line.substr(9, 3), kDigit) || (end > 12 && line[12] != ' ') ||
      !all(line, kValue)) {
    return bad("malformed status line");
  }
  out.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (out.status < 100 || out.status > 599) return bad("status out of range");
  out.reason = end > 13 ? line.substr(13) : std::string_view();
  Framing framing;
  if (!parse_fields(text, end + 2, limits, out, framing, fault) ||
      !settle_framing(framing, out, fault)) {
    return bad(fault.text);
  }
  const bool bodiless =
      request_method == Method::Head || out.status < 200 || out.status == 204 || out.status == 304;
  if (bodiless) {
    out.body = BodyKind::None;
  } else if (out.body == BodyKind::None) {
    out.body = BodyKind::UntilClose;
  }
  return true;
}

}  // namespace fyr::proxy::http1
