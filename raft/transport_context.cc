#include "raft/transport_context.h"

#include "base/metrics.h"

namespace fyr::raft {

void count_refusal(std::string_view word) {
  metrics::counter("fyr.raft.handshake_refused", {{"reason", std::string(word)}}).add();
}

}  // namespace fyr::raft
