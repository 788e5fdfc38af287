#include "proxy/http1.h"

#include <cstring>

#include "proxy/http1_bytes.h"

namespace fyr::proxy::http1 {

ScanStatus HeadScanner::scan(std::string_view text, const HeadLimits& limits, Fault& fault) {
  const auto stop = [&](int status, std::string_view reason, std::string_view sentence) {
    refuse(fault, status, reason, sentence);
    return ScanStatus::Fault;
  };
  while (scanned_ < text.size()) {
    const auto* lf =
        static_cast<const char*>(std::memchr(text.data() + scanned_, '\n', text.size() - scanned_));
    if (lf == nullptr) {
      scanned_ = text.size();
      break;
    }
    const auto end = static_cast<std::size_t>(lf - text.data());
    scanned_ = end + 1;
    if (end == line_begin_ || text[end - 1] != '\r') {
      return stop(400, "bad_request", "line ends without CR");
    }
    const bool empty = end - 1 == line_begin_;
    if (empty && lines_ == 0) {
      if (!request_ || line_begin_ >= 4) return stop(400, "bad_request", "empty request line");
      begin_ = line_begin_ = scanned_;
      continue;
    }
    if (lines_ == 0) {
      if (request_ && end - 1 - begin_ > limits.request_line) break;  // reported below
      fields_begin_ = scanned_;
    }
    line_begin_ = scanned_;
    if (empty) {
      if (scanned_ - fields_begin_ > limits.header_bytes + 2) break;
      return ScanStatus::Complete;
    }
    ++lines_;
  }
  if (lines_ == 0) {
    const auto limit = request_ ? limits.request_line : limits.header_bytes;
    if (scanned_ > begin_ + limit) return stop(414, "request_line", "request line too long");
  } else if (scanned_ > fields_begin_ + limits.header_bytes) {
    return stop(431, "header_bytes", "header fields too large");
  }
  return ScanStatus::NeedMore;
}

const char* parse_field_line(std::string_view line, Field& out) {
  std::size_t colon = 0;
  while (colon < line.size() && is(line[colon], kToken)) ++colon;
  if (colon == line.size()) return "header line without colon";
  if (line[colon] != ':') {
    return line[colon] == ' ' || line[colon] == '\t' ? "blank before, or instead of, a field name"
                                                     : "invalid byte in a field name";
  }
  if (colon == 0) return "empty field name";
  const auto value = line.substr(colon + 1);
  if (!all(value, kValue)) return "control byte in a field value";
  out.name = line.substr(0, colon);
  out.value = trim(value);
  out.id = field_name(out.name);
  return nullptr;
}

FieldName field_name(std::string_view name) {
  const auto match = [&](std::string_view known, FieldName id) {
    return iequals(name, known) ? id : FieldName::Other;
  };
  switch (name.size()) {
    case 2:
      return match("te", FieldName::Te);
    case 3:
      return match("via", FieldName::Via);
    case 4:
      return match("host", FieldName::Host);
    case 6:
      return match("expect", FieldName::Expect);
    case 7:
      return (name[0] | 0x20) == 'u' ? match("upgrade", FieldName::Upgrade)
                                     : match("trailer", FieldName::Trailer);
    case 10:
      return (name[0] | 0x20) == 'c' ? match("connection", FieldName::Connection)
                                     : match("keep-alive", FieldName::KeepAlive);
    case 14:
      return match("content-length", FieldName::ContentLength);
    case 15:
      return match("x-forwarded-for", FieldName::XForwardedFor);
    case 16:
      return match("proxy-connection", FieldName::ProxyConnection);
    case 17:
      return match("transfer-encoding", FieldName::TransferEncoding);
    case 19:
      return match("proxy-authorization", FieldName::ProxyAuthorization);
    default:
      return FieldName::Other;
  }
}

bool is_idempotent(Method method) {
  return method == Method::Get || method == Method::Head || method == Method::Options ||
         method == Method::Put || method == Method::Delete;
}

bool is_end_to_end(std::string_view name) {
  return iequals(name, "host") || istarts_with(name, "content-") ||
         iequals(name, "transfer-encoding") || istarts_with(name, "x-forwarded-") ||
         iequals(name, "authorization") || iequals(name, "cookie");
}

bool is_forbidden_trailer(std::string_view name) {
  return field_name(name) != FieldName::Other || is_end_to_end(name) ||
         istarts_with(name, "proxy-") || iequals(name, "set-cookie") ||
         iequals(name, "www-authenticate") || iequals(name, "forwarded") ||
         iequals(name, "cache-control") || iequals(name, "range");
}

std::optional<std::string_view> cookie(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    const auto end = field.find(';');
    const auto pair = trim(field.substr(0, end));
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
    if (end == std::string_view::npos) break;
    field.remove_prefix(end + 1);
  }
  return {};
}

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    unsigned char x = static_cast<unsigned char>(a[i]);
    unsigned char y = static_cast<unsigned char>(b[i]);
    if (x >= 'A' && x <= 'Z') x |= 0x20;
    if (y >= 'A' && y <= 'Z') y |= 0x20;
    if (x != y) return false;
  }
  return true;
}

}  // namespace fyr::proxy::http1
