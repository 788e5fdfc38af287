#include "raft/log_recovery.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include "base/io/file.h"
#include "base/log.h"
#include "raft/members_file.h"
#include "raft/state_generations.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr char kLog[] = "log";
constexpr char kNewLog[] = "log.new";
constexpr std::string_view kDamagedLog = "log.damaged-";
constexpr char kMembers[] = "members";
constexpr char kQuarantine[] = "quarantine";

std::string in_words(Index index, Term term) {
  return std::to_string(index.value) + " (term " + std::to_string(term.value) + ")";
}

Term term_in(const RecoveredState& state, Index index) {
  const auto after = std::ranges::upper_bound(state.runs, index, {}, &TermRun::first);
  return after == state.runs.begin() ? state.base.term : std::prev(after)->term;
}

Result<void> remove_folder(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    return fail(ErrorCode::Internal, path.string() + ": cannot be removed: " + error.message());
  }
  return {};
}

class Recovery {
 public:
  explicit Recovery(const LogRecoveryInput& input) : in_(input) {}
  Result<LogRecovery> run();

 private:
  fs::path path(std::string_view name) const { return in_.directory / name; }
  Error damaged(const std::string& what) const {
    return fail(ErrorCode::Corrupt, path(kLog).string() + ": " + what);
  }
  Result<void> finish_exchange() const;
  Result<void> read_quarantine_file();
  Result<void> attempt();
  Result<std::unique_ptr<RocksLog>> open_log();
  Result<void> settle_install();
  Result<void> check_watermark() const;
  Result<void> check_state() const;
  Configuration known_configuration() const;
  bool is_sole_voter() const;
  Result<void> enter_quarantine(const Error& reason);
  Result<void> forget_damaged() const;
  Result<void> keep_copy() const;
  Result<void> set_aside();
  Result<void> make_again();
  Result<void> exchange();

  const LogRecoveryInput& in_;
  std::unique_ptr<RocksLog> log_;
  RecoveredState found_;
  bool readable_ = false;  // every entry of log_ is good, found_ describes it
  std::optional<LogPosition> quarantine_;
};

Result<LogRecovery> Recovery::run() {
  if (auto done = finish_exchange(); !done) return done.error();
  if (auto done = read_quarantine_file(); !done) return done.error();
  if (auto done = attempt(); !done) {
    const Error reason = done.error();
    if (reason.code != ErrorCode::Corrupt) return reason;
    if (is_sole_voter()) return reason;
    if (auto entered = enter_quarantine(reason); !entered) return entered.error();
  }
  found_.quarantine = quarantine_;
  return LogRecovery{std::move(log_), std::move(found_)};
}

// A log made again takes its place in two renames.
Result<void> Recovery::finish_exchange() const {
  std::error_code error;
  if (!fs::exists(path(kNewLog), error)) return {};
  if (fs::exists(path(kLog), error)) return remove_folder(path(kNewLog));
  fs::rename(path(kNewLog), path(kLog), error);
  if (error) {
    return fail(ErrorCode::Internal,
                path(kNewLog).string() + ": cannot be renamed: " + error.message());
  }
  return io::sync_directory(in_.directory);
}

Result<void> Recovery::read_quarantine_file() {
  auto earlier = read_quarantine(path(kQuarantine));
  if (earlier) {
    quarantine_ = earlier->lost_upto;
    return {};
  }
  if (earlier.error().code == ErrorCode::NotFound) return {};
  if (earlier.error().code != ErrorCode::Corrupt) return earlier.error();
  // Only a later term proves that whatever was lost is back.
  quarantine_ = LogPosition{Index(std::numeric_limits<std::uint64_t>::max()), in_.hard.term};
  return {};
}

// Everything as it should be, or the reason why not.
Result<void> Recovery::attempt() {
  std::error_code error;
  if (!in_.first_start && !fs::exists(path(kLog) / "CURRENT", error))
    return damaged("the log is missing");
  auto opened = open_log();
  if (!opened) return opened.error();
  log_ = std::move(*opened);
  if (!*in_.watermark) return in_.watermark->error();
  if (auto done = settle_install(); !done) return done;
  auto found = log_->recover();
  if (!found) return found.error();
  found_ = std::move(*found);
  readable_ = true;
  if (auto done = check_watermark(); !done) return done;
  return check_state();
}

// A power cut during a sync may leave a hole in what was not acknowledged yet, and RocksDB does not
// open a log with damage that something follows. So the log is taken up to the first damage, the
// files as they were are kept, and the watermark tells whether anything acknowledged is missing.
// What that leaves unguarded: bytes that rot where power is lost as well, in entries acknowledged
// after the watermark was synced last (100 ms). Without the power cut the watermark has them all.
Result<std::unique_ptr<RocksLog>> Recovery::open_log() {
  auto opened = RocksLog::open(path(kLog), in_.env);
  if (opened || opened.error().code != ErrorCode::Corrupt || !*in_.watermark) return opened;
  if (auto done = keep_copy(); !done) return done.error();
  auto again = RocksLog::open(path(kLog), in_.env, true);
  if (!again) return opened;
  log::warn("raft", "the log is taken up to its first damage, entry {}; its files are kept: {}",
            (*again)->last().value, opened.error().message);
  return again;
}

Result<void> Recovery::settle_install() {
  if (!log_->pending_install()) return {};
  const RocksLog::Install install = *log_->pending_install();
  auto current = StateGenerations(in_.directory).current();
  if (!current) return current.error();
  if (*current == install.generation) return continue_after(*log_, **in_.watermark, install.base);
  return log_->cancel_install();
}

Result<void> Recovery::check_watermark() const {
  const Watermark mark = (*in_.watermark)->value();
  if (found_.last < mark.index) {
    return damaged("acknowledged entries are lost: the log ends at " +
                   in_words(found_.last, log_->last_term()) + ", it had reached " +
                   in_words(mark.index, mark.term));
  }
  if (mark.index <= found_.base.index) return {};
  const Term term = term_in(found_, mark.index);
  if (term == mark.term) return {};
  return damaged("entry " + in_words(mark.index, term) + " should be " +
                 in_words(mark.index, mark.term));
}

Result<void> Recovery::check_state() const {
  if (!in_.state) return {};
  const LogPosition state = *in_.state;
  if (state.index > found_.last) {
    return damaged("the state has applied entry " + std::to_string(state.index.value) +
                   ", the log ends at " + std::to_string(found_.last.value));
  }
  if (state.index < found_.base.index) {
    return damaged("the state ends at entry " + std::to_string(state.index.value) +
                   ", the log starts at " + std::to_string(found_.base.index.value + 1));
  }
  const Term term = term_in(found_, state.index);
  if (state.term == Term{} || state.term == term) return {};
  return damaged("entry " + in_words(state.index, term) + " was applied as " +
                 in_words(state.index, state.term));
}

// The file is as new as what was acknowledged; the log may have lost that.
Configuration Recovery::known_configuration() const {
  if (auto stored = read_members(path(kMembers))) return std::move(*stored);
  return log_ ? log_->newest_configuration() : Configuration{};
}

// Nothing that is known names anybody else.
bool Recovery::is_sole_voter() const {
  const auto is_sole = [this](const Configuration& configuration) {
    return configuration.voters == std::vector<NodeId>{in_.self} && !configuration.is_joint();
  };
  const Configuration in_log = log_ ? log_->newest_configuration() : Configuration{};
  if (in_log != Configuration{} && !is_sole(in_log)) return false;
  return is_sole(known_configuration());
}

// ---- quarantine -------------------------------------------------------------------------------

Result<void> Recovery::enter_quarantine(const Error& reason) {
  LogPosition lost = quarantine_.value_or(LogPosition{});
  const auto cover = [&lost](Index index, Term term) {
    lost = {std::max(lost.index, index), std::max(lost.term, term)};
  };
  if (*in_.watermark) {
    cover((*in_.watermark)->value().index, (*in_.watermark)->value().term);
  } else {
    cover(Index(std::numeric_limits<std::uint64_t>::max()), in_.hard.term);
  }
  if (log_) cover(log_->last(), log_->last_term());
  if (in_.state) cover(in_.state->index, in_.state->term);
  // Known before anything is changed: whatever happens next, the loss is not forgotten.
  if (auto done = write_quarantine(path(kQuarantine), {lost, reason.message}); !done) return done;
  quarantine_ = lost;
  log::error("raft", "in quarantine until a leader has made good what is missing: {}",
             reason.message);
  if (!readable_ || !check_state()) {
    if (auto done = make_again(); !done) return done;
  }
  // From here on the log is what it is.
  const Watermark reached{log_->last(), log_->last_term()};
  if (*in_.watermark) return (*in_.watermark)->lower(reached);
  *in_.watermark = WatermarkFile::create(path("watermark"), reached);
  if (!*in_.watermark) return in_.watermark->error();
  return io::sync_directory(in_.directory);
}

// A new log with the good beginning of the old one, if the state fits that; else from the state on.
Result<void> Recovery::make_again() {
  Configuration configuration = known_configuration();
  const auto begin = [&](const LogBase& base) -> Result<std::unique_ptr<RocksLog>> {
    if (auto done = remove_folder(path(kNewLog)); !done) return done.error();
    auto fresh = RocksLog::open(path(kNewLog), in_.env);
    if (!fresh) return fresh.error();
    if (auto done = (*fresh)->start_at(base); !done) return done.error();
    return std::move(*fresh);
  };
  std::unique_ptr<RocksLog> fresh;
  if (log_) {
    auto begun = begin(log_->base());
    if (!begun) return begun.error();
    fresh = std::move(*begun);
    auto copied = log_->salvage([&](std::span<const Entry> entries) {
      PersistBatch batch;
      batch.entries.assign(entries.begin(), entries.end());
      return fresh->write({&batch, 1});
    });
    if (!copied) return copied;
    const bool fits = !in_.state || fresh->holds(*in_.state) ||
                      (in_.state->term == Term{} && in_.state->index >= fresh->base().index &&
                       in_.state->index <= fresh->last());
    if (!fits) fresh.reset();
  }
  if (!fresh) {
    const LogPosition state = in_.state.value_or(LogPosition{});
    auto begun = begin({state.index, state.term, std::move(configuration)});
    if (!begun) return begun.error();
    fresh = std::move(*begun);
  }
  fresh.reset();
  log_.reset();
  if (auto done = exchange(); !done) return done;
  auto opened = RocksLog::open(path(kLog), in_.env);
  if (!opened) return opened.error();
  log_ = std::move(*opened);
  auto found = log_->recover();
  if (!found) return found.error();
  found_ = std::move(*found);
  readable_ = true;
  return write_members(path(kMembers), log_->newest_configuration());
}

// Of one damaged log at a time: the newest.
Result<void> Recovery::forget_damaged() const {
  std::vector<fs::path> older;
  std::error_code error;
  for (fs::directory_iterator it(in_.directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename().string().starts_with(kDamagedLog)) older.push_back(it->path());
  }
  for (const fs::path& old : older) {
    if (auto done = remove_folder(old); !done) return done;
  }
  return {};
}

// Links: RocksDB removes its files or replaces them, it does not write into those of an earlier
// start.
Result<void> Recovery::keep_copy() const {
  if (auto done = forget_damaged(); !done) return done;
  const auto aside = path(std::string(kDamagedLog) + std::to_string(in_.incarnation));
  std::error_code error;
  fs::copy(path(kLog), aside, fs::copy_options::create_hard_links | fs::copy_options::recursive,
           error);
  if (error) {
    return fail(ErrorCode::Internal, path(kLog).string() + ": cannot be kept as " + aside.string() +
                                         ": " + error.message());
  }
  if (auto done = io::sync_directory(aside); !done) return done;
  return io::sync_directory(in_.directory);
}

Result<void> Recovery::set_aside() {
  auto aside = path(std::string(kDamagedLog) + std::to_string(in_.incarnation));
  std::error_code error;
  if (fs::exists(aside, error)) {
    aside += "-opened";  // beside the copy from before it was opened
    if (auto done = remove_folder(aside); !done) return done;
  } else if (auto done = forget_damaged(); !done) {
    return done;
  }
  if (!fs::exists(path(kLog), error)) return {};
  fs::rename(path(kLog), aside, error);
  if (error) {
    return fail(ErrorCode::Internal,
                path(kLog).string() + ": cannot be renamed: " + error.message());
  }
  return io::sync_directory(in_.directory);
}

Result<void> Recovery::exchange() {
  if (auto done = set_aside(); !done) return done;
  return finish_exchange();
}

}  // namespace

Result<LogRecovery> recover_log(const LogRecoveryInput& input) {
  return Recovery(input).run();
}

Result<void> continue_after(RocksLog& log, WatermarkFile& watermark, const LogBase& base) {
  const Watermark mark = watermark.value();
  const bool keeps = log.holds({base.index, base.term});
  if (!keeps && mark.index > base.index) {
    if (auto done = watermark.lower({base.index, base.term}); !done) return done;
  }
  return log.finish_install(base);
}

}  // namespace fyr::raft
