#include "proxy/http1_write.h"

namespace fyr::proxy::http1 {
namespace {

// Belongs to the connection it came on, whatever Connection says.
bool is_hop_by_hop(FieldName id) {
  switch (id) {
    case FieldName::Connection:
    case FieldName::KeepAlive:
    case FieldName::ProxyConnection:
    case FieldName::ProxyAuthorization:
    case FieldName::Te:
    case FieldName::Upgrade:
    case FieldName::TransferEncoding:
    case FieldName::ContentLength:
      return true;
    default:
      return false;
  }
}

bool is_nominated(const Head& head, const Field& field) {
  for (const auto token : head.nominated) {
    if (iequals(token, field.name)) return !is_end_to_end(field.name);
  }
  return false;
}

// Copies the lines `drop` does not want in runs as long as possible.
template <class Drop>
void append_fields(std::string& out, const Head& head, Drop&& drop) {
  const char* run = nullptr;
  const char* run_end = nullptr;
  for (const Field& field : head.fields) {
    if (drop(field) || (!head.nominated.empty() && is_nominated(head, field))) {
      if (run != nullptr) out.append(run, run_end);
      run = nullptr;
      continue;
    }
    if (run == nullptr) run = field.line.data();
    run_end = field.line.data() + field.line.size();
  }
  if (run != nullptr) out.append(run, run_end);
}

// "Name: all values so far, addition"
void append_list_field(std::string& out, const Head& head, FieldName id, std::string_view name,
                       std::string_view before, std::string_view addition) {
  out += name;
  for (const Field& field : head.fields) {
    if (field.id != id || field.value.empty()) continue;
    out += field.value;
    out += ", ";
  }
  out += before;
  out += addition;
  out += "\r\n";
}

void append_number(std::string& out, std::uint64_t value) {
  char digits[20];
  std::size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  out.append(digits + at, sizeof digits - at);
}

void append_length(std::string& out, std::uint64_t length) {
  out += "Content-Length: ";
  append_number(out, length);
  out += "\r\n";
}

}  // namespace

int count_via(const RequestHead& head, std::string_view pseudonym) {
  int count = 0;
  for (const Field& field : head.fields) {
    if (field.id != FieldName::Via) continue;
    for_each_element(field.value, [&](std::string_view element) {
      const auto blank = element.find(' ');
      if (blank == std::string_view::npos) return;
      auto by = element.substr(blank + 1);
      by = by.substr(0, by.find(' '));
      if (by == pseudonym) ++count;
    });
  }
  return count;
}

void append_request_head(std::string& out, const RequestHead& head, const ForwardOptions& options) {
  out += head.method_text;
  out += ' ';
  if (head.empty_path) out += '/';
  out += head.path;
  out += " HTTP/1.1\r\n";
  const bool add_peer = !options.client_address.empty();
  const bool add_via = !options.pseudonym.empty();
  append_fields(out, head, [&](const Field& field) {
    switch (field.id) {
      case FieldName::Other:
        return false;
      case FieldName::XForwardedFor:
        return add_peer;
      case FieldName::Via:
        return add_via;
      case FieldName::Expect:
        return !head.expect_continue;
      default:
        return is_hop_by_hop(field.id);
    }
  });
  if (!head.host_field) {
    out += "Host: ";
    out += head.host.empty() ? options.default_host : head.host;
    out += "\r\n";
  }
  if (head.body == BodyKind::Chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (head.body == BodyKind::Length) {
    append_length(out, head.content_length);
  }
  if (head.te_trailers) out += "TE: trailers\r\n";
  if (add_peer) {
    append_list_field(out, head, FieldName::XForwardedFor, "X-Forwarded-For: ", {},
                      options.client_address);
  }
  if (add_via) {
    append_list_field(out, head, FieldName::Via, "Via: ", head.minor == 0 ? "1.0 " : "1.1 ",
                      options.pseudonym);
  }
  out += "\r\n";
}

void append_response_head(std::string& out, const ResponseHead& head, const ReplyOptions& options) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(head.status));
  out += ' ';
  out += head.reason;
  out += "\r\n";
  // Equal repeated lengths go out once; runs stay long because the first line is kept in place.
  bool length_kept = false;
  append_fields(out, head, [&](const Field& field) {
    if (field.id == FieldName::Other) return false;
    if (field.id == FieldName::ContentLength) {
      if (!options.keep_length || length_kept || field.value.find(',') != std::string_view::npos) {
        return true;
      }
      length_kept = true;
      return false;
    }
    return field.id != FieldName::ProxyAuthorization && is_hop_by_hop(field.id);
  });
  const bool has_length = options.keep_length && !length_kept;
  if (has_length && head.body == BodyKind::Length) append_length(out, head.content_length);
  if (options.chunked) out += "Transfer-Encoding: chunked\r\n";
  if (options.close) {
    out += "Connection: close\r\n";
  } else if (!options.client_is_1_1) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
}

std::string_view status_text(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 508:
      return "Loop Detected";
    default:
      return "Error";
  }
}

void append_error_reply(std::string& out, int status, std::string_view reason,
                        std::string_view text, bool head_only, bool accept_json, bool close) {
  std::string body;
  if (accept_json) {
    // Both texts are our own constants: nothing to escape.
    body.append("{\"status\":").append(std::to_string(status));
    body.append(",\"reason\":\"").append(reason).append("\",\"error\":\"");
    for (const char c : text) {
      if (c == '"') body += '\\';
      body += c;
    }
    body += "\"}\n";
  } else {
    body.append(text).append("\n");
  }
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(status));
  out += ' ';
  out += status_text(status);
  out += accept_json ? "\r\nContent-Type: application/json\r\n"
                     : "\r\nContent-Type: text/plain; charset=utf-8\r\n";
  append_length(out, body.size());
  out += "Cache-Control: no-store\r\nX-Proxy-Reason: ";
  out += reason;
  out += "\r\n";
  if (status == 503) out += "Retry-After: 1\r\n";
  if (status == 405) out += "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
  if (close) out += "Connection: close\r\n";
  out += "\r\n";
  if (!head_only) out += body;
}

}  // namespace fyr::proxy::http1
