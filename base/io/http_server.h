// HTTP/1.1 server: keep-alive, pipelining (answers in order, one send for all that are ready),
// bounded heads, bodies and connections, TCP and unix sockets. One listening socket a thread
// (SO_REUSEPORT). Heads are parsed by http_codec, answers gathered into one send.
//
// Threading: the handler runs on the connection's io thread. Everything on HttpExchange may be
// called from any thread; the answer is posted to the connection's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/io/runtime.h"
#include "base/net_address.h"
#include "base/time.h"

namespace fyr::io {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;   // as on the wire: still percent-encoded, no query
  std::string query;  // after '?', still encoded
  HttpHeaders headers;
  std::string body;
  std::string remote_address;  // "127.0.0.1", "" on a unix socket
  std::uint16_t remote_port = 0;

  // First value of a header, matched without regard to case; "" if absent.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  // Content-Length, Date and Connection are added
  std::shared_ptr<const std::string>
      body;  // shared: one set of bytes for many readers; may be null

  static HttpResponse text(int status, std::string body);  // text/plain; charset=utf-8
  static HttpResponse json(std::string body);              // 200, application/json
};

// One request waiting for its answer. respond() exactly once (or begin_stream ... end_stream).
// Dropping the last reference unanswered sends 500.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual int thread() const = 0;  // io thread of the connection
  virtual void respond(HttpResponse response) = 0;

  // Called once, on the connection's thread, if the client goes away before the answer. Set it
  // when parking a request; it is dropped after the answer.
  virtual void on_abandoned(std::function<void()> callback) = 0;

  // Chunked answer of unknown length. write_chunk is false once the client is gone or more than
  // 1 MiB waits unsent (the chunk is then dropped).
  virtual void begin_stream(HttpResponse head) = 0;
  virtual bool write_chunk(std::string data) = 0;
  virtual void end_stream() = 0;
};

using HttpHandler = std::function<void(std::shared_ptr<HttpExchange>)>;

struct HttpServerOptions {
  std::vector<HostPort> listen;                  // port 0 picks one, see bound()
  std::vector<std::string> unix_sockets;         // paths; stale ones are replaced
  std::size_t max_head_bytes = 64 * 1024;        // 431 above
  std::size_t max_body_bytes = 8 * 1024 * 1024;  // 413 above
  // Paths whose bodies may be larger, and how large.
  std::vector<std::string> large_bodies;
  std::size_t max_large_body_bytes = 256 * 1024 * 1024;
  std::size_t max_connections = 16384;           // further ones are closed
  std::size_t max_connections_per_client = 200;  // counts requests in progress; 429 above
  std::size_t max_pipelined = 64;
  Duration head_timeout = std::chrono::seconds(10);  // absolute, from the first byte
  Duration idle_timeout = std::chrono::seconds(120);
};

class HttpServer {
 public:
  // Binds at once; an error names address and port. Nothing stays bound on failure.
  static Result<std::unique_ptr<HttpServer>> listen(Runtime& runtime, HttpServerOptions options,
                                                    HttpHandler handler);
  virtual ~HttpServer() = default;
  virtual std::vector<HostPort> bound() const = 0;
  virtual void stop() = 0;  // closes listeners and connections; returns when none is left
};

}  // namespace fyr::io
