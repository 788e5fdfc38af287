// Deliberate bugs, to prove that the simulator can see them (raft-verification.md B). They exist
// only where RAFT_MUTATIONS is defined: in the core that the simulator is built with, never in a
// program that ships; elsewhere mutated() is a constant and leaves no trace.
#pragma once

#include <cstdint>

namespace fyr::raft {

// Numbered as in the table of the verification plan.
enum class Mutation : std::uint8_t {
  None = 0,
  M01 = 1,   // a vote leaves before it is durable
  M02 = 2,   // a new term is not written before the next append
  M03 = 3,   // a candidate asks for votes, and counts its own, before its own is durable
  M04 = 4,   // an append is acknowledged before it is durable
  M05 = 5,   // a leader counts entries it has not made durable
  M06 = 6,   // entries of earlier terms commit by counting copies
  M07 = 7,   // half of an even number of voters is a quorum
  M08 = 8,   // learners count for commit
  M09 = 9,   // of a joint configuration only the new set decides
  M10 = 10,  // voters change in one step, without C1 and C2
  M11 = 11,  // the leave entry is appended before the joint one is committed
  M12 = 12,  // a follower takes the leader's commit up to its own last index
  M13 = 13,  // heartbeats carry the leader's commit, whatever the peer has
  M14 = 14,  // any append cuts what is behind it
  M15 = 15,  // votes and pre-votes are granted without a look at the log
  M16 = 16,  // pre-votes are granted without a look at the log
  M17 = 17,  // ReadIndex is answered without a round
  M18 = 18,  // reads before the leader's first own commit
  M19 = 19,  // rounds are matched by what the reader says
  M20 = 20,  // a lease counts from the receipt of echoes and lasts 1.2 E
  M21 = 21,  // the lease is kept during a transfer
  M22 = 22,  // no promise after a start
  M23 = 23,  // an installed snapshot keeps a conflicting log
  M24 = 24,  // a snapshot says a later index than its content has
  M25 = 25,  // `applied` is written apart from the effects
  M26 = 26,  // the log is cut above the durable state
  M27 = 27,  // appends behind the base claim term 0 before them
  M28 = 28,  // durability is told by the index of a write, also of one that was cut away
  M29 = 29,  // a lost acknowledged tail is taken for a short log
  M30 = 30,  // a leader without its quorum goes on
  M31 = 31,  // heartbeats do not care about the disk
  M32 = 32,  // stepping down within a term forgets the vote
  M33 = 33,  // late rejections lower the progress below what was acknowledged
  M34 = 34,  // a full window is never opened again after a loss
  M35 = 35,  // the loss of leadership is reported as a failure
  M36 = 36,  // a failed sync is tried again
};

#ifdef RAFT_MUTATIONS
// The one that is on. Set by the simulator only, before a run.
inline Mutation active_mutation = Mutation::None;
inline bool mutated(Mutation mutation) {
  return mutation == active_mutation;
}
#else
constexpr bool mutated(Mutation) {
  return false;
}
#endif

}  // namespace fyr::raft
