// Handing the leadership over (raft.md §5; thesis §3.10).
#include "raft/core.h"

namespace fyr::raft {
void Core::transfer(Instant now, const TransferRequest& request) {
  advance(now);
  transfers_.emplace_back(request.id, fail(ErrorCode::Unsupported, "not yet"));
}
void Core::consider_transfer() {}
void Core::end_transfers_elsewhere() {}
void Core::watch_disk() {}
void Core::rebalance() {}
void Core::note_well(Progress&) {}
void Core::handle(const Message&, const TimeoutNow&) {}
}  // namespace fyr::raft
