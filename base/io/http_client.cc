#include "base/io/http_client.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <optional>

#include "base/bytes.h"
#include "base/guarded.h"
#include "base/io/connector.h"
#include "base/io/http_codec.h"

namespace fyr::io {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using TlsStream = ssl::stream<StreamSocket>;

constexpr std::size_t kMaxResponseHead = 64 * 1024;

// Loading the system's certificates takes milliseconds, so the two kinds of context are made once.
std::shared_ptr<ssl::context> tls_context(bool verify) {
  static Guarded<std::array<std::shared_ptr<ssl::context>, 2>> contexts;
  return contexts.with([verify](auto& all) {
    auto& context = all[verify ? 1 : 0];
    if (context) return context;
    context = std::make_shared<ssl::context>(ssl::context::tls_client);
    boost::system::error_code ignored;  // without certificates every verification fails later
    context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv3 |
                             ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
                         ignored);
    if (verify) context->set_default_verify_paths(ignored);
    context->set_verify_mode(verify ? ssl::verify_peer : ssl::verify_none, ignored);
    return context;
  });
}

std::string build_request(const HttpClientRequest& request) {
  std::string out = request.method + " " + request.target + " HTTP/1.1\r\n";
  bool has_host = false;
  for (const auto& [name, value] : request.headers) {
    has_host = has_host || equals_ignoring_case(name, "Host");
    out += name + ": " + value + "\r\n";
  }
  if (!has_host) {
    const bool plain_port = request.port == (request.tls ? 443 : 80);
    const HostPort where{request.host, request.port};
    auto host = where.to_string();
    if (plain_port) host.resize(host.rfind(':'));
    if (request.host.starts_with('/')) host = "localhost";
    out += "Host: " + host + "\r\n";
  }
  if (!request.body.empty() || request.method == "PUT" || request.method == "POST") {
    out += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  out += "Connection: close\r\n\r\n";
  return out += request.body;
}

// Nothing a user typed may start a header of its own.
std::optional<Error> check_request(const HttpClientRequest& request) {
  const auto bad = [](std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
  };
  if (request.method.empty() || bad(request.method) ||
      request.method.find(' ') != std::string::npos) {
    return fail(ErrorCode::InvalidArgument, "method: malformed");
  }
  if (request.target.empty() || bad(request.target) ||
      request.target.find(' ') != std::string::npos) {
    return fail(ErrorCode::InvalidArgument, "target: malformed");
  }
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || bad(name) || bad(value)) {
      return fail(ErrorCode::InvalidArgument, "header \"" + name + "\": malformed");
    }
  }
  return std::nullopt;
}

// One request on one connection, which is closed whatever happens.
class Call : public std::enable_shared_from_this<Call> {
 public:
  using Done = std::function<void(Result<HttpClientResponse>)>;

  Call(asio::io_context& context, HttpClientRequest request, Done done)
      : context_(context),
        request_(std::move(request)),
        shown_(request_.method + " " + HostPort{request_.host, request_.port}.to_string()),
        done_(std::move(done)),
        timer_(context),
        socket_(context),
        deadline_(now() + request_.timeout) {}

  void start() {
    if (!done_) return;
    if (auto error = check_request(request_)) return finish(*error);
    timer_.expires_after(std::max(deadline_ - now(), Duration::zero()));
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& code) {
      if (!code) self->finish(timeout_error(self->shown_));
    });
    connector_ = Connector::start(context_, {request_.host, request_.port}, deadline_,
                                  [self = shared_from_this()](Result<StreamSocket> socket) {
                                    if (!socket) return self->finish(socket.error());
                                    self->socket_ = std::move(*socket);
                                    self->on_connected();
                                  });
    if (!done_) connector_.reset();
  }

  void abandon() {
    done_ = nullptr;
    close();
  }

 private:
  void on_connected() {
    if (!request_.tls) return write();
    const auto& name = request_.tls_server_name.empty() ? request_.host : request_.tls_server_name;
    tls_context_ = tls_context(!request_.tls_skip_verify);
    tls_.emplace(std::move(socket_), *tls_context_);
    if (!request_.tls_skip_verify) {
      boost::system::error_code ignored;
      tls_->set_verify_callback(ssl::host_name_verification(name), ignored);
    }
    if (!IpAddress::parse(name)) SSL_set_tlsext_host_name(tls_->native_handle(), name.c_str());
    tls_->async_handshake(TlsStream::client,
                          [self = shared_from_this()](const boost::system::error_code& code) {
                            if (code) return self->fail_with("TLS handshake", code);
                            self->write();
                          });
  }

  void write() {
    out_ = build_request(request_);
    const auto written = [self = shared_from_this()](const boost::system::error_code& code,
                                                     std::size_t) {
      // A server may answer and close before it has read everything: its answer is still there.
      if (code && code != asio::error::broken_pipe && code != asio::error::connection_reset) {
        return self->fail_with("send", code);
      }
      self->read();
    };
    if (tls_) {
      asio::async_write(*tls_, asio::buffer(out_), written);
    } else {
      asio::async_write(socket_, asio::buffer(out_), written);
    }
  }

  void read() {
    const auto arrived = [self = shared_from_this()](const boost::system::error_code& code,
                                                     std::size_t size) {
      if (!self->done_) return;
      if (size > 0) self->on_bytes({self->buffer_.data(), size});
      if (!self->done_) return;
      if (code == asio::error::eof || code == ssl::error::stream_truncated) {
        return self->on_end();
      }
      if (code) return self->fail_with("read", code);
      self->read();
    };
    if (tls_) {
      tls_->async_read_some(asio::buffer(buffer_), arrived);
    } else {
      socket_.async_read_some(asio::buffer(buffer_), arrived);
    }
  }

  void on_bytes(std::string_view bytes) {
    if (!head_done_) {
      head_ += bytes;
      if (!take_head()) return;
      bytes = head_;
    }
    on_body(bytes);
  }

  // Skips 1xx answers. False: more is needed, or the call is over.
  bool take_head() {
    for (;;) {
      const auto length = find_head_end(head_, scanned_);
      if (length > kMaxResponseHead || (length == 0 && head_.size() > kMaxResponseHead)) {
        finish(fail(ErrorCode::Corrupt, shown_ + ": the answer's head is too large"));
        return false;
      }
      if (length == 0) return false;
      response_ = {};
      framing_ = {};
      const auto fault =
          parse_response_head(std::string_view(head_).substr(0, length), response_, framing_);
      if (fault) {
        finish(fail(ErrorCode::Corrupt, shown_ + ": " + fault.reason));
        return false;
      }
      head_.erase(0, length);
      scanned_ = 0;
      if (response_.status >= 200 || response_.status == 101) break;
    }
    head_done_ = true;
    if (request_.method == "HEAD" || !status_has_body(response_.status)) {
      finish(std::move(response_));
      return false;
    }
    missing_ = framing_.content_length.value_or(0);
    return true;
  }

  void on_body(std::string_view bytes) {
    if (framing_.chunked) {
      std::string payload;
      const auto state = chunks_.feed(bytes, payload);
      keep(payload);
      if (state == ChunkedDecoder::State::Bad) {
        return finish(fail(ErrorCode::Corrupt, shown_ + ": malformed chunked body"));
      }
      if (state == ChunkedDecoder::State::Done) finish_body();
      return;
    }
    if (!framing_.content_length) return keep(bytes);
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(missing_, bytes.size()));
    keep(bytes.substr(0, take));
    missing_ -= take;
    if (missing_ == 0) finish_body();
  }

  void keep(std::string_view bytes) {
    const auto limit = request_.max_body_bytes;
    auto& body = response_.body;
    response_.body_bytes += bytes.size();
    if (!request_.keep_body_tail) {
      body += bytes.substr(0, limit - std::min(limit, body.size()));
      return;
    }
    body += bytes;
    if (body.size() > 2 * limit + buffer_.size()) body.erase(0, body.size() - limit);
  }

  void finish_body() {
    auto& body = response_.body;
    const auto limit = request_.max_body_bytes;
    if (body.size() > limit) body.erase(0, body.size() - limit);  // only with keep_body_tail
    finish(std::move(response_));
  }

  void on_end() {
    if (head_done_ && !framing_.chunked && !framing_.content_length) return finish_body();
    finish(fail(ErrorCode::Unavailable, shown_ + ": the connection was closed before the " +
                                            (head_done_ ? "body was complete" : "answer came")));
  }

  void fail_with(const char* step, const boost::system::error_code& code) {
    finish(network_error(shown_ + ": " + step, code));
  }

  void close() {
    boost::system::error_code ignored;
    if (const auto connector = connector_.lock()) connector->cancel();
    connector_.reset();
    timer_.cancel();
    if (tls_) {
      tls_->next_layer().close(ignored);
    } else {
      socket_.close(ignored);
    }
  }

  void finish(Result<HttpClientResponse> result) {
    const auto done = std::exchange(done_, nullptr);
    if (!done) return;
    close();
    done(std::move(result));
  }

  asio::io_context& context_;
  const HttpClientRequest request_;
  const std::string shown_;
  Done done_;
  ThreadTimer timer_;
  StreamSocket socket_;
  std::shared_ptr<ssl::context> tls_context_;
  std::optional<TlsStream> tls_;
  const Instant deadline_;
  std::weak_ptr<Connector> connector_;  // its own operations keep it; a strong one would be a ring
  std::string out_;
  std::string head_;
  std::size_t scanned_ = 0;
  bool head_done_ = false;
  HttpFraming framing_;
  ChunkedDecoder chunks_;
  std::uint64_t missing_ = 0;
  HttpClientResponse response_;
  std::array<char, 8192> buffer_{};
};

class ConnectCall : public std::enable_shared_from_this<ConnectCall> {
 public:
  explicit ConnectCall(std::function<void(Result<void>)> done) : done_(std::move(done)) {}

  void start(asio::io_context& context, const HostPort& target, Instant deadline) {
    if (!done_) return;
    connector_ = Connector::start(context, target, deadline,
                                  [self = shared_from_this()](Result<StreamSocket> socket) {
                                    const auto done = std::exchange(self->done_, nullptr);
                                    if (!done) return;
                                    done(socket ? Result<void>() : Result<void>(socket.error()));
                                  });
  }

  void abandon() {
    done_ = nullptr;
    if (const auto connector = connector_.lock()) connector->cancel();
  }

 private:
  std::function<void(Result<void>)> done_;
  std::weak_ptr<Connector> connector_;  // its own operations keep it; a strong one would be a ring
};

// Destroying it ends the call on the call's own thread.
template <class T>
class Handle final : public OutgoingCall {
 public:
  Handle(asio::io_context& context, std::shared_ptr<T> call)
      : context_(context), call_(std::move(call)) {}
  // Out of memory here ends the process, like everywhere.
  ~Handle() override {  // NOLINT(bugprone-exception-escape)
    asio::dispatch(context_, [call = call_] { call->abandon(); });
  }

 private:
  asio::io_context& context_;
  std::shared_ptr<T> call_;
};

}  // namespace

std::unique_ptr<OutgoingCall> http_request(Runtime& runtime, int thread, HttpClientRequest request,
                                           std::function<void(Result<HttpClientResponse>)> done) {
  auto& context = runtime.context(thread);
  const auto call = std::make_shared<Call>(context, std::move(request), std::move(done));
  asio::post(context, [call] { call->start(); });
  return std::make_unique<Handle<Call>>(context, call);
}

Result<HttpClientResponse> http_request_blocking(HttpClientRequest request) {
  Runtime runtime(1);
  std::promise<Result<HttpClientResponse>> answer;
  const auto call = http_request(
      runtime, 0, std::move(request),
      [&answer](Result<HttpClientResponse> result) { answer.set_value(std::move(result)); });
  runtime.start();
  auto result = answer.get_future().get();
  runtime.stop();
  return result;
}

std::unique_ptr<OutgoingCall> tcp_connect(Runtime& runtime, int thread, HostPort target,
                                          Duration timeout,
                                          std::function<void(Result<void>)> done) {
  auto& context = runtime.context(thread);
  const auto deadline = now() + timeout;
  const auto call = std::make_shared<ConnectCall>(std::move(done));
  asio::post(context,
             [call, &context, target, deadline] { call->start(context, target, deadline); });
  return std::make_unique<Handle<ConnectCall>>(context, call);
}

}  // namespace fyr::io
