// HTTP/1.1 client for our own errands: health checks, the command line, tests. One connection a
// request, no redirects, body capped. Name resolving happens inside the deadline, both families
// are tried.
//
// Threading: `done` runs once, on io thread `thread` of the runtime.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"

namespace fyr::io {

struct HttpClientRequest {
  std::string method = "GET";
  std::string host;  // connect here (name, literal, or "/path" of a unix socket)
  std::uint16_t port = 80;
  bool tls = false;
  std::string tls_server_name;
  bool tls_skip_verify = false;
  std::string target = "/";
  HttpHeaders headers;  // Host is added unless given
  std::string body;
  Duration timeout = std::chrono::seconds(10);
  std::size_t max_body_bytes =
      64 * 1024;                // the rest is read and thrown away, counted in body_bytes
  bool keep_body_tail = false;  // keep the last max_body_bytes instead of the first
};

struct HttpClientResponse {
  int status = 0;
  std::string reason;
  HttpHeaders headers;
  std::string body;
  std::size_t body_bytes = 0;
};

// Returns a handle; destroying it cancels the request (done is then not called).
class OutgoingCall {
 public:
  virtual ~OutgoingCall() = default;
};

std::unique_ptr<OutgoingCall> http_request(Runtime& runtime, int thread, HttpClientRequest request,
                                           std::function<void(Result<HttpClientResponse>)> done);

// Blocking form for the command line and tests; makes its own io thread.
Result<HttpClientResponse> http_request_blocking(HttpClientRequest request);

// TCP connect check under the same rules. done(ok) or the error text.
std::unique_ptr<OutgoingCall> tcp_connect(Runtime& runtime, int thread, HostPort target,
                                          Duration timeout, std::function<void(Result<void>)> done);

}  // namespace fyr::io
