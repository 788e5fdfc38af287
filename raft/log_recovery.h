// What is left of the log at start, and what to do about what is not (raft.md §9, §10).
//
// A log that lacks acknowledged entries, fails its checks or does not reach the state is lost data.
// A sole voter has nobody to rebuild from and must not start. Any other node starts in quarantine:
// that is noted durably first, then the log is made again from its good beginning (or from the
// state, if that does not reach), and the old files stay beside it as log.damaged-<n>.
// Damage behind everything acknowledged, as a power cut may leave it, costs nothing: the log ends
// before it.
//
// An install that was cut off is taken back if the state was not exchanged yet, else carried on.
//
// Threading: at start, one thread; continue_after on the raft-log thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "raft/hardstate_file.h"
#include "raft/rocks_log.h"

namespace fyr::raft {

struct LogRecoveryInput {
  std::filesystem::path directory;
  NodeId self{};
  HardState hard;
  std::uint64_t incarnation = 0;       // names what is set aside
  bool first_start = false;            // there is nothing yet
  Result<WatermarkFile>* watermark{};  // an error if it cannot be read; whole afterwards
  std::optional<LogPosition> state;    // of the state machine; none: not checked
  rocksdb::Env* env = nullptr;
};

struct LogRecovery {
  std::unique_ptr<RocksLog> log;
  RecoveredState state;  // but for the hard state
};

// Corrupt: a sole voter's log lost something; Internal, Unsupported: it cannot be read for a reason
// that says nothing about its content.
Result<LogRecovery> recover_log(const LogRecoveryInput& input);

// The log shall go on after `base`, whose state is the node's.
Result<void> continue_after(RocksLog& log, WatermarkFile& watermark, const LogBase& base);

}  // namespace fyr::raft
