#include "proxy/http1_write.h"

#include <gtest/gtest.h>

#include <string>

namespace fyr::proxy::http1 {
namespace {

std::string forwarded(const std::string& text, ForwardOptions options = {}) {
  RequestHead head;
  Fault fault;
  EXPECT_TRUE(parse_request_head(text, {}, head, fault)) << fault.text;
  std::string out;
  append_request_head(out, head, options);
  return out;
}

std::string relayed(const std::string& text, ReplyOptions options = {},
                    Method method = Method::Get) {
  ResponseHead head;
  Fault fault;
  EXPECT_TRUE(parse_response_head(text, {}, method, head, fault)) << fault.text;
  std::string out;
  append_response_head(out, head, options);
  return out;
}

TEST(Http1Write, hop_by_hop) {
  const auto out = forwarded(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n"
      "Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nTE: gzip\r\nUpgrade: h2c\r\n"
      "X-Private: 1\r\nX-Public: 2\r\n\r\n");
  EXPECT_EQ(out, "GET / HTTP/1.1\r\nHost: a\r\nX-Public: 2\r\n\r\n");
}

TEST(Http1Write, connection_names_host) {
  const auto out = forwarded(
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, cookie, authorization, "
      "x-forwarded-for\r\nContent-Length: 3\r\nCookie: c\r\nAuthorization: d\r\n\r\n");
  EXPECT_EQ(out,
            "POST / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAuthorization: d\r\nContent-Length: "
            "3\r\n\r\n");
}

TEST(Http1Write, xff_via) {
  const ForwardOptions options{"10.0.0.9", "node1", "svc"};
  EXPECT_EQ(forwarded("GET / HTTP/1.1\r\nHost: a\r\n\r\n", options),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\nVia: 1.1 node1\r\n\r\n");
  EXPECT_EQ(forwarded("GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nHost: a\r\nx-forwarded-for: "
                      "5.6.7.8\r\nVia: 1.1 other\r\n\r\n",
                      options),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.9\r\nVia: 1.1 "
            "other, 1.1 node1\r\n\r\n");
}

TEST(Http1Write, via_loop) {
  const auto count = [](const std::string& via) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\nVia: " + via + "\r\n\r\n";
    RequestHead head;
    Fault fault;
    EXPECT_TRUE(parse_request_head(text, {}, head, fault));
    return count_via(head, "node1");
  };
  EXPECT_EQ(count("1.1 x, 1.1 node1, 1.0 node1 (comment)"), 2);
  EXPECT_EQ(count("1.1 node11"), 0);
}

TEST(Http1Write, AbsoluteFormBecomesOriginForm) {
  EXPECT_EQ(forwarded("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n"),
            "GET /?q HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(forwarded("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(Http1Write, Http10RequestIsGivenAHost) {
  EXPECT_EQ(forwarded("GET / HTTP/1.0\r\n\r\n", {"", "", "svc"}),
            "GET / HTTP/1.1\r\nHost: svc\r\n\r\n");
  EXPECT_EQ(forwarded("GET http://a/ HTTP/1.0\r\n\r\n", {"", "", "svc"}),
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(Http1Write, FramingIsOursAndSaidOnce) {
  EXPECT_EQ(forwarded("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: "
                      "3\r\n\r\n"),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(forwarded("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nTE: "
                      "trailers, deflate\r\n\r\n"),
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n");
}

TEST(Http1Write, AnswersLoseWhatBelongsToTheConnection) {
  EXPECT_EQ(relayed("HTTP/1.0 200 Fine\r\nConnection: close, X-P\r\nX-P: 1\r\nKeep-Alive: "
                    "5\r\nContent-Length: 2\r\nX-Q: 2\r\n\r\n"),
            "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Q: 2\r\n\r\n");
  EXPECT_EQ(relayed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(relayed("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
}

TEST(Http1Write, AnswersSayWhatTheClientMustKnow) {
  ReplyOptions options;
  options.chunked = true;
  options.keep_length = false;
  EXPECT_EQ(relayed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", options),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  options = {};
  options.close = true;
  EXPECT_EQ(relayed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", options),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  options = {};
  options.client_is_1_1 = false;
  EXPECT_EQ(relayed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", options),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

TEST(Http1Write, reason_header) {
  std::string out;
  append_error_reply(out, 503, "no_endpoints", "no endpoint is available", false, false, false);
  EXPECT_EQ(out,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 25\r\nCache-Control: no-store\r\nX-Proxy-Reason: no_endpoints\r\n"
            "Retry-After: 1\r\n\r\nno endpoint is available\n");
  out.clear();
  append_error_reply(out, 400, "framing", "Transfer-Encoding is not \"chunked\"", false, true,
                     true);
  EXPECT_NE(out.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(out.find("{\"status\":400,\"reason\":\"framing\",\"error\":\"Transfer-Encoding is not "
                     "\\\"chunked\\\"\"}"),
            std::string::npos);
  out.clear();
  append_error_reply(out, 504, "response_timeout", "x", true, false, false);
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace fyr::proxy::http1
