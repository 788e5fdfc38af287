// The state machine: committed entries in, state in memory and on disk out.
//
// Order of one batch: applied in memory (readable), published to watchers, written to disk in one
// batch with the applied index; then Raft answers the proposers. A command this version does not
// know completely stops the process before it is applied (raft.md §10); so does a failed write.
//
// Threading: apply on Raft's apply thread; the rest from any thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/error.h"
#include "base/guarded.h"
#include "raft/node.h"
#include "server/state/store.h"
#include "server/state_database.h"
#include "server/watch/publisher.h"

namespace fyr::server {

class Fsm final : public raft::StateMachine {
 public:
  // Opens raft_directory/state/<generation> and loads it.
  static Result<std::unique_ptr<Fsm>> open(const std::filesystem::path& raft_directory,
                                           Publisher& publisher);

  raft::Index applied() const override;
  void apply(std::span<const raft::Entry> entries,
             std::vector<raft::ApplyOutcome>& outcomes) override;
  raft::Index durable_applied() const override;
  void flush() override;

  const SharedGuarded<StateStore>& state() const { return state_; }
  // Called on the apply thread after each batch with its last index; set before the first one.
  void on_applied(std::function<void(StateIndex)> callback) { on_applied_ = std::move(callback); }
  // Newest stamp applied: stamps of new commands must not be older.
  std::int64_t last_stamp_ns() const { return last_stamp_ns_.load(std::memory_order_acquire); }

 private:
  explicit Fsm(Publisher& publisher) : publisher_(publisher) {}
  void apply_group(std::span<const raft::Entry> entries, std::span<pb::Command> commands,
                   std::vector<raft::ApplyOutcome>& outcomes);

  Publisher& publisher_;
  std::unique_ptr<StateDatabase> database_;
  SharedGuarded<StateStore> state_;
  std::function<void(StateIndex)> on_applied_;
  std::atomic<std::uint64_t> applied_{0};
  std::atomic<std::int64_t> last_stamp_ns_{0};
};

}  // namespace fyr::server
