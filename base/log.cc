// spdlog gives the bounded queue and the writer thread; lines are formatted here, by the caller,
// so that taps and sink see the same text. The sink never blocks for long: a reader that stopped
// reading our standard error costs lines (counted), not the process.
#include "base/log.h"

#define SPDLOG_HEADER_ONLY
#define SPDLOG_FMT_EXTERNAL
#define FMT_HEADER_ONLY
#include <fcntl.h>
#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>

#include "base/bytes.h"
#include "base/guarded.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/time.h"

namespace fyr::log {
namespace {

constexpr std::size_t kQueueLines = 8192;
constexpr std::size_t kMaxLine = 8192;
constexpr int kMaxTaps = 64;
constexpr auto kFlushPatience = std::chrono::seconds(2);
constexpr int kStuckMilliseconds = 1000;

constexpr std::array<std::string_view, 5> kNames = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};

std::string_view name_of(Level level) {
  return kNames[static_cast<std::size_t>(level)];
}

// Writes whole lines to a descriptor; a pipe that stays full for a second loses the line.
class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit DescriptorSink(int fd, bool owned) : fd_(fd), owned_(owned) {}
  ~DescriptorSink() override {
    if (owned_) ::close(fd_);
  }

  std::uint64_t flushes() const { return flushes_.load(); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view rest(message.payload.data(), message.payload.size());
    while (!rest.empty()) {
      pollfd ready{fd_, POLLOUT, 0};
      if (::poll(&ready, 1, stuck_ ? 0 : kStuckMilliseconds) <= 0) return lose_line();
      // A pipe that is ready takes at least PIPE_BUF bytes without blocking.
      const auto n = ::write(fd_, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
      if (n < 0 && errno != EINTR) return lose_line();
      if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
      stuck_ = false;
    }
  }
  void flush_() override { flushes_.fetch_add(1); }

 private:
  void lose_line() {
    stuck_ = true;
    metrics::counter("fyr.log.lines_lost").add();
  }

  int fd_;
  bool owned_;
  bool stuck_ = false;
  std::atomic<std::uint64_t> flushes_{0};
};

// The queue, its thread and the sink; replaced as a whole by configure().
struct Output {
  explicit Output(const Options& options) : json(options.json) {
    int fd = STDERR_FILENO;
    if (!options.file.empty()) {
      fd = ::open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
      opened = fd >= 0;
      if (!opened) fd = STDERR_FILENO;
    }
    sink = std::make_shared<DescriptorSink>(fd, fd != STDERR_FILENO);
    pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
    logger = std::make_shared<spdlog::async_logger>("fyr", sink, pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::off);
  }

  // The queue's counter sits behind its lock, so it is not read for every line.
  void note_overruns() {
    constexpr std::uint64_t kEvery = 256;
    if (lines.fetch_add(1, std::memory_order_relaxed) % kEvery != 0) return;
    static auto& dropped = metrics::gauge("fyr.log.lines_dropped");
    dropped.set(static_cast<double>(pool->overrun_counter()));
  }

  bool json;
  bool opened = true;
  std::atomic<std::uint64_t> lines{0};
  std::shared_ptr<DescriptorSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

struct Tap {
  Level level;
  std::function<void(Level, std::string_view)> call;
};
using Taps = std::map<std::uint64_t, Tap>;

struct State {
  std::atomic<int> level{static_cast<int>(Level::Info)};      // what the output wants
  std::atomic<int> threshold{static_cast<int>(Level::Info)};  // what anybody wants
  Guarded<std::shared_ptr<Output>> output;
  Guarded<std::shared_ptr<const Taps>> taps;
  std::atomic<std::uint64_t> next_tap{1};

  void refresh_threshold() {
    const auto readers = taps.with([](auto& all) { return all; });
    int lowest = level.load();
    if (readers) {
      for (const auto& [id, tap] : *readers) lowest = std::min(lowest, static_cast<int>(tap.level));
    }
    threshold.store(lowest);
  }
};

// Never destroyed: threads may log while static objects go.
State& state() {
  static auto* const instance = new State();
  return *instance;
}

std::shared_ptr<Output> current_output() {
  return state().output.with([](std::shared_ptr<Output>& output) {
    if (!output) output = std::make_shared<Output>(Options{});
    return output;
  });
}

// One fact a line, whatever came in from outside.
void append_clean(std::string& out, std::string_view text) {
  for (const char c : text.substr(0, kMaxLine)) {
    if (c == '\n' || c == '\r') {
      out += c == '\n' ? "\\n" : "\\r";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 && c != '\t' ? '?' : c;
    }
  }
  if (text.size() > kMaxLine) out += " ... (cut)";
}

std::string stamp() {
  // Milliseconds, always three digits, so that columns line up.
  const auto time = std::chrono::floor<std::chrono::milliseconds>(wall_now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  auto text = format_time(seconds);
  text.pop_back();
  const auto digits = std::to_string((time - seconds).count());
  return text + "." + std::string(3 - digits.size(), '0') + digits + "Z";
}

std::string json_line(std::string_view time, Level level, std::string_view component,
                      std::string_view text) {
  std::string line;
  JsonWriter writer(line);
  writer.begin_object();
  writer.key("@level").string(to_lower(name_of(level)));
  writer.key("@message").string(text.substr(0, kMaxLine));
  writer.key("@module").string(component);
  writer.key("@timestamp").string(time);
  writer.end_object();
  line += '\n';
  return line;
}

}  // namespace

void configure(const Options& options) {
  auto fresh = std::make_shared<Output>(options);
  const bool opened = fresh->opened;
  auto old = state().output.with([&](std::shared_ptr<Output>& output) {
    std::swap(output, fresh);
    return std::move(fresh);
  });
  set_level(options.level);
  old.reset();  // drains its queue; not under the lock
  if (!opened) {
    error("log", "{}: cannot be opened for writing; logging to standard error", options.file);
  }
}

void set_level(Level level) {
  state().level.store(static_cast<int>(level));
  state().refresh_threshold();
}

bool enabled(Level level) {
  return static_cast<int>(level) >= state().threshold.load(std::memory_order_relaxed);
}

void flush() {
  const auto output = current_output();
  const auto before = output->sink->flushes();
  output->logger->flush();
  const auto deadline = now() + kFlushPatience;
  while (output->sink->flushes() == before && now() < deadline) {
    ::poll(nullptr, 0, 1);
  }
}

bool parse_level(std::string_view text, Level& out) {
  const auto name = to_lower(text);
  if (name == "trace") {
    out = Level::Trace;
  } else if (name == "debug") {
    out = Level::Debug;
  } else if (name == "info") {
    out = Level::Info;
  } else if (name == "warn" || name == "warning") {
    out = Level::Warn;
  } else if (name == "err" || name == "error") {
    out = Level::Error;
  } else {
    return false;
  }
  return true;
}

void write(Level level, std::string_view component, std::string_view text) {
  if (!enabled(level)) return;
  const auto time = stamp();
  std::string line;
  line.reserve(time.size() + component.size() + text.size() + 16);
  line += time;
  line += " [";
  line += name_of(level);
  line += level == Level::Info || level == Level::Warn ? "]  " : "] ";
  line += component;
  line += ": ";
  append_clean(line, text);

  if (const auto taps = state().taps.with([](auto& all) { return all; }); taps) {
    for (const auto& [id, tap] : *taps) {
      if (level >= tap.level) tap.call(level, line);
    }
  }
  if (static_cast<int>(level) < state().level.load(std::memory_order_relaxed)) return;
  const auto output = current_output();
  line += '\n';
  if (output->json) line = json_line(time, level, component, text);
  output->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  output->note_overruns();
}

std::uint64_t add_tap(std::function<void(Level, std::string_view line)> tap, Level level) {
  const auto id = state().next_tap.fetch_add(1);
  const bool added = state().taps.with([&](std::shared_ptr<const Taps>& all) {
    auto copy = all ? std::make_shared<Taps>(*all) : std::make_shared<Taps>();
    if (copy->size() >= kMaxTaps) return false;
    copy->emplace(id, Tap{level, std::move(tap)});
    all = std::move(copy);
    return true;
  });
  state().refresh_threshold();
  return added ? id : 0;
}

void remove_tap(std::uint64_t id) {
  state().taps.with([&](std::shared_ptr<const Taps>& all) {
    if (!all) return;
    auto copy = std::make_shared<Taps>(*all);
    copy->erase(id);
    all = copy->empty() ? nullptr : std::move(copy);
  });
  state().refresh_threshold();
}

}  // namespace fyr::log
