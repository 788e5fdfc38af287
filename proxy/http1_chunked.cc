#include "proxy/http1_chunked.h"

#include <algorithm>

namespace fyr::proxy::http1 {
namespace {

constexpr std::size_t kMaxExtension = 256;
constexpr std::uint8_t kMaxDigits = 16;
constexpr std::uint64_t kMaxChunk = (std::uint64_t{1} << 63) - 1;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void ChunkDecoder::reset() {
  state_ = State::Size;
  digits_ = 0;
  extension_ = 0;
  left_ = 0;
  trailer_count_ = 0;
  trailer_bytes_ = 0;
  line_.clear();
  trailers_.clear();
}

ChunkDecoder::Step ChunkDecoder::broken(std::size_t consumed, const char* text) {
  state_ = State::Broken;
  return {Status::Fault, consumed, {}, text};
}

// One byte of a chunk's size line up to its CR. Null if it may stand there.
const char* ChunkDecoder::size_byte(char c) {
  if (state_ == State::Extension) {
    if (c == '\r') {
      state_ = State::SizeLf;
    } else if (++extension_ > kMaxExtension) {
      return "chunk extension too long";
    } else if (c != '\t' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
      return "control byte in a chunk extension";
    }
    return nullptr;
  }
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > kMaxDigits) return "chunk size has too many digits";
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    if (left_ > kMaxChunk) return "chunk size overflows";
    return nullptr;
  }
  if (digits_ == 0) return "chunk size is missing";
  if (c == ';') {
    state_ = State::Extension;
    extension_ = 0;
  } else if (c == '\r') {
    state_ = State::SizeLf;
  } else {
    return "chunk size is not a hexadecimal number";
  }
  return nullptr;
}

// line_ holds one line with CRLF. Null and state Done after the empty one.
const char* ChunkDecoder::trailer_line() {
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') return "trailer line ends without CR";
  if (line_.size() == 2) {
    state_ = State::Done;
    return nullptr;
  }
  if (++trailer_count_ > max_trailers_) return "too many trailers";
  Field field;
  const char* problem =
      parse_field_line(std::string_view(line_).substr(0, line_.size() - 2), field);
  if (problem != nullptr) return problem;
  if (!is_forbidden_trailer(field.name)) trailers_ += line_;
  line_.clear();
  return nullptr;
}

ChunkDecoder::Step ChunkDecoder::next(std::string_view input) {
  std::size_t at = 0;
  while (at < input.size()) {
    switch (state_) {
      case State::Size:
      case State::Extension:
        if (const char* problem = size_byte(input[at])) return broken(at, problem);
        ++at;
        break;
      case State::SizeLf:
        if (input[at] != '\n') return broken(at, "CR without LF after a chunk size");
        ++at;
        state_ = left_ == 0 ? State::Trailer : State::Data;
        digits_ = 0;
        break;
      case State::Data: {
        const auto run = static_cast<std::size_t>(
            std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(input.size() - at)));
        left_ -= run;
        if (left_ == 0) state_ = State::DataCr;
        return {Status::Data, at + run, input.substr(at, run), {}};
      }
      case State::DataCr:
      case State::DataLf:
        if (input[at] != (state_ == State::DataCr ? '\r' : '\n')) {
          return broken(at, "chunk data does not end with CRLF");
        }
        ++at;
        state_ = state_ == State::DataCr ? State::DataLf : State::Size;
        break;
      case State::Trailer: {
        const auto lf = input.find('\n', at);
        const auto end = lf == std::string_view::npos ? input.size() : lf + 1;
        trailer_bytes_ += end - at;
        if (trailer_bytes_ > max_trailer_bytes_) return broken(at, "trailers too large");
        line_.append(input.substr(at, end - at));
        at = end;
        if (lf == std::string_view::npos) break;
        if (const char* problem = trailer_line()) return broken(at, problem);
        if (state_ == State::Done) return {Status::Done, at, {}, {}};
        break;
      }
      case State::Done:
        return {Status::Done, at, {}, {}};
      case State::Broken:
        return {Status::Fault, at, {}, "broken before"};
    }
  }
  return {state_ == State::Done ? Status::Done : Status::NeedMore, at, {}, {}};
}

std::size_t write_chunk_size(std::uint64_t size, char* out) {
  char digits[16];
  std::size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[size & 15];
    size >>= 4;
  } while (size != 0);
  for (std::size_t i = 0; i < count; ++i) out[i] = digits[count - 1 - i];
  out[count] = '\r';
  out[count + 1] = '\n';
  return count + 2;
}

}  // namespace fyr::proxy::http1
