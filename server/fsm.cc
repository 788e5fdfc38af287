#include "server/fsm.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/check.h"
#include "base/io/file.h"
#include "base/log.h"
#include "raft/members_file.h"
#include "raft/snapshot_manifest.h"

namespace fyr::server {

namespace {

namespace fs = std::filesystem;

// Beside the generations: the current one must not be used again.
constexpr char kDistrusted[] = "distrusted";

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

bool has_others(const std::filesystem::path& raft_directory) {
  const auto members = raft::read_members(raft_directory / "members");
  return members && (members->voters.size() > 1 || members->is_joint());
}

// One damaged state is kept: the newest.
Result<void> set_aside(const std::filesystem::path& generation) {
  const auto aside = generation.parent_path() / "damaged";
  std::error_code error;
  std::filesystem::remove_all(aside, error);
  if (!error) std::filesystem::rename(generation, aside, error);
  if (error)
    return fail(ErrorCode::Internal, aside.string() + ": cannot be made: " + error.message());
  return io::sync_directory(generation.parent_path());
}

// Tables never change, so both folders may share them; RocksDB writes to the other files.
Result<void> take_over(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (auto made = io::make_directories(to); !made) return made;
  const auto names = io::list_files(from);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (name == raft::kManifestName) continue;
    std::error_code error;
    const bool is_table = name.ends_with(".sst");
    if (is_table) std::filesystem::create_hard_link(from / name, to / name, error);
    if (!is_table || error) {
      auto content = io::read_file(from / name, std::size_t{1} << 30);
      if (!content) return content.error();
      if (auto done = io::write_file_atomically(to / name, *content); !done) return done;
    }
  }
  if (auto synced = io::sync_directory(to); !synced) return synced;
  return io::sync_directory(to.parent_path());
}

}  // namespace

Result<std::unique_ptr<Fsm>> Fsm::open(const std::filesystem::path& raft_directory,
                                       Publisher& publisher) {
  std::unique_ptr<Fsm> self(new Fsm(raft_directory, publisher));
  const auto generation = self->generations_.current();
  if (!generation) return generation.error();
  if (auto removed = self->generations_.remove_others(); !removed) return removed.error();
  if (auto left = self->leave_distrusted(raft_directory, *generation); !left) return left.error();
  auto loaded = self->load(*generation);
  if (!loaded && loaded.error().code == ErrorCode::Corrupt && has_others(raft_directory)) {
    log::error("state", "set aside, to be made again from the log or a snapshot: {}",
               loaded.error().message);
    if (auto moved = set_aside(self->generations_.path_of(*generation)); !moved)
      return moved.error();
    loaded = self->load(*generation);
  }
  if (!loaded) return loaded.error();
  return self;
}

// What distrust() said in an earlier life. A sole server has nobody to get another state from.
Result<void> Fsm::leave_distrusted(const fs::path& raft_directory, std::uint64_t generation) {
  const fs::path state = generations_.path_of(generation);
  const fs::path note = state.parent_path() / kDistrusted;
  std::error_code error;
  if (!fs::exists(note, error)) return {};
  if (fs::exists(state, error) && has_others(raft_directory)) {
    log::error("state", "{}: set aside, to be made again from the log or a snapshot",
               state.string());
    if (auto moved = set_aside(state); !moved) return moved;
  }
  if (auto removed = io::remove_file(note); !removed) return removed;
  return io::sync_directory(note.parent_path());
}

std::uint64_t Fsm::digest() const {
  return state_.read([](const StateStore& store) { return store.digest(); });
}

void Fsm::distrust(const std::string& why) {
  const auto current = generations_.current();
  if (!current) stop_process(current.error());
  const fs::path note = generations_.path_of(*current).parent_path() / kDistrusted;
  if (auto noted = io::write_file_atomically(note, why + "\n"); !noted) stop_process(noted.error());
  stop_process(fail(ErrorCode::Corrupt, why + "; it is made anew at the next start"));
}

Result<void> Fsm::load(std::uint64_t generation) {
  database_.reset();
  auto database = StateDatabase::open(generations_.path_of(generation));
  if (!database) return database.error();
  database_ = std::move(*database);
  StateStore fresh;
  const auto record = database_->load(fresh);
  if (!record) {
    database_.reset();
    return record.error();
  }
  state_.write([&](StateStore& store) { store = std::move(fresh); });
  applied_ = record->index;
  applied_term_ = record->term;
  last_stamp_ns_ = record->stamp_ns;
  return {};
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
  applied_term_.store(record.term, std::memory_order_release);
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

raft::Term Fsm::applied_term() const {
  return raft::Term(applied_term_.load(std::memory_order_acquire));
}

// ---- snapshots --------------------------------------------------------------------------------

Result<raft::LogPosition> Fsm::checkpoint(const std::filesystem::path& directory) {
  const auto record = database_->checkpoint(directory);
  if (!record) return record.error();
  return raft::LogPosition{raft::Index(record->index), raft::Term(record->term)};
}

Result<raft::LogPosition> Fsm::prepare(const std::filesystem::path& directory) {
  drop_prepared();
  const auto current = generations_.current();
  if (!current) return current.error();
  auto prepared = std::make_unique<Prepared>();
  prepared->generation = *current + 1;
  if (auto removed = generations_.remove(prepared->generation); !removed) return removed.error();
  const auto path = generations_.path_of(prepared->generation);
  if (auto taken = take_over(directory, path); !taken) return taken.error();
  auto database = StateDatabase::open(path);
  if (!database) return database.error();
  prepared->database = std::move(*database);
  const auto record = prepared->database->load(prepared->store);
  if (!record) return record.error();
  if (auto synced = io::sync_directory(path); !synced) return synced.error();
  prepared->record = *record;
  prepared_.with([&](auto& held) { held = std::move(prepared); });
  return raft::LogPosition{raft::Index(record->index), raft::Term(record->term)};
}

void Fsm::drop_prepared() {
  auto dropped = prepared_.with([](auto& held) { return std::move(held); });
  if (!dropped) return;
  dropped->database.reset();
  const auto current = generations_.current();
  if (!current || *current == dropped->generation) return;  // installed: it is the node's
  if (auto removed = generations_.remove(dropped->generation); !removed)
    log::warn("state", "{}", removed.error().message);
}

void Fsm::activate() {
  auto next = prepared_.with([](auto& held) { return std::move(held); });
  CHECK_MSG(next, "nothing was prepared");
  const AppliedRecord record = next->record;
  state_.write([&](StateStore& store) { std::swap(store, next->store); });
  std::swap(database_, next->database);
  last_stamp_ns_.store(std::max(record.stamp_ns, last_stamp_ns()), std::memory_order_release);
  applied_term_.store(record.term, std::memory_order_release);
  applied_.store(record.index, std::memory_order_release);
  publisher_.publish_all(record.index);
  if (on_applied_) on_applied_(record.index);
  next.reset();  // the old one
  if (auto removed = generations_.remove_others(); !removed)
    log::warn("state", "{}", removed.error().message);
}

}  // namespace fyr::server
