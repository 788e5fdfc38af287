#include "server/api/snapshot_schedule.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <future>
#include <system_error>
#include <utility>

#include "base/io/disk_space.h"
#include "base/io/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/state/saved_rows.h"

namespace fyr::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "fyr-", kSuffix = ".snap";
constexpr std::size_t kStampSize = 16;  // 20261122T235141Z
constexpr std::size_t kMaxArchive = std::size_t{1} << 30;
constexpr Duration kFirstRetry = std::chrono::minutes(1);
constexpr Duration kReadPatience = std::chrono::seconds(10);

template <class T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::int64_t seconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}
WallTime time_of(std::int64_t seconds) {
  return WallTime(Duration(std::chrono::seconds(seconds)));
}

// Temporary files of a process that was killed while it wrote one.
bool is_remnant(std::string_view name) {
  const auto end = name.find(".snap.tmp-");
  return end != std::string_view::npos && parse_file_name(name.substr(0, end + kSuffix.size()));
}

}  // namespace

std::string to_file_name(const ScheduledName& name) {
  const auto when = static_cast<std::time_t>(name.made);
  std::tm parts{};
  gmtime_r(&when, &parts);
  char stamp[kStampSize + 1] = {};
  std::strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &parts);
  return std::string(kPrefix) + stamp + "-" + std::to_string(name.index) + std::string(kSuffix);
}

std::optional<ScheduledName> parse_file_name(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  if (name.size() < kPrefix.size() + kStampSize + 2 + kSuffix.size()) return std::nullopt;
  const std::string stamp(name.substr(kPrefix.size(), kStampSize));
  const std::string_view index =
      name.substr(kPrefix.size() + kStampSize + 1,
                  name.size() - kPrefix.size() - kStampSize - 1 - kSuffix.size());
  std::tm parts{};
  const char* end = strptime(stamp.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  const auto number = whole_number<StateIndex>(index);
  if (!end || *end != '\0' || !number) return std::nullopt;
  ScheduledName out{static_cast<std::int64_t>(timegm(&parts)), *number};
  if (to_file_name(out) != name) return std::nullopt;
  return out;
}

// Outlives us in the callback that the server keeps.
struct SnapshotSchedule::Signal {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;    // guarded by mutex
  std::uint64_t news = 0;  // guarded by mutex

  void raise() {
    std::lock_guard lock(mutex);
    ++news;
    changed.notify_all();
  }
};

SnapshotSchedule::SnapshotSchedule(Server& server, SnapshotScheduleOptions options,
                                   SnapshotWork& work)
    : server_(server),
      options_(std::move(options)),
      work_(work),
      signal_(std::make_shared<Signal>()) {
  if (options_.interval <= Duration::zero()) return;
  server_.on_leadership([weak = std::weak_ptr(signal_)](bool) {
    if (auto signal = weak.lock()) signal->raise();
  });
  // tidy: thread: see the header
  thread_ = std::thread([this] { run(); });
}

void SnapshotSchedule::stop() {
  {
    std::lock_guard lock(signal_->mutex);
    signal_->stopped = true;
    signal_->changed.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool SnapshotSchedule::may_make() const {
  return options_.stale || server_.leader().self;
}

void SnapshotSchedule::run() {
  Result<void> ready = prepare();
  if (!ready) note(ready.error(), {});
  // The age of the newest one counts, so that restarts neither crowd nor starve them. A clock that
  // was set back must not mean a long wait.
  Instant due = now();
  if (!files_.empty()) {
    const Duration age = wall_now() - time_of(files_.back().name.made);
    due += options_.interval - std::clamp(age, Duration::zero(), options_.interval);
  }
  std::unique_lock lock(signal_->mutex);
  while (!signal_->stopped) {
    const std::uint64_t seen = signal_->news;
    lock.unlock();
    const Instant at = now();
    if (at >= due && may_make()) {
      const bool free = work_.begin(SnapshotWork::Step::Scheduled);
      const Result<File> made =
          free ? make() : Result<File>(fail(ErrorCode::Conflict, "another one is under way"));
      if (free) work_.end();
      note(made, now() - at);
      const auto waits = std::min<std::uint64_t>(failures_, 20);
      due = at + (made ? options_.interval
                       : std::min(options_.interval, kFirstRetry * (1 << (waits - 1))));
    }
    lock.lock();
    const auto woken = [&] { return signal_->stopped || signal_->news != seen; };
    if (now() < due) {
      signal_->changed.wait_for(lock, due - now(), woken);
    } else {
      signal_->changed.wait(lock, woken);  // until somebody else leads
    }
  }
}

// What earlier lives left in the folder.
Result<void> SnapshotSchedule::prepare() {
  if (auto made = io::make_directories(options_.directory); !made) return made;
  const auto names = io::list_files(options_.directory);
  if (!names) return names.error();
  std::vector<File> found;
  for (const std::string& name : *names) {
    std::error_code error;
    if (is_remnant(name)) fs::remove(options_.directory / name, error);
    const auto parsed = parse_file_name(name);
    if (!parsed) continue;
    const auto size = fs::file_size(options_.directory / name, error);
    found.push_back({*parsed, error ? 0 : size});
  }
  std::lock_guard lock(mutex_);
  files_ = std::move(found);  // sorted by name, which is by time
  return {};
}

Result<void> SnapshotSchedule::wait_until_readable() const {
  const auto mode = options_.stale ? Consistency::Stale : Consistency::Default;
  auto answer = std::make_shared<std::promise<Result<void>>>();
  auto future = answer->get_future();
  server_.wait_read(mode, [answer](Result<ReadStamp> stamp) {
    answer->set_value(stamp ? Result<void>() : Result<void>(stamp.error()));
  });
  if (future.wait_for(kReadPatience) != std::future_status::ready)
    return fail(ErrorCode::Timeout, "the state cannot be read");
  return future.get();
}

Result<SnapshotSchedule::File> SnapshotSchedule::make() {
  if (auto done = prepare(); !done) return done.error();
  if (auto done = wait_until_readable(); !done) return done.error();
  const auto saved = save_state(server_);
  if (!saved) return saved.error();
  work_.advance(0, saved->archive.state.size());
  const std::string bytes = write_archive(saved->archive);
  const auto space = io::disk_space(options_.directory);
  if (!space) return space.error();
  if (space->available < space->low_mark() + bytes.size())
    return fail(ErrorCode::ResourceExhausted,
                options_.directory.string() + ": too little room left on this disk");
  File file{{seconds_of(wall_now()), saved->archive.index}, bytes.size()};
  const fs::path path = options_.directory / to_file_name(file.name);
  if (auto done = io::write_file_atomically(path, bytes); !done) return done.error();
  const auto check = [&]() -> Result<void> {
    auto back = io::read_file(path, kMaxArchive);
    if (!back) return back.error();
    auto archive = read_archive(*back);
    if (!archive) return archive.error();
    return test_restore(saved->rows, archive->state, archive->index);
  };
  if (auto good = check(); !good) {
    std::error_code error;
    fs::remove(path, error);
    return fail(good.error().code, path.string() + ": " + good.error().message);
  }
  work_.advance(saved->archive.state.size(), saved->archive.state.size());
  {
    std::lock_guard lock(mutex_);
    // Two in one second at one index are one file.
    std::erase_if(files_, [&](const File& other) {
      return to_file_name(other.name) == to_file_name(file.name);
    });
    files_.push_back(file);
  }
  prune();
  return file;
}

void SnapshotSchedule::prune() {
  std::vector<File> gone;
  {
    std::lock_guard lock(mutex_);
    if (files_.size() <= options_.retain) return;
    // The new one stays also where the clock was set back and it is not the last by name.
    const auto rest = files_.end() - static_cast<std::ptrdiff_t>(options_.retain);
    gone.assign(files_.begin(), rest);
    files_.erase(files_.begin(), rest);
  }
  for (const File& file : gone) {
    const fs::path path = options_.directory / to_file_name(file.name);
    if (auto done = io::remove_file(path); !done) log::warn("snapshot", "{}", done.error().message);
  }
}

void SnapshotSchedule::note(const Result<File>& made, Duration took) {
  static metrics::Counter& good = metrics::counter("fyr.snapshot.scheduled", {{"result", "ok"}});
  static metrics::Counter& bad = metrics::counter("fyr.snapshot.scheduled", {{"result", "failed"}});
  std::lock_guard lock(mutex_);
  if (!made) {
    bad.add();
    ++failures_;
    failed_at_ = wall_now();
    failure_ = made.error().message;
    log::error("snapshot", "scheduled snapshot failed: {}", failure_);
    return;
  }
  good.add();
  failures_ = 0;
  succeeded_at_ = wall_now();
  metrics::gauge("fyr.snapshot.last_index").set(static_cast<double>(made->name.index));
  metrics::gauge("fyr.snapshot.last_bytes").set(static_cast<double>(made->size));
  metrics::gauge("fyr.snapshot.last_seconds").set(std::chrono::duration<double>(took).count());
  metrics::gauge("fyr.snapshot.last_time").set(static_cast<double>(made->name.made));
  log::info("snapshot", "saved and restored for a test: {}, index {}, {} bytes, {}",
            to_file_name(made->name), made->name.index, made->size, format_duration(took));
}

std::string SnapshotSchedule::status_json() const {
  std::string body;
  JsonWriter out(body);
  std::lock_guard lock(mutex_);
  const auto time = [&out](const char* key, const std::optional<WallTime>& at) {
    out.key(key);
    if (at) {
      out.string(format_time(*at));
    } else {
      out.null();
    }
  };
  out.begin_object();
  out.key("Node").string(server_.options().node_name);
  out.key("Interval").string(format_duration(options_.interval));
  out.key("Retain").number(std::uint64_t{options_.retain});
  out.key("Stale").boolean(options_.stale);
  out.key("Path").string(options_.directory.string());
  time("LastSuccess", succeeded_at_);
  time("LastFailure", failed_at_);
  out.key("LastError").string(failure_);
  out.key("FailuresInARow").number(failures_);
  out.key("Snapshots").begin_array();
  for (const File& file : files_) {
    out.begin_object();
    out.key("File").string(to_file_name(file.name));
    out.key("Index").number(file.name.index);
    out.key("Time").string(format_time(time_of(file.name.made)));
    out.key("Size").number(file.size);
    out.end_object();
  }
  out.end_array().end_object();
  return body;
}

}  // namespace fyr::server
