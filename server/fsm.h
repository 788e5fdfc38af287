// The state machine: committed entries in, state in memory and on disk out.
//
// Order of one batch: applied in memory (readable), published to watchers, written to disk in one
// batch with the applied index; then Raft answers the proposers. A command this version does not
// know completely stops the process before it is applied (raft.md §10); so does a failed write.
//
// A snapshot of another server is opened beside the live state, replaces it in one step, and wakes
// everybody who waits for a change.
//
// Threading: apply, flush, checkpoint and activate on Raft's apply thread; the rest from any.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/error.h"
#include "base/guarded.h"
#include "raft/node.h"
#include "raft/state_generations.h"
#include "server/state/store.h"
#include "server/state_database.h"
#include "server/watch/publisher.h"

namespace fyr::server {

class Fsm final : public raft::StateMachine {
 public:
  // Opens the current generation below raft_directory/state and loads it; others are removed. A
  // damaged one is set aside if there are other servers to get it from.
  static Result<std::unique_ptr<Fsm>> open(const std::filesystem::path& raft_directory,
                                           Publisher& publisher);

  raft::Index applied() const override;
  void apply(std::span<const raft::Entry> entries,
             std::vector<raft::ApplyOutcome>& outcomes) override;
  raft::Index durable_applied() const override;
  void flush() override;
  raft::Term applied_term() const override;
  Result<raft::LogPosition> checkpoint(const std::filesystem::path& directory) override;
  Result<raft::LogPosition> prepare(const std::filesystem::path& directory) override;
  void drop_prepared() override;
  void activate() override;
  std::uint64_t digest() const override;
  void distrust(const std::string& why) override;

  const SharedGuarded<StateStore>& state() const { return state_; }
  // Called on the apply thread after each batch with its last index; set before the first one.
  void on_applied(std::function<void(StateIndex)> callback) { on_applied_ = std::move(callback); }
  // Newest stamp applied: stamps of new commands must not be older.
  std::int64_t last_stamp_ns() const { return last_stamp_ns_.load(std::memory_order_acquire); }

 private:
  // A state that was opened beside the live one.
  struct Prepared {
    std::uint64_t generation = 0;
    std::unique_ptr<StateDatabase> database;
    StateStore store;
    AppliedRecord record;
  };

  Fsm(const std::filesystem::path& raft_directory, Publisher& publisher)
      : generations_(raft_directory), publisher_(publisher) {}
  Result<void> load(std::uint64_t generation);
  Result<void> leave_distrusted(const std::filesystem::path& raft_directory,
                                std::uint64_t generation);
  void apply_group(std::span<const raft::Entry> entries, std::span<pb::Command> commands,
                   std::vector<raft::ApplyOutcome>& outcomes);

  const raft::StateGenerations generations_;
  Publisher& publisher_;
  std::unique_ptr<StateDatabase> database_;
  SharedGuarded<StateStore> state_;
  std::function<void(StateIndex)> on_applied_;
  std::atomic<std::uint64_t> applied_{0};
  std::atomic<std::uint64_t> applied_term_{0};
  std::atomic<std::int64_t> last_stamp_ns_{0};
  Guarded<std::unique_ptr<Prepared>> prepared_;
};

}  // namespace fyr::server
