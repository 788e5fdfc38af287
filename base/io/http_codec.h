// HTTP/1.1 messages as text (RFC 9112): heads are parsed from whole heads, chunked bodies piece by
// piece, answers built into one string. No sockets, no state but the chunk decoder's.
//
// Strict where request smuggling lives: two framings in one message, bad or repeated lengths,
// folded or malformed header lines and bare line feeds are faults, never guessed at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/io/http_client.h"
#include "base/io/http_server.h"

namespace fyr::io {

// What to answer (or report) when a message is refused. status 0: nothing is wrong.
struct HttpFault {
  int status = 0;
  const char* reason = "";
  explicit operator bool() const { return status != 0; }
};

// How the body is delimited and what happens to the connection afterwards.
struct HttpFraming {
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool http10 = false;
  bool expect_continue = false;
};

// Length of the head up to and with its empty line, 0 while that has not come. `scanned` makes
// repeated calls on a growing buffer cheap: start with 0.
std::size_t find_head_end(std::string_view data, std::size_t& scanned);

// `head` is exactly one head as measured by find_head_end.
HttpFault parse_request_head(std::string_view head, HttpRequest& request, HttpFraming& framing);
HttpFault parse_response_head(std::string_view head, HttpClientResponse& response,
                              HttpFraming& framing);

class ChunkedDecoder {
 public:
  enum class State { More, Done, Bad };
  // Takes what it can from the front of `data`, appending the payload to `out`.
  State feed(std::string_view& data, std::string& out);

 private:
  enum class Stage { Size, Extension, SizeEnd, Payload, PayloadCr, PayloadLf, Trailer, Finished };
  bool step(char c);
  bool end_of_line();
  Stage stage_ = Stage::Size;
  std::uint64_t size_ = 0;
  std::size_t line_bytes_ = 0;  // of the size line or of all trailers
  bool any_digit_ = false;
  bool line_empty_ = true;
  bool after_cr_ = false;
};

std::string_view reason_phrase(int status);  // "" if unknown
bool status_has_body(int status);            // not for 1xx, 204 and 304

// How an answer goes out, decided by the connection.
struct ResponseFraming {
  std::optional<std::size_t> content_length;
  bool chunked = false;
  bool close = false;
  bool say_keep_alive = false;  // HTTP/1.0 clients want to hear it
};
void append_response_head(std::string& out, const HttpResponse& response,
                          const ResponseFraming& framing, std::string_view date);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7)
std::string format_http_date(WallTime time);

}  // namespace fyr::io
