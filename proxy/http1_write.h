// The heads the proxy sends: what it received without what belongs to one connection only, plus
// what a proxy adds. Also the answers it makes itself (specification, sections 4, 5 and 11).
//
// Pure. Everything appends to a string the caller reuses.
#pragma once

#include <string>
#include <string_view>

#include "proxy/http1.h"

namespace fyr::proxy::http1 {

struct ForwardOptions {
  std::string_view client_address;  // appended to X-Forwarded-For; empty: field left alone
  std::string_view pseudonym;       // appended to Via; empty: field left alone
  std::string_view default_host;    // for HTTP/1.0 requests without Host
};

// Request line in origin-form and fields, complete with the empty line; always HTTP/1.1.
void append_request_head(std::string& out, const RequestHead& head, const ForwardOptions& options);

// How often `pseudonym` stands in Via already: twice means a loop.
int count_via(const RequestHead& head, std::string_view pseudonym);

struct ReplyOptions {
  bool client_is_1_1 = true;
  bool close = false;       // say Connection: close
  bool chunked = false;     // body follows in chunks
  bool keep_length = true;  // Content-Length of the endpoint passes
};

// Status line (always HTTP/1.1) and fields, complete with the empty line.
void append_response_head(std::string& out, const ResponseHead& head, const ReplyOptions& options);

// A whole answer of the proxy itself; `reason` is the token of X-Proxy-Reason. The body is left
// out for HEAD. `accept_json`: body as JSON instead of text.
void append_error_reply(std::string& out, int status, std::string_view reason,
                        std::string_view text, bool head_only, bool accept_json, bool close);
std::string_view status_text(int status);

}  // namespace fyr::proxy::http1
