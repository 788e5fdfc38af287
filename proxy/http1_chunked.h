// The chunked transfer coding (RFC 9112 section 7.1), strictly: one decoder for requests and
// responses. Chunk extensions are dropped, trailers kept as validated lines, everything a second
// parser could read differently is a fault.
//
// Pure. The forwarder re-frames what it is given, so nothing unvalidated crosses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http1.h"

namespace fyr::proxy::http1 {

class ChunkDecoder {
 public:
  enum class Status : std::uint8_t {
    NeedMore,  // all of the input was consumed
    Data,      // `data` is a run of body bytes inside the input; call again with the rest
    Done,      // the last byte of the message was consumed
    Fault,     // see text
  };
  struct Step {
    Status status = Status::NeedMore;
    std::size_t consumed = 0;
    std::string_view data;
    std::string_view text;  // of a fault, static
  };

  explicit ChunkDecoder(std::size_t max_trailer_bytes = 32 * 1024, std::size_t max_trailers = 100)
      : max_trailer_bytes_(max_trailer_bytes), max_trailers_(max_trailers) {}

  Step next(std::string_view input);
  // Valid trailer lines, each with CRLF, without those that must not be trailers.
  const std::string& trailers() const { return trailers_; }
  bool done() const { return state_ == State::Done; }
  void reset();

 private:
  enum class State : std::uint8_t {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    Done,
    Broken,
  };
  const char* size_byte(char c);
  const char* trailer_line();
  Step broken(std::size_t consumed, const char* text);

  State state_ = State::Size;
  std::uint8_t digits_ = 0;
  std::uint16_t extension_ = 0;  // bytes of this chunk's extension
  std::uint64_t left_ = 0;       // of this chunk
  std::size_t trailer_count_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t max_trailer_bytes_;
  std::size_t max_trailers_;
  std::string line_;  // trailer line being read
  std::string trailers_;
};

// "<size in hex>CRLF" into `out` (at least 18 bytes); returns its length.
std::size_t write_chunk_size(std::uint64_t size, char* out);

}  // namespace fyr::proxy::http1
