// Named states which the simulation must reach: a simulator that never gets there proves nothing
// about them (raft-verification.md A5).
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace fyr::raft::sim {

enum class Mark : std::uint8_t {
  ElectionWon,
  VoteAskedAfterCrashInSameTerm,
  SplitVote,
  VoteRefused,
  PreVoteRefused,
  PreVoteRefusedByPromise,
  PreVoteRefusedByLog,
  StepDown,
  ConflictTruncation,
  ConflictOverTwoTerms,
  OldTermOnMajority,
  CommitWithoutLeaderDisk,
  UnsyncedLost,
  UnsyncedKept,
  HardStateLost,
  KilledWhileWriting,
  MessageOfEarlierLife,
  MessageReplayed,
  FollowerRestartInsidePromise,
  ReadByLease,
  ReadByLeaseNearExpiry,
  ReadByRound,
  ReadAtFollower,
  ReadRefused,
  LeaseRunOutAfterPause,
  UnknownThenCommitted,
  RepeatedCommand,
  LogCompacted,
  EntriesFetchedFromDisk,
  TransferDone,
  TransferFailed,
  TransferLate,
  JointEntered,
  JointInherited,
  JointTruncated,
  JointLeft,
  LeaderRemoved,
  LearnerPromoted,
  LearnerVoted,
  ConfigurationRefused,
  SnapshotMade,
  SnapshotInstalled,
  SnapshotOverConflict,
  SnapshotKeptSuffix,
  SnapshotResumed,
  SnapshotOvertaken,
  InstallInterrupted,
  DiskFrozenLeader,
  DiskStalledStepDown,
  DiskError,
  AcknowledgedLost,
  QuarantineEnded,
  WindowLost,
  AppendedTwice,
  ClockJumped,
  PriorityZeroLeads,
  Rebalanced,
  SingleVoter,
  EvenVoters,
  Count,
};

class Marks {
 public:
  void hit(Mark mark, std::uint64_t times = 1) { counts_[static_cast<std::size_t>(mark)] += times; }
  std::uint64_t count(Mark mark) const { return counts_[static_cast<std::size_t>(mark)]; }
  void add(const Marks& other);
  std::string table() const;
  // Names of those never reached.
  std::string missing() const;

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Mark::Count)> counts_{};
};

}  // namespace fyr::raft::sim
