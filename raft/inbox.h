// What threads leave for the core, and whose turn it is to run it.
//
// A hop between threads costs more than most steps of the core. So a thread that leaves something
// while nobody has the turn gets it, and runs one step itself; what comes meanwhile, and whatever
// is due at some time, is for the raft thread. A single write or message thus pays for no hop; many
// at once pile up and are taken together, as by a thread of its own.
//
// Bounded: proposals, reads and requests are refused when there are too many, messages are dropped
// (peers say it again).
//
// Threading: any. input() and finish() belong to who has the turn.
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

  struct Left {
    std::optional<Error> error;  // then nothing was taken from the argument
    bool turn = false;           // the caller has it: step, then finish()
    Instant at{};                // the time for that step: nothing more is due than was found
  };
  // Whoever proposes may hold locks: it gets the turn only when no timer is due, whose effects are
  // told to others.
  Left propose(DriverInput::Propose& proposal);
  Left messages(std::vector<Message> got);
  Left written(WriteId upto);

  std::optional<Error> read(DriverInput::Read& read);
  std::optional<Error> change(DriverInput::Change& change);
  std::optional<Error> transfer(DriverInput::Transfer& transfer);
  std::optional<Error> found(DriverInput::Found& found);
  void link(NodeId peer, LinkState state);
  // Progress of the state; for whoever has the next turn.
  void applied(Index applied, Index durable, bool urgent);
  // After the clients of that progress were answered: true if it is urgent, or the core waits for
  // it, and nobody has taken it since; the caller has the turn then.
  bool look_at_applied();
  void fetched(FetchedLog log);
  void snapshot(SnapshotEvent event);
  void digest(Index check, std::uint64_t digest);
  void disk_low(bool low);
  void stop();

  // The raft thread, which has the turn at first: waits for it, and for something to do. False:
  // stopped; nobody gets the turn any more.
  bool take();
  // What came until the turn began; what is left in it stays for the next one.
  DriverInput& input() { return input_; }
  // Gives the turn back. `until`: a step is due then; `wanted`: the applied index that matters;
  // `again`: the raft thread has something to do besides.
  void finish(std::optional<Instant> until, Index wanted, bool again);

 private:
  // Who may be given the turn for what it leaves.
  enum class May { Always, NothingDue, Never };
  template <class F>
  Left add(May may, F&& f);
  template <class T>
  std::optional<Error> add_request(std::vector<T>& requests, T& request);
  void begin_turn();
  void wake(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable wake_;
  DriverInput input_;  // whose turn it is
  // All guarded by mutex_.
  DriverInput waiting_;
  std::size_t proposal_bytes_ = 0;
  std::size_t message_bytes_ = 0;
  Index wanted_{};
  std::optional<Instant> until_;   // when the next step is due
  std::optional<Instant> sleeps_;  // the raft thread sleeps until then
  bool busy_ = true;               // somebody has the turn
  bool awake_ = false;             // the raft thread has something to do
  bool urgent_ = false;            // waiting_.applied is
  bool stopped_ = false;
};

}  // namespace fyr::raft
