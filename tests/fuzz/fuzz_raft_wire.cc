// Any frame a peer may send, with a right checksum: refused with a reason, or its messages can be
// sent on and arrive as they were.
#include <array>
#include <cstdlib>

#include "base/bytes.h"
#include "raft/wire.h"

namespace {

using namespace fyr;
using namespace fyr::raft;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string joined(const FramePieces& pieces) {
  std::string bytes;
  for (const auto& piece : pieces) bytes += piece.view();
  return bytes;
}

Result<Frame> decode(std::string_view bytes) {
  const std::array pieces{bytes};
  return decode_frame(pieces, {NodeId(2), NodeId(1), 7});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)decode(text);

  // The checksum is the first field: one byte of tag, four of value.
  std::string frame = joined(encode_hello(1, {})).substr(0, 5);
  const std::uint32_t crc = crc32c(text);
  for (std::size_t i = 0; i < 4; ++i) frame[i + 1] = static_cast<char>(crc >> (8 * i));
  frame += text;
  const auto parsed = decode(frame);
  if (!parsed) {
    require(!parsed.error().message.empty());
    return 0;
  }
  if (parsed->messages.empty()) return 0;
  const std::string sent = joined(encode_messages(parsed->sequence, parsed->messages));
  const auto arrived = decode(sent);
  require(arrived.has_value() && arrived->sequence == parsed->sequence);
  require(arrived->messages.size() == parsed->messages.size());
  require(joined(encode_messages(arrived->sequence, arrived->messages)) == sent);
  return 0;
}
