#include "base/io/http_codec.h"

#include <gtest/gtest.h>

namespace fyr::io {
namespace {

struct Parsed {
  HttpFault fault;
  HttpRequest request;
  HttpFraming framing;
};

Parsed parse(const std::string& head) {
  Parsed out;
  std::size_t scanned = 0;
  EXPECT_EQ(find_head_end(head, scanned), head.size()) << head;
  out.fault = parse_request_head(head, out.request, out.framing);
  return out;
}

TEST(HeadEnd, IsFoundWhereverTheReadsAreCut) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t cut = 0; cut < head.size(); ++cut) {
    std::size_t scanned = 0;
    EXPECT_EQ(find_head_end(head.substr(0, cut), scanned), 0u);
    EXPECT_EQ(find_head_end(head + "rest", scanned), head.size()) << cut;
  }
}

TEST(RequestHead, IsTakenApart) {
  const auto parsed =
      parse("PUT /v1/kv/a%20b?cas=0&x HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Pad: \t b \r\n\r\n");
  ASSERT_FALSE(parsed.fault) << parsed.fault.reason;
  EXPECT_EQ(parsed.request.method, "PUT");
  EXPECT_EQ(parsed.request.path, "/v1/kv/a%20b");
  EXPECT_EQ(parsed.request.query, "cas=0&x");
  EXPECT_EQ(parsed.request.header("x-EMPTY"), "");
  EXPECT_EQ(parsed.request.header("x-pad"), "b");
  EXPECT_EQ(parsed.request.headers[1].first, "X-Empty");
  EXPECT_TRUE(parsed.framing.keep_alive);
  EXPECT_FALSE(parsed.framing.content_length);
}

TEST(RequestHead, DropsTheAuthorityOfAnAbsoluteTarget) {
  EXPECT_EQ(parse("GET http://a:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "/x");
  EXPECT_EQ(parse("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "/");
  EXPECT_EQ(parse("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").request.query, "q");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "*");
}

TEST(RequestHead, KnowsWhenTheConnectionEnds) {
  const auto keeps = [](const char* version, const char* header) {
    return parse(std::string("GET / ") + version + "\r\nHost: a\r\n" + header + "\r\n")
        .framing.keep_alive;
  };
  EXPECT_TRUE(keeps("HTTP/1.1", ""));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: upgrade, Close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.0", ""));
  EXPECT_TRUE(keeps("HTTP/1.0", "Connection: keep-alive\r\n"));
}

TEST(RequestHead, IsRefusedWhenMalformed) {
  const std::pair<const char*, int> cases[] = {
      {"GARBAGE\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/1.1\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
      {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
       400},
      {"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417}};
  for (const auto& [head, status] : cases) {
    EXPECT_EQ(parse(head).fault.status, status) << head;
  }
}

TEST(RequestHead, AcceptsTheSameLengthTwice) {
  const auto parsed =
      parse("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n");
  EXPECT_FALSE(parsed.fault);
  EXPECT_EQ(parsed.framing.content_length, 7u);
}

TEST(RequestHead, BoundsTheNumberOfHeaders) {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 300; ++i) head += "X: y\r\n";
  EXPECT_EQ(parse(head + "\r\n").fault.status, 431);
}

TEST(ResponseHead, IsTakenApart) {
  HttpClientResponse response;
  HttpFraming framing;
  EXPECT_FALSE(parse_response_head("HTTP/1.1 404 Not here\r\nContent-Length: 3\r\nX: y\r\n\r\n",
                                   response, framing));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.reason, "Not here");
  EXPECT_EQ(framing.content_length, 3u);
  EXPECT_FALSE(parse_response_head("HTTP/1.1 200\r\n\r\n", response, framing));
  EXPECT_TRUE(parse_response_head("HTTP/1.1 20 OK\r\n\r\n", response, framing));
  EXPECT_TRUE(parse_response_head("SSH-2.0-OpenSSH\r\n\r\n", response, framing));
}

// Decodes in pieces of every size, so that each state sees an end of input.
std::pair<ChunkedDecoder::State, std::string> dechunk(std::string_view text, std::size_t piece) {
  ChunkedDecoder decoder;
  std::string out;
  auto state = ChunkedDecoder::State::More;
  while (!text.empty() && state == ChunkedDecoder::State::More) {
    auto part = text.substr(0, piece);
    text.remove_prefix(part.size());
    state = decoder.feed(part, out);
  }
  return {state, out};
}

TEST(ChunkedDecoder, JoinsChunksHoweverTheyArrive) {
  const std::string text =
      "3\r\nabc\r\n0A;name=\"value\"\r\n0123456789\r\n0\r\nTrailer: x\r\nMore: y\r\n\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const auto [state, out] = dechunk(text, piece);
    EXPECT_EQ(state, ChunkedDecoder::State::Done) << piece;
    EXPECT_EQ(out, "abc0123456789") << piece;
  }
}

TEST(ChunkedDecoder, LeavesWhatFollowsTheLastChunk) {
  ChunkedDecoder decoder;
  std::string out;
  std::string_view data = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1";
  EXPECT_EQ(decoder.feed(data, out), ChunkedDecoder::State::Done);
  EXPECT_EQ(data, "GET / HTTP/1.1");
}

TEST(ChunkedDecoder, RefusesMalformedChunks) {
  for (const auto* text : {"x\r\n", "\r\n", "-1\r\n", "3\nabc", "3\r\nabcd", "3\r\nabc\n", " 3\r\n",
                           "0\r\n\n", "FFFFFFFFFFFFFFFFF\r\n", "3;\n"}) {
    EXPECT_EQ(dechunk(text, 100).first, ChunkedDecoder::State::Bad) << text;
  }
  EXPECT_EQ(dechunk("1;" + std::string(5000, 'x'), 100).first, ChunkedDecoder::State::Bad);
  EXPECT_EQ(dechunk("0\r\n" + std::string(10000, 'x'), 100).first, ChunkedDecoder::State::Bad);
}

TEST(ResponseWriter, KeepsSpellingAndStopsHeaderInjection) {
  std::string out;
  HttpResponse response{404, {{"X-Consul-Index", "1\r\nEvil: 2"}, {"Connection", "x"}}, nullptr};
  ResponseFraming framing;
  framing.content_length = 5;
  append_response_head(out, response, framing, "D");
  EXPECT_EQ(out,
            "HTTP/1.1 404 Not Found\r\nX-Consul-Index: 1  Evil: 2\r\nDate: D\r\n"
            "Content-Length: 5\r\n\r\n");
}

TEST(HttpDate, HasTheFormOfTheRfc) {
  EXPECT_EQ(format_http_date(WallTime(std::chrono::seconds(784111777))),
            "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace fyr::io
