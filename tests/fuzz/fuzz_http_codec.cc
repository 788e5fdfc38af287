// Any bytes sent to the HTTP server or answered to the HTTP client: parsed or refused, never
// differently when they arrive in other pieces.
#include <cstdlib>

#include "base/io/http_codec.h"

namespace {

using namespace fyr::io;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_heads(std::string_view text) {
  std::size_t scanned = 0;
  const auto length = find_head_end(text, scanned);
  require(length <= text.size());
  std::size_t stepwise = 0;
  std::size_t found = 0;
  for (std::size_t size = 0; size <= text.size() && found == 0; ++size) {
    found = find_head_end(text.substr(0, size), stepwise);
  }
  require(found == length);
  if (length == 0) return;
  const auto head = text.substr(0, length);
  HttpRequest request;
  HttpFraming framing;
  if (!parse_request_head(head, request, framing)) {
    require(!request.method.empty() && !request.path.empty());
    require(!(framing.chunked && framing.content_length));
    for (const auto& [name, value] : request.headers) {
      require(!name.empty());
      require((name + value).find_first_of("\r\n") == std::string::npos);
    }
  }
  HttpClientResponse response;
  HttpFraming answered;
  if (!parse_response_head(head, response, answered)) {
    require(response.status >= 100 && response.status <= 999);
  }
}

struct Decoded {
  ChunkedDecoder::State state = ChunkedDecoder::State::More;
  std::string body;
  std::size_t consumed = 0;
};

Decoded decode(std::string_view text, std::size_t piece) {
  Decoded out;
  ChunkedDecoder decoder;
  while (out.state == ChunkedDecoder::State::More && out.consumed < text.size()) {
    auto part = text.substr(out.consumed, piece);
    const auto size = part.size();
    out.state = decoder.feed(part, out.body);
    out.consumed += size - part.size();
    if (out.state == ChunkedDecoder::State::More) require(part.empty());
  }
  return out;
}

void check_chunks(std::string_view text) {
  const auto whole = decode(text, text.size() + 1);
  require(whole.body.size() <= text.size());
  const auto bytes = decode(text, 1);
  require(bytes.state == whole.state && bytes.body == whole.body);
  if (whole.state == ChunkedDecoder::State::Done) require(bytes.consumed == whole.consumed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_heads(text);
  check_chunks(text);
  return 0;
}
