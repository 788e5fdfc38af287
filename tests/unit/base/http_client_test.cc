#include "base/io/http_client.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "base/id.h"
#include "base/io/tcp_server.h"
#include "tests/unit/base/raw_client.h"

namespace fyr::io {
namespace {

using namespace std::chrono_literals;

// Takes one connection, reads its request up to the empty line, answers with fixed bytes.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer, bool close_after = true)
      : listener_(*listen_on(*to_bind_address({"127.0.0.1", 0}), "test", false, 16)),
        where_(local_address(listener_)),
        thread_([this, answer = std::move(answer), close_after] { serve(answer, close_after); }) {}
  OneAnswer(const OneAnswer&) = delete;
  OneAnswer& operator=(const OneAnswer&) = delete;
  ~OneAnswer() {
    thread_.join();
    ::close(listener_);
  }
  HttpClientRequest request() const {
    HttpClientRequest request;
    request.host = where_.host;
    request.port = where_.port;
    return request;
  }
  const std::string& seen() const { return seen_; }

 private:
  void serve(const std::string& answer, bool close_after) {
    pollfd ready{listener_, POLLIN, 0};
    ::poll(&ready, 1, 10'000);
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    char buffer[65536];
    while (seen_.find("\r\n\r\n") == std::string::npos) {
      const auto n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      seen_.append(buffer, static_cast<std::size_t>(n));
    }
    ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    if (!close_after) {
      while (::recv(fd, buffer, sizeof buffer, 0) > 0) {  // until the client goes
      }
    }
    ::close(fd);
  }

  int listener_;
  HostPort where_;
  std::string seen_;
  std::thread thread_;
};

TEST(HttpClient, SendsWhatIsAskedAndReadsTheAnswer) {
  std::string seen;
  {
    OneAnswer server("HTTP/1.1 404 Not here\r\nContent-Length: 3\r\nX-Y: z\r\n\r\nabc", false);
    auto request = server.request();
    request.method = "PUT";
    request.target = "/path?q=1";
    request.headers = {{"X-A", "b"}};
    request.body = "body";
    const auto response = http_request_blocking(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 404);
    EXPECT_EQ(response->reason, "Not here");
    EXPECT_EQ(response->body, "abc");
    EXPECT_EQ(response->headers[1].second, "z");
    seen = "PUT /path?q=1 HTTP/1.1\r\nX-A: b\r\nHost: " +
           HostPort{request.host, request.port}.to_string() +
           "\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    EXPECT_EQ(server.seen().substr(0, 10), "PUT /path?");
    EXPECT_EQ(seen.substr(0, server.seen().size()), server.seen());
  }
}

TEST(HttpClient, SendsTheHostHeaderAsConfigured) {
  OneAnswer server("HTTP/1.1 204 No Content\r\n\r\n", false);
  auto request = server.request();
  request.headers = {{"host", "other.example"}};
  const auto response = http_request_blocking(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 204);
  EXPECT_NE(server.seen().find("host: other.example\r\n"), std::string::npos);
  EXPECT_EQ(server.seen().find("Host: "), std::string::npos);
}

TEST(HttpClient, ReadsEveryKindOfBody) {
  const std::pair<const char*, const char*> cases[] = {
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"},
      {"HTTP/1.0 200 OK\r\n\r\n", ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
       "abc"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"}};
  for (const auto& [answer, body] : cases) {
    OneAnswer server(answer);
    const auto response = http_request_blocking(server.request());
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body, body);
  }
}

TEST(HttpClient, KeepsTheHeadOrTheTailOfALargeBody) {
  std::string body;
  for (int i = 0; i < 100'000; ++i) body += static_cast<char>('a' + i % 26);
  const auto answer = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body;
  for (const bool tail : {false, true}) {
    OneAnswer server(answer);
    auto request = server.request();
    request.max_body_bytes = 1000;
    request.keep_body_tail = tail;
    const auto response = http_request_blocking(request);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, tail ? body.substr(99'000) : body.substr(0, 1000));
    EXPECT_EQ(response->body_bytes, 100'000u);
  }
}

TEST(HttpClient, ReportsAnswersThatAreNone) {
  for (const auto* answer :
       {"", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab"}) {
    OneAnswer server(answer);
    EXPECT_FALSE(http_request_blocking(server.request())) << answer;
  }
}

TEST(HttpClient, KeepsItsDeadline) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false);
  auto request = server.request();
  request.timeout = 100ms;
  const auto began = now();
  const auto response = http_request_blocking(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::Timeout);
  EXPECT_GE(now() - began, 100ms);
}

TEST(HttpClient, ReportsWhomItCouldNotReach) {
  HostPort closed;
  {
    const int fd = *listen_on(*to_bind_address({"127.0.0.1", 0}), "test", false, 1);
    closed = local_address(fd);
    ::close(fd);
  }
  HttpClientRequest request;
  request.host = closed.host;
  request.port = closed.port;
  const auto response = http_request_blocking(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::Unavailable);
  EXPECT_NE(response.error().message.find(closed.to_string()), std::string::npos);
  EXPECT_NE(response.error().message.find("refused"), std::string::npos);
}

TEST(HttpClient, TriesBothFamiliesOfAName) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  auto request = server.request();
  request.host = "localhost";
  const auto response = http_request_blocking(request);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "ok");
}

TEST(HttpClient, RefusesToSendInjectedHeaders) {
  HttpClientRequest request;
  request.host = "127.0.0.1";
  request.headers = {{"X", "a\r\nEvil: b"}};
  EXPECT_EQ(http_request_blocking(request).error().code, ErrorCode::InvalidArgument);
  request.headers.clear();
  request.target = "/ HTTP/1.1\r\nEvil: b\r\n";
  EXPECT_EQ(http_request_blocking(request).error().code, ErrorCode::InvalidArgument);
}

TEST(HttpClient, SaysNothingOnceCancelledAndClosesItsSocket) {
  Runtime runtime(1);
  runtime.start();
  std::promise<void> connected;
  const int listener = *listen_on(*to_bind_address({"127.0.0.1", 0}), "test", false, 1);
  HttpClientRequest request;
  request.host = "127.0.0.1";
  request.port = local_address(listener).port;
  auto call = http_request(runtime, 0, request, [](auto) { ADD_FAILURE() << "it was cancelled"; });
  pollfd ready{listener, POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 10'000), 1);
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  call.reset();
  char buffer[4096];
  while (::recv(fd, buffer, sizeof buffer, 0) > 0) {  // the request, then the end
  }
  ::close(fd);
  ::close(listener);
}

// A key and a certificate for "tls.example", signed by itself.
struct Identity {
  Identity() : key(EVP_EC_gen("P-256")), certificate(X509_new()) {
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    auto* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("tls.example"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_sign(certificate, key, EVP_sha256());
  }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  EVP_PKEY* key;
  X509* certificate;
};

// The only one this process trusts. The client reads its certificates once, hence before all tests.
class Trusted final : public testing::Environment {
 public:
  void SetUp() override {
    path_ = testing::TempDir() + make_uuid() + ".pem";
    std::FILE* const file = std::fopen(path_.c_str(), "w");
    PEM_write_X509(file, identity_.certificate);
    std::fclose(file);
    ::setenv("SSL_CERT_FILE", path_.c_str(), 1);
  }
  void TearDown() override { ::unlink(path_.c_str()); }
  const Identity& identity() const { return identity_; }

 private:
  Identity identity_;
  std::string path_;
};
const auto* const trusted = static_cast<Trusted*>(testing::AddGlobalTestEnvironment(new Trusted()));

// Serves one handshake and, if it succeeds, one answer.
class TlsAnswer {
 public:
  explicit TlsAnswer(const Identity& identity)
      : listener_(*listen_on(*to_bind_address({"127.0.0.1", 0}), "test", false, 16)),
        where_(local_address(listener_)),
        context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate(context_, identity.certificate);
    SSL_CTX_use_PrivateKey(context_, identity.key);
    thread_ = std::thread([this] { serve(); });
  }
  TlsAnswer(const TlsAnswer&) = delete;
  TlsAnswer& operator=(const TlsAnswer&) = delete;
  ~TlsAnswer() {
    thread_.join();
    SSL_CTX_free(context_);
    ::close(listener_);
  }
  HttpClientRequest request() const {
    HttpClientRequest request;
    request.host = where_.host;
    request.port = where_.port;
    request.tls = true;
    request.tls_server_name = "tls.example";
    return request;
  }
  // What the client asked for; after its request is done.
  const std::string& server_name() const { return server_name_; }

 private:
  void serve() {
    pollfd ready{listener_, POLLIN, 0};
    ::poll(&ready, 1, 10'000);
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    auto* const ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
      const auto* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      if (name != nullptr) server_name_ = name;
      char buffer[4096];
      SSL_read(ssl, buffer, sizeof buffer);
      const std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
      SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
    }
    SSL_free(ssl);
    ::close(fd);
  }

  int listener_;
  HostPort where_;
  SSL_CTX* context_;
  std::string server_name_;
  std::thread thread_;
};

TEST(HttpClient, SpeaksTlsAndSendsTheServerName) {
  TlsAnswer server(trusted->identity());
  const auto response = http_request_blocking(server.request());
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "secret");
  EXPECT_EQ(server.server_name(), "tls.example");
}

TEST(HttpClient, RefusesACertificateOfAnotherName) {
  TlsAnswer server(trusted->identity());
  auto request = server.request();
  request.tls_server_name = "other.example";
  const auto response = http_request_blocking(request);
  ASSERT_FALSE(response);
  EXPECT_NE(response.error().message.find("TLS handshake"), std::string::npos);
}

TEST(HttpClient, RefusesACertificateNobodyVouchesForUnlessToldNotToLook) {
  const Identity stranger;
  {
    TlsAnswer server(stranger);
    EXPECT_FALSE(http_request_blocking(server.request()));
  }
  TlsAnswer server(stranger);
  auto request = server.request();
  request.tls_server_name = "other.example";
  request.tls_skip_verify = true;
  const auto response = http_request_blocking(request);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "secret");
}

TEST(TcpConnect, TellsWhetherSomebodyListens) {
  Runtime runtime(1);
  runtime.start();
  const int fd = *listen_on(*to_bind_address({"127.0.0.1", 0}), "test", false, 1);
  const auto where = local_address(fd);
  const auto connect = [&] {
    std::promise<Result<void>> answer;
    const auto call =
        tcp_connect(runtime, 0, where, 10s, [&](Result<void> result) { answer.set_value(result); });
    return answer.get_future().get();
  };
  EXPECT_TRUE(connect());
  ::close(fd);
  EXPECT_FALSE(connect());
}

}  // namespace
}  // namespace fyr::io
