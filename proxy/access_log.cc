#include "proxy/access_log.h"

#include <ctime>

namespace fyr::proxy {
namespace {

void append_number(std::string& out, std::int64_t value) {
  out += std::to_string(value);
}

void append_padded(std::string& out, int value, int width) {
  const std::string digits = std::to_string(value);
  out.append(static_cast<std::size_t>(width) > digits.size()
                 ? static_cast<std::size_t>(width) - digits.size()
                 : 0,
             '0');
  out += digits;
}

// [22/Nov/2025:16:18:00.123]
void append_date(std::string& out, WallTime time, int utc_offset_minutes) {
  using std::chrono::milliseconds;
  const auto local = time.time_since_epoch() + std::chrono::minutes(utc_offset_minutes);
  const auto ms = std::chrono::floor<milliseconds>(local).count();
  const std::time_t seconds = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  out += '[';
  append_padded(out, parts.tm_mday, 2);
  out += '/';
  out += kMonths[parts.tm_mon];
  out += '/';
  append_padded(out, parts.tm_year + 1900, 4);
  const int clock[] = {parts.tm_hour, parts.tm_min, parts.tm_sec};
  for (const int value : clock) {
    out += ':';
    append_padded(out, value, 2);
  }
  out += '.';
  append_padded(out, static_cast<int>(ms - static_cast<std::int64_t>(seconds) * 1000), 3);
  out += ']';
}

// Control bytes, the quote and '#' itself as #XX, so that a line stays one line and reversible.
void append_escaped(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '#') {
      out += '#';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
}

// Names must not add fields: '/' and blanks separate them.
void append_name(std::string& out, std::string_view name) {
  for (const char c : name) out += c == '/' ? ':' : (c <= ' ' || c == 0x7f ? '_' : c);
}

void append_counts(std::string& out, const AccessRecord& record) {
  const std::uint32_t counts[] = {record.process_connections, record.listener_connections,
                                  record.service_connections, record.endpoint_connections};
  for (const auto count : counts) {
    append_number(out, count);
    out += '/';
  }
  if (record.redispatched) out += '+';
  append_number(out, record.retries);
  out += ' ';
  append_number(out, record.endpoint_queue);
  out += '/';
  append_number(out, record.service_queue);
}

}  // namespace

void append_access_line(std::string& out, const AccessRecord& record, int utc_offset_minutes) {
  out += record.client;
  out += ' ';
  append_date(out, record.accepted, utc_offset_minutes);
  out += ' ';
  append_name(out, record.listener);
  out += ' ';
  append_name(out, record.service);
  out += '/';
  if (record.endpoint.empty()) {
    out += "<NOSRV>";
  } else {
    append_name(out, record.endpoint);
  }
  out += ' ';
  if (record.http) {
    append_number(out, record.request_ms);
    out += '/';
  }
  append_number(out, record.queue_ms);
  out += '/';
  append_number(out, record.connect_ms);
  out += '/';
  if (record.http) {
    append_number(out, record.response_ms);
    out += '/';
  }
  append_number(out, record.total_ms);
  out += ' ';
  if (record.http) {
    append_number(out, record.status);
    out += ' ';
  }
  out += std::to_string(record.bytes);
  out += record.http ? " - - " : " ";
  out.append(record.termination.data(), 2);
  out += record.http ? "-- " : " ";
  append_counts(out, record);
  if (record.http) {
    out += " \"";
    if (record.request_line.empty()) {
      out += "<BADREQ>";
    } else {
      append_escaped(out, record.request_line.substr(0, kMaxLoggedLine));
    }
    out += '"';
  }
  out += '\n';
}

}  // namespace fyr::proxy
