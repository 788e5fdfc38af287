// Any file given to `snapshot restore`: as it is, as the content of the archive's gzip layer, and
// as its rows. Refused with a reason, or read; rows that are read are a state that can be used.
#include <cstdlib>

#include "base/io/http_router.h"
#include "server/api/snapshot_archive.h"
#include "server/state/saved_rows.h"

namespace {

using namespace fyr;
using namespace fyr::server;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& bytes : {std::string(text), io::gzip(text)}) {
    const auto archive = read_archive(bytes);
    if (!archive) {
      require(!archive.error().message.empty());
      continue;
    }
    const auto again = read_archive(write_archive(*archive));
    require(again.has_value() && again->state == archive->state && again->id == archive->id);
  }
  const auto state = restored_state(text, 7);
  if (state) {
    require(state->digest() == restored_state(text, 7)->digest());
    require(state->applied() <= 7);
  } else {
    require(!state.error().message.empty());
  }
  return 0;
}
