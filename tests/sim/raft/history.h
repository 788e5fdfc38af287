// What clients did and were told: outcomes (I15) and freshness of reads (I13).
#pragma once

#include <string>
#include <vector>

#include "raft/types.h"
#include "tests/sim/raft/basics.h"
#include "tests/sim/raft/machine.h"

namespace fyr::raft::sim {

class History {
 public:
  // ---- writes: an attempt is one command sent once
  std::uint64_t begin_write();
  void write_succeeded(std::uint64_t attempt, Index index);
  void write_failed(std::uint64_t attempt);
  void write_unknown(std::uint64_t attempt);
  // The entry with this attempt is committed at `index`.
  void committed(std::uint64_t attempt, Index index);

  // ---- reads: the floor is what a read begun now must at least return
  Index floor() const { return floor_; }
  void read_succeeded(Index floor_at_begin, Index index, Index state);

  std::uint64_t writes() const { return writes_; }
  std::uint64_t reads() const { return reads_; }
  std::uint64_t failures() const { return failures_; }
  std::uint64_t unknowns() const { return unknowns_; }
  std::uint64_t unknown_but_committed() const { return unknown_committed_; }

 private:
  enum class State : std::uint8_t { Open, Succeeded, Failed, Unknown };
  struct Attempt {
    State state = State::Open;
    Index committed{};
  };
  std::vector<Attempt> attempts_;
  Index floor_{};
  std::uint64_t writes_ = 0, reads_ = 0, failures_ = 0, unknowns_ = 0, unknown_committed_ = 0;
};

}  // namespace fyr::raft::sim
