// What must hold for any bytes whatever, given to the HTTP/1 parsers of the proxy; shared by the
// fuzzer and by the replay of its corpus. Stops the process at a violation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "proxy/http1.h"
#include "proxy/http1_chunked.h"
#include "proxy/http1_write.h"

namespace fyr::proxy::http1 {

struct Scanned {
  ScanStatus status = ScanStatus::NeedMore;
  std::size_t begin = 0;
  std::size_t end = 0;
  int fault = 0;
};

// As it arrives: `step` more bytes each time.
inline Scanned scan_in_steps(std::string_view text, bool request, std::size_t step) {
  HeadScanner scanner(request);
  Scanned out;
  Fault fault;
  for (std::size_t size = step;; size += step) {
    out.status = scanner.scan(text.substr(0, size), {}, fault);
    if (out.status != ScanStatus::NeedMore || size >= text.size()) break;
  }
  if (out.status == ScanStatus::Complete) {
    out.begin = scanner.begin();
    out.end = scanner.end();
  }
  if (out.status == ScanStatus::Fault) out.fault = fault.status;
  return out;
}

inline void check_request(std::string_view input) {
  const Scanned whole = scan_in_steps(input, true, input.size() + 1);
  const Scanned pieces = scan_in_steps(input, true, 7);
  CHECK(whole.status == pieces.status && whole.end == pieces.end);
  if (whole.status != ScanStatus::Complete) return;
  CHECK(whole.begin < whole.end && whole.end <= input.size());
  RequestHead head;
  Fault fault;
  if (!parse_request_head(input.substr(whole.begin, whole.end - whole.begin), {}, head, fault)) {
    CHECK(fault.status >= 400 && fault.status <= 505 && !fault.reason.empty());
    return;
  }
  // What is forwarded is a request again, framed the same way, and free of the refused bytes.
  std::string forwarded;
  append_request_head(forwarded, head, {"10.0.0.1", "node", "svc"});
  CHECK(forwarded.find('\0') == std::string::npos);
  for (std::size_t i = 0; i < forwarded.size(); ++i) {
    if (forwarded[i] == '\n') CHECK(i > 0 && forwarded[i - 1] == '\r');
    if (forwarded[i] == '\r') CHECK(i + 1 < forwarded.size() && forwarded[i + 1] == '\n');
  }
  RequestHead again;
  HeadLimits wide;
  wide.header_bytes = 1 << 20;
  wide.header_count = 1000;
  wide.request_line = 1 << 20;
  CHECK_MSG(parse_request_head(forwarded, wide, again, fault), fault.text);
  CHECK(again.body == head.body && again.content_length == head.content_length);
  CHECK(again.method == head.method && again.minor == 1 && again.persistent());
  CHECK(again.nominated.empty());
}

inline void check_response(std::string_view input, Method method) {
  const Scanned whole = scan_in_steps(input, false, input.size() + 1);
  const Scanned pieces = scan_in_steps(input, false, 5);
  CHECK(whole.status == pieces.status && whole.end == pieces.end);
  if (whole.status != ScanStatus::Complete) return;
  ResponseHead head;
  Fault fault;
  if (!parse_response_head(input.substr(0, whole.end), {}, method, head, fault)) {
    CHECK(fault.status == 502);
    return;
  }
  CHECK(head.status >= 100 && head.status <= 599);
  std::string relayed;
  ReplyOptions options;
  const bool open_ended = head.body == BodyKind::UntilClose || head.body == BodyKind::Chunked;
  options.chunked = open_ended;
  options.keep_length = !open_ended && head.status != 204;
  append_response_head(relayed, head, options);
  ResponseHead again;
  HeadLimits wide;
  wide.header_bytes = 1 << 20;
  wide.header_count = 1000;
  CHECK_MSG(parse_response_head(relayed, wide, method, again, fault), fault.text);
  CHECK(again.status == head.status);
  CHECK(again.body == (open_ended ? BodyKind::Chunked : head.body));
}

struct Unchunked {
  ChunkDecoder::Status status = ChunkDecoder::Status::NeedMore;
  std::string body;
  std::string trailers;
  std::size_t consumed = 0;
};

inline Unchunked unchunk(std::string_view input, std::size_t step) {
  using Status = ChunkDecoder::Status;
  ChunkDecoder decoder;
  Unchunked out;
  for (std::size_t at = 0; at < input.size(); at += step) {
    auto part = input.substr(at, step);
    while (true) {
      const auto result = decoder.next(part);
      CHECK(result.consumed <= part.size());
      part.remove_prefix(result.consumed);
      out.consumed += result.consumed;
      out.body += result.data;
      out.status = result.status;
      if (out.status != Status::Data) break;
    }
    if (out.status != Status::NeedMore) break;
    CHECK(part.empty());
  }
  out.trailers = decoder.trailers();
  return out;
}

inline void check_chunks(std::string_view input) {
  const Unchunked whole = unchunk(input, input.size() + 1);
  const Unchunked pieces = unchunk(input, 3);
  CHECK(whole.status == pieces.status && whole.body == pieces.body);
  if (whole.status == ChunkDecoder::Status::Done) {
    CHECK(whole.consumed == pieces.consumed && whole.trailers == pieces.trailers);
  }
}

// The first byte chooses the parser, the rest is its input.
inline void check_http1(std::string_view input) {
  if (input.empty()) return;
  const char kind = input.front();
  input.remove_prefix(1);
  if (kind == 'a') {
    check_response(input, Method::Get);
  } else if (kind == 'h') {
    check_response(input, Method::Head);
  } else if (kind == 'c') {
    check_chunks(input);
  } else {
    check_request(input);
  }
}

}  // namespace fyr::proxy::http1
