#include "proxy/http1_chunked.h"

#include <gtest/gtest.h>

#include <string>

namespace fyr::proxy::http1 {
namespace {

using Status = ChunkDecoder::Status;

struct Decoded {
  Status status = Status::NeedMore;
  std::string body;
  std::string trailers;
  std::size_t consumed = 0;
};

// Feeds `text` in pieces of `piece` bytes.
Decoded decode(std::string_view text, std::size_t piece = 1000) {
  ChunkDecoder decoder;
  Decoded out;
  std::size_t at = 0;
  while (at < text.size()) {
    auto part = text.substr(at, piece);
    while (!part.empty()) {
      const auto step = decoder.next(part);
      part.remove_prefix(step.consumed);
      out.consumed += step.consumed;
      out.body += step.data;
      out.status = step.status;
      if (step.status == Status::Done || step.status == Status::Fault) {
        out.trailers = decoder.trailers();
        return out;
      }
      if (step.status == Status::NeedMore) break;
    }
    at += piece;
  }
  return out;
}

TEST(Http1Chunked, BodyIsDecodedHoweverItArrives) {
  const std::string text = "4\r\nWiki\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nNEXT";
  for (std::size_t piece = 1; piece < text.size(); ++piece) {
    const auto out = decode(text, piece);
    EXPECT_EQ(out.status, Status::Done) << piece;
    EXPECT_EQ(out.body, "Wiki0123456789");
    EXPECT_EQ(out.trailers, "X-Sum: 1\r\n");
    EXPECT_EQ(text.substr(out.consumed), "NEXT");
  }
}

TEST(Http1Chunked, chunk_ext) {
  const auto out = decode("4;name=\"a b\"\r\nWiki\r\n0;x\r\n\r\n");
  EXPECT_EQ(out.status, Status::Done);
  EXPECT_EQ(out.body, "Wiki");
}

TEST(Http1Chunked, chunk_ext_flood) {
  EXPECT_EQ(decode("4;" + std::string(256, 'a') + "\r\nWiki\r\n0\r\n\r\n").status, Status::Done);
  EXPECT_EQ(decode("4;" + std::string(257, 'a') + "\r\nWiki\r\n0\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("4;a\x01\r\nWiki\r\n0\r\n\r\n").status, Status::Fault);
}

TEST(Http1Chunked, chunk_bare_lf) {
  EXPECT_EQ(decode("4\nWiki\r\n0\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("4\r\nWiki\n0\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("4;a\nWiki\r\n0\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("4\r\nWiki\r\n0\r\n\n").status, Status::Fault);
  EXPECT_EQ(decode("4\rXWiki\r\n0\r\n\r\n").status, Status::Fault);
}

TEST(Http1Chunked, chunk_size_bad) {
  for (const char* size : {"0x2", "00000000000000002", "", "-1", "+1", " 2", "2 ", "g",
                           "ffffffffffffffff", "8000000000000000"}) {
    EXPECT_EQ(decode(std::string(size) + "\r\nab\r\n0\r\n\r\n").status, Status::Fault) << size;
  }
  EXPECT_EQ(decode("0000000000000002\r\nab\r\n0\r\n\r\n").status, Status::Done);
}

TEST(Http1Chunked, chunk_no_crlf) {
  EXPECT_EQ(decode("2\r\nabc\r\n0\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("2\r\nab0\r\n\r\n").status, Status::Fault);
}

TEST(Http1Chunked, trailer_cl) {
  const auto out = decode(
      "0\r\nContent-Length: 5\r\nX-A: 1\r\nAuthorization: b\r\ntransfer-encoding: chunked\r\n"
      "Host: c\r\nX-B: 2\r\n\r\n");
  EXPECT_EQ(out.status, Status::Done);
  EXPECT_EQ(out.trailers, "X-A: 1\r\nX-B: 2\r\n");
}

TEST(Http1Chunked, TrailersAreHeldToTheRulesAndLimitsOfHeaders) {
  EXPECT_EQ(decode("0\r\nX : 1\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("0\r\nX: 1\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("0\r\n X: 1\r\n\r\n").status, Status::Fault);
  EXPECT_EQ(decode("0\r\nX: " + std::string(33 * 1024, 'a') + "\r\n\r\n", 100000).status,
            Status::Fault);
  std::string many = "0\r\n";
  for (int i = 0; i < 101; ++i) many += "X: y\r\n";
  EXPECT_EQ(decode(many + "\r\n", 100000).status, Status::Fault);
}

TEST(Http1Chunked, SizesAreWrittenInHexadecimal) {
  char out[18];
  EXPECT_EQ(std::string(out, write_chunk_size(0x1aF, out)), "1af\r\n");
  EXPECT_EQ(std::string(out, write_chunk_size(0, out)), "0\r\n");
  EXPECT_EQ(std::string(out, write_chunk_size(~std::uint64_t{0}, out)), "ffffffffffffffff\r\n");
}

}  // namespace
}  // namespace fyr::proxy::http1
