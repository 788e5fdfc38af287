// The file `committed` of a Raft folder: how far the state had been applied when the node ran last.
//
// Noted before each batch is applied, with a plain write and no sync, so after a kill it covers all
// that a reader could have seen. After a power cut it may be older, never wrong: what is noted was
// committed. It is a hint, and a start without it only takes longer.
//
// Threading: note() by one thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "raft/types.h"

namespace fyr::raft {

class CommitNote {
 public:
  // What cannot be read counts as absent; what cannot be written is removed.
  explicit CommitNote(std::filesystem::path path);
  ~CommitNote();
  CommitNote(const CommitNote&) = delete;
  CommitNote& operator=(const CommitNote&) = delete;

  // As found by the constructor.
  const std::optional<LogPosition>& found() const { return found_; }
  // No power cut since it was noted: nothing that was applied lies behind it.
  bool is_complete() const { return complete_; }
  void note(LogPosition position);

 private:
  const std::filesystem::path path_;
  const std::string boot_;  // which start of the machine this is; empty: not known
  int fd_ = -1;
  std::optional<LogPosition> found_;
  bool complete_ = false;
};

}  // namespace fyr::raft
