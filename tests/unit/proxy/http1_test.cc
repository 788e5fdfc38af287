// Every framing row of the behaviour specification, as far as one parser decides it.
#include "proxy/http1.h"

#include <gtest/gtest.h>

#include <string>

namespace fyr::proxy::http1 {
namespace {

// What a connection does with the bytes: scan, then parse.
struct Outcome {
  int status = 0;  // 0: accepted, -1: more bytes wanted
  std::string reason;
};

struct Parsed {
  std::string text;  // the views point here
  RequestHead head;
  Outcome outcome;
};

void parse_into(Parsed& out, std::string text, HeadLimits limits = {}) {
  out.text = std::move(text);
  HeadScanner scanner;
  Fault fault;
  const auto status = scanner.scan(out.text, limits, fault);
  if (status == ScanStatus::NeedMore) {
    out.outcome = {-1, ""};
    return;
  }
  if (status == ScanStatus::Fault) {
    out.outcome = {fault.status, std::string(fault.reason)};
    return;
  }
  const std::string_view view(out.text);
  const auto head = view.substr(scanner.begin(), scanner.end() - scanner.begin());
  if (!parse_request_head(head, limits, out.head, fault)) {
    out.outcome = {fault.status, std::string(fault.reason)};
  }
}

int status_of(const std::string& text, HeadLimits limits = {}) {
  Parsed parsed;
  parse_into(parsed, text, limits);
  return parsed.outcome.status;
}

std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
std::string post(const std::string& fields) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

TEST(Http1Framing, PlainRequestIsAccepted) {
  Parsed p;
  parse_into(p, "GET /x?y=1 HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\n\r\n");
  EXPECT_EQ(p.outcome.status, 0);
  EXPECT_EQ(p.head.method, Method::Get);
  EXPECT_EQ(p.head.path, "/x?y=1");
  EXPECT_EQ(p.head.host, "example.org:8080");
  EXPECT_EQ(p.head.fields.size(), 2u);
  EXPECT_EQ(p.head.body, BodyKind::None);
  EXPECT_TRUE(p.head.persistent());
}

TEST(Http1Framing, cl_te) {
  EXPECT_EQ(status_of(post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")), 400);
}

TEST(Http1Framing, cl_dup_equal_and_cl_list_equal_are_merged) {
  Parsed p;
  parse_into(p, post("Content-Length: 3\r\nContent-Length: 3\r\n"));
  EXPECT_EQ(p.outcome.status, 0);
  EXPECT_EQ(p.head.body, BodyKind::Length);
  EXPECT_EQ(p.head.content_length, 3u);
  Parsed q;
  parse_into(q, post("Content-Length: 3, 3\r\n"));
  EXPECT_EQ(q.outcome.status, 0);
  EXPECT_EQ(q.head.content_length, 3u);
}

TEST(Http1Framing, cl_dup_diff) {
  EXPECT_EQ(status_of(post("Content-Length: 3\r\nContent-Length: 4\r\n")), 400);
  EXPECT_EQ(status_of(post("Content-Length: 3, 4\r\n")), 400);
  EXPECT_EQ(status_of(post("Content-Length: 3,\r\n")), 400);
}

TEST(Http1Framing, cl_plus_minus_hex_empty) {
  for (const char* value : {"+2", "-1", "0x2", "", "2 2", "1e3", "\xc2\xb2"}) {
    EXPECT_EQ(status_of(post(std::string("Content-Length: ") + value + "\r\n")), 400) << value;
  }
}

TEST(Http1Framing, cl_overflow) {
  EXPECT_EQ(status_of(post("Content-Length: 9223372036854775807\r\n")), 0);
  EXPECT_EQ(status_of(post("Content-Length: 9223372036854775808\r\n")), 400);
  EXPECT_EQ(status_of(post("Content-Length: 18446744073709551617\r\n")), 400);
  EXPECT_EQ(status_of(post("Content-Length: 00000000000000000003\r\n")), 400);
}

TEST(Http1Framing, te_unknown) {
  EXPECT_EQ(status_of(post("Transfer-Encoding: xchunked\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked;q=1\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: \"chunked\"\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: CHUNKED\r\n")), 0);
}

TEST(Http1Framing, te_chunked_not_last) {
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked, gzip\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: gzip\r\n")), 400);
}

TEST(Http1Framing, te_repeated) {
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked, chunked\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")), 400);
}

TEST(Http1Framing, te_control_byte) {
  EXPECT_EQ(status_of(post("Transfer-Encoding: \x0b"
                           "chunked\r\n")),
            400);
  EXPECT_EQ(status_of(post(std::string("Transfer-Encoding: chunked\0\r\n", 29))), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding:\r\n")), 400);
}

TEST(Http1Framing, te_gzip_chunked) {
  EXPECT_EQ(status_of(post("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(status_of(post("Transfer-Encoding: nonsense, chunked\r\n")), 400);
}

TEST(Http1Framing, te_in_http10) {
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(Http1Framing, bare_lf_header) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  // Refused as soon as it is seen, not when the head is complete.
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\n"), 400);
}

TEST(Http1Framing, bare_cr_nul) {
  EXPECT_EQ(status_of(get("X: a\rb\r\n")), 400);
  EXPECT_EQ(status_of(get(std::string("X: a\0b\r\n", 8))), 400);
  EXPECT_EQ(status_of(get("X: a\x7f\r\n")), 400);
  EXPECT_EQ(status_of(get("X: a\x01\r\n")), 400);
  EXPECT_EQ(status_of(get("X: a\tb \xe4\r\n")), 0);
}

TEST(Http1Framing, obs_fold) {
  EXPECT_EQ(status_of(get("X: a\r\n b\r\n")), 400);
  EXPECT_EQ(status_of(get("X: a\r\n\tb\r\n")), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
}

TEST(Http1Framing, colon_space_and_bad_names) {
  EXPECT_EQ(status_of(get("X : a\r\n")), 400);
  EXPECT_EQ(status_of(get("X\r\n")), 400);
  EXPECT_EQ(status_of(get(": a\r\n")), 400);
  EXPECT_EQ(status_of(get("X(y): a\r\n")), 400);
  EXPECT_EQ(status_of(get("X\xe4: a\r\n")), 400);
}

TEST(Http1Framing, no_host_11) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
}

TEST(Http1Framing, two_hosts_and_invalid_hosts) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  for (const char* host : {"", "a b", "a/b", "a@b", "a:70000", "a:x", "[::1", "[]", "a,b c"}) {
    EXPECT_EQ(status_of(std::string("GET / HTTP/1.1\r\nHost: ") + host + "\r\n\r\n"), 400) << host;
  }
  for (const char* host : {"a", "a.b:80", "[::1]:80", "a_b", "127.0.0.1", "a:"}) {
    EXPECT_EQ(status_of(std::string("GET / HTTP/1.1\r\nHost: ") + host + "\r\n\r\n"), 0) << host;
  }
}

TEST(Http1Framing, absolute_form) {
  Parsed p;
  parse_into(p, "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(p.outcome.status, 0);
  EXPECT_EQ(p.head.path, "/x?y");
  Parsed q;
  parse_into(q, "GET HTTP://A:80?y HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(q.outcome.status, 0);
  EXPECT_TRUE(q.head.empty_path);
  EXPECT_EQ(q.head.path, "?y");
  Parsed r;
  parse_into(r, "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(r.head.path, "*");
}

TEST(Http1Framing, absolute_mismatch) {
  EXPECT_EQ(status_of("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET http://a:8080/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(Http1Framing, star) {
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(status_of("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(Http1Framing, connect_trace) {
  EXPECT_EQ(status_of("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
  EXPECT_EQ(status_of("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
}

TEST(Http1Framing, http09_http20) {
  EXPECT_EQ(status_of("GET /\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / http/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400);
  Parsed p;
  parse_into(p, "GET / HTTP/1.7\r\nHost: a\r\n\r\n");
  EXPECT_EQ(p.outcome.status, 0);
  EXPECT_EQ(p.head.minor, 1);
}

TEST(Http1Framing, uri_bad_bytes) {
  for (const char* line : {"GET  / HTTP/1.1", "GET /a b HTTP/1.1", "GET\t/ HTTP/1.1",
                           "GET /\x01 HTTP/1.1", "GET /\xe4 HTTP/1.1", "GET /#x HTTP/1.1",
                           " GET / HTTP/1.1", "GET / HTTP/1.1 ", "G(T / HTTP/1.1", "GET"}) {
    EXPECT_EQ(status_of(std::string(line) + "\r\nHost: a\r\n\r\n"), 400) << line;
  }
}

TEST(Http1Framing, leading_crlf) {
  EXPECT_EQ(status_of("\r\n" + get("")), 0);
  EXPECT_EQ(status_of("\r\n\r\n" + get("")), 0);
  EXPECT_EQ(status_of("\r\n\r\n\r\n" + get("")), 400);
  EXPECT_EQ(status_of("\n" + get("")), 400);
}

TEST(Http1Framing, header_33k) {
  std::string fields;
  for (int i = 0; i < 33; ++i) fields += "X: " + std::string(1019, 'a') + "\r\n";
  EXPECT_EQ(status_of(get(fields)), 431);
  EXPECT_EQ(status_of(get("X: " + std::string(33 * 1024, 'a') + "\r\n")), 431);
  // Without an end in sight too.
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(33 * 1024, 'a')), 431);
  EXPECT_EQ(status_of(get("X: " + std::string(31 * 1024, 'a') + "\r\n")), 0);
}

TEST(Http1Framing, request_line_9k) {
  EXPECT_EQ(status_of("GET /" + std::string(9 * 1024, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status_of("GET /" + std::string(9 * 1024, 'a')), 414);
  EXPECT_EQ(status_of("GET /" + std::string(8000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

TEST(Http1Framing, headers_101) {
  std::string fields;
  for (int i = 0; i < 99; ++i) fields += "X: y\r\n";
  EXPECT_EQ(status_of(get(fields)), 0);
  EXPECT_EQ(status_of(get(fields + "X: y\r\n")), 431);
}

TEST(Http1Framing, expect_unknown) {
  EXPECT_EQ(status_of(post("Content-Length: 3\r\nExpect: 200-ok\r\n")), 417);
  Parsed p;
  parse_into(p, post("Content-Length: 3\r\nExpect: 100-Continue\r\n"));
  EXPECT_EQ(p.outcome.status, 0);
  EXPECT_TRUE(p.head.expect_continue);
}

TEST(Http1Framing, ConnectionOptionsAreRead) {
  Parsed p;
  parse_into(p, get("Connection: Close, X-Foo , upgrade\r\n"));
  EXPECT_TRUE(p.head.close);
  EXPECT_FALSE(p.head.persistent());
  ASSERT_EQ(p.head.nominated.size(), 2u);
  EXPECT_EQ(p.head.nominated[0], "X-Foo");
  Parsed q;
  parse_into(q, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(q.head.persistent());
  EXPECT_FALSE([] {
    Parsed r;
    parse_into(r, "GET / HTTP/1.0\r\n\r\n");
    return r.head.persistent();
  }());
}

// The scanner sees the same whatever the pieces are.
TEST(Http1Framing, AnyWayToCutTheBytesGivesTheSameHead) {
  const std::string text = "\r\nGET /abc HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest";
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    HeadScanner scanner;
    Fault fault;
    auto status = scanner.scan(std::string_view(text).substr(0, cut), {}, fault);
    if (status == ScanStatus::NeedMore) status = scanner.scan(text, {}, fault);
    ASSERT_EQ(status, ScanStatus::Complete) << cut;
    EXPECT_EQ(scanner.begin(), 2u);
    EXPECT_EQ(text.substr(scanner.end()), "rest");
  }
}

// ---- answers ------------------------------------------------------------------------------------

struct Answer {
  std::string text;
  ResponseHead head;
  bool good = false;
};

void answer_into(Answer& out, std::string text, Method method = Method::Get) {
  out.text = std::move(text);
  HeadScanner scanner(false);
  Fault fault;
  if (scanner.scan(out.text, {}, fault) != ScanStatus::Complete) return;
  out.good = parse_response_head(std::string_view(out.text).substr(0, scanner.end()), {}, method,
                                 out.head, fault);
  if (!out.good) {
    EXPECT_EQ(fault.status, 502);
    EXPECT_EQ(fault.reason, "bad_response");
  }
}

bool good_answer(const std::string& text) {
  Answer answer;
  answer_into(answer, text);
  return answer.good;
}

TEST(Http1Answers, PlainAnswerIsAccepted) {
  Answer a;
  answer_into(a, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(a.good);
  EXPECT_EQ(a.head.status, 200);
  EXPECT_EQ(a.head.reason, "OK");
  EXPECT_EQ(a.head.body, BodyKind::Length);
  EXPECT_EQ(a.head.content_length, 5u);
  EXPECT_TRUE(good_answer("HTTP/1.1 200\r\n\r\n"));
  EXPECT_TRUE(good_answer("HTTP/1.1 200 \r\n\r\n"));
}

TEST(Http1Answers, resp_cl_te) {
  EXPECT_FALSE(
      good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

TEST(Http1Answers, resp_dup_cl) {
  EXPECT_TRUE(good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"));
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"));
}

TEST(Http1Answers, resp_bad_status) {
  for (const char* line : {"HTTP/1.1 99 x", "HTTP/1.1 099 x", "HTTP/1.1 999 x", "HTTP/1.1 600 x",
                           "HTTP/1.1 2000 x", "HTTP/1.1 abc x", "HTTP/2.0 200 OK", "ICY 200 OK",
                           "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "200 OK", "HTTP/1.1 200\x01"}) {
    EXPECT_FALSE(good_answer(std::string(line) + "\r\n\r\n")) << line;
  }
}

TEST(Http1Answers, resp_bare_lf) {
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n"));
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n"));
}

TEST(Http1Answers, ControlBytesFoldsAndBadNamesAreRefused) {
  EXPECT_FALSE(good_answer(std::string("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 28)));
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\r\nX : a\r\n\r\n"));
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"));
  EXPECT_FALSE(good_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"));
}

TEST(Http1Answers, BodylessAnswersHaveNoBodyWhateverTheySay) {
  for (const char* line : {"204 No Content", "304 Not Modified", "100 Continue"}) {
    Answer a;
    answer_into(a, std::string("HTTP/1.1 ") + line + "\r\nContent-Length: 5\r\n\r\n");
    EXPECT_TRUE(a.good);
    EXPECT_EQ(a.head.body, BodyKind::None) << line;
  }
  Answer head;
  answer_into(head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head);
  EXPECT_EQ(head.head.body, BodyKind::None);
}

TEST(Http1Answers, WithoutLengthTheBodyLastsUntilTheEnd) {
  Answer a;
  answer_into(a, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(a.head.body, BodyKind::UntilClose);
  Answer b;
  answer_into(b, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_FALSE(b.head.persistent());
}

}  // namespace
}  // namespace fyr::proxy::http1
