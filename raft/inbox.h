// What other threads left for the raft thread. Bounded: proposals, reads and requests are refused
// when there are too many, messages are dropped (peers say it again).
//
// A thread that leaves something wakes the raft thread only if that sleeps, so many inputs cost one
// wake-up.
//
// Threading: take() on the raft thread, everything else from any.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "raft/driver.h"

namespace fyr::raft {

class Inbox {
 public:
  static constexpr std::size_t kMaxProposalBytes = 64u << 20;
  static constexpr std::size_t kMaxReads = 20'000;
  static constexpr std::size_t kMaxRequests = 1'000;
  static constexpr std::size_t kMaxMessages = 16'384;
  static constexpr std::size_t kMaxMessageBytes = 128u << 20;

  // Take from their argument only if there is no error.
  std::optional<Error> propose(DriverInput::Propose& proposal);
  std::optional<Error> read(DriverInput::Read& read);
  std::optional<Error> change(DriverInput::Change& change);
  std::optional<Error> transfer(DriverInput::Transfer& transfer);
  std::optional<Error> found(DriverInput::Found& found);

  void messages(std::vector<Message> got);
  void link(NodeId peer, LinkState state);
  void written(WriteId upto);
  // Wakes the raft thread only if it waits for this: progress of the state is rarely urgent.
  void applied(Index applied, Index durable, bool urgent);
  void fetched(FetchedLog log);
  void snapshot(SnapshotEvent event);
  void stop();

  // Adds what came to `input`, waiting for something if that is empty. `wanted`: the applied
  // index that matters; false: stopped.
  bool take(DriverInput& input, std::optional<Instant> until, Index wanted);

 private:
  template <class F>
  std::optional<Error> add(F&& f);
  template <class T>
  std::optional<Error> add_request(std::vector<T>& requests, T& request);
  void wake(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable wake_;
  // All guarded by mutex_.
  DriverInput waiting_;
  std::size_t proposal_bytes_ = 0;
  std::size_t message_bytes_ = 0;
  Index wanted_{};
  bool awake_ = false;
  bool stopped_ = false;
};

}  // namespace fyr::raft
