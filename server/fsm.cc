#include "server/fsm.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/log.h"

namespace fyr::server {

namespace {

// Commands applied under one hold of the lock: readers wait for at most this many.
constexpr std::size_t kGroup = 32;

[[noreturn]] void stop_process(const Error& error) {
  log::error("state", "stopping: {}", error.message);
  log::flush();
  // Not exit(): other threads still use what destructors would take away.
  std::_Exit(to_exit_status(error.code));
}

pb::Command decode(const raft::Entry& entry) {
  pb::Command command;
  const bool parsed = entry.data && command.ParseFromArray(entry.data->data(),
                                                           static_cast<int>(entry.data->size()));
  if (!parsed)
    stop_process(fail(ErrorCode::Corrupt,
                      "log entry " + std::to_string(entry.index.value) + " is not a command"));
  if (!StateStore::understands(command))
    stop_process(fail(ErrorCode::Unsupported,
                      "log entry " + std::to_string(entry.index.value) +
                          " was written by a newer version; start that version here"));
  return command;
}

}  // namespace

Result<std::unique_ptr<Fsm>> Fsm::open(const std::filesystem::path& raft_directory,
                                       Publisher& publisher) {
  std::unique_ptr<Fsm> self(new Fsm(publisher));
  auto database = StateDatabase::open(raft_directory / "state" / "1");
  if (!database) return database.error();
  self->database_ = std::move(*database);
  const auto record =
      self->state_.write([&](StateStore& store) { return self->database_->load(store); });
  if (!record) return record.error();
  self->applied_ = record->index;
  self->last_stamp_ns_ = record->stamp_ns;
  return self;
}

raft::Index Fsm::applied() const {
  return raft::Index(applied_.load(std::memory_order_acquire));
}

void Fsm::apply(std::span<const raft::Entry> entries, std::vector<raft::ApplyOutcome>& outcomes) {
  if (entries.empty()) return;
  // All are read before the first is applied: a batch is applied whole or not at all.
  std::vector<pb::Command> commands;
  commands.reserve(entries.size());
  for (const raft::Entry& entry : entries) commands.push_back(decode(entry));
  outcomes.reserve(outcomes.size() + entries.size());
  const std::span<pb::Command> all(commands);
  for (std::size_t at = 0; at < entries.size(); at += kGroup) {
    const std::size_t n = std::min(kGroup, entries.size() - at);
    apply_group(entries.subspan(at, n), all.subspan(at, n), outcomes);
  }
  AppliedRecord record;
  record.index = entries.back().index.value;
  record.term = entries.back().term.value;
  record.stamp_ns = last_stamp_ns();
  record.digest = state_.read([](const StateStore& store) { return store.digest(); });
  if (auto written = database_->commit(record); !written) stop_process(written.error());
  applied_.store(record.index, std::memory_order_release);
  if (on_applied_) on_applied_(record.index);
}

void Fsm::apply_group(std::span<const raft::Entry> entries, std::span<pb::Command> commands,
                      std::vector<raft::ApplyOutcome>& outcomes) {
  std::vector<ChangeList> changes(entries.size());
  std::int64_t stamp = last_stamp_ns();
  state_.write([&](StateStore& store) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      CHECK(entries[i].index.value > store.applied());
      // Proposals may overtake each other on their way to the log; time does not go back.
      stamp = std::max(stamp, commands[i].stamp_ns());
      commands[i].set_stamp_ns(stamp);
      outcomes.push_back(std::make_shared<const ApplyResult>(
          store.change(entries[i].index.value, commands[i], changes[i])));
    }
  });
  last_stamp_ns_.store(stamp, std::memory_order_release);
  std::uint64_t removed = 0;
  for (ChangeList& change : changes) removed += change.complete();
  if (removed != 0) state_.write([&](StateStore& store) { store.reduce_digest(removed); });
  for (const ChangeList& change : changes) {
    publisher_.publish(change);
    database_->add(change);
  }
}

raft::Index Fsm::durable_applied() const {
  return raft::Index(database_->durable_applied());
}

void Fsm::flush() {
  if (auto flushed = database_->flush(); !flushed) stop_process(flushed.error());
}

}  // namespace fyr::server
