#include "app/cli/snapshot_progress.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/json.h"
#include "base/time.h"

namespace fyr::app {
namespace {

constexpr auto kPeriod = std::chrono::seconds(1);
constexpr double kMiB = 1024.0 * 1024.0;

double number_of(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value && value->is_uint64()) return static_cast<double>(value->get_uint64());
  return value && value->is_int64() ? static_cast<double>(value->get_int64()) : 0;
}

}  // namespace

std::string progress_line(const std::string& verb, const std::string& body, int seconds) {
  double done = 0, total = 0;
  if (const auto parsed = parse_json(body); parsed && parsed->is_object()) {
    done = number_of(parsed->get_object(), "Done");
    total = number_of(parsed->get_object(), "Total");
  }
  std::array<char, 96> amount{};
  if (total > 0 && done > 0) {
    std::snprintf(amount.data(), amount.size(), "%.0f %% of %.1f MiB, ", 100 * done / total,
                  total / kMiB);
  } else if (total > 0) {
    std::snprintf(amount.data(), amount.size(), "%.1f MiB, ", total / kMiB);
  }
  return verb + ": " + amount.data() + std::to_string(seconds) + " s";
}

SnapshotProgress::SnapshotProgress(const Arguments& arguments, std::string verb)
    : arguments_(arguments), verb_(std::move(verb)) {
  if (::isatty(STDERR_FILENO) == 0) return;
  // tidy: thread: see the header
  thread_ = std::thread([this] { run(); });
}

SnapshotProgress::~SnapshotProgress() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool SnapshotProgress::wait() {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, kPeriod, [&] { return over_; });
}

void SnapshotProgress::run() {
  const Instant began = now();
  bool shown = false;
  while (wait()) {
    auto request = agent_request(arguments_, "/v1/snapshot/progress");
    if (!request) return;
    request->timeout = kPeriod;  // bounds how long the end of the work waits for us
    const auto answer = io::http_request_blocking(std::move(*request));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now() - began).count();
    const std::string line = progress_line(
        verb_, answer && answer->status == 200 ? answer->body : "", static_cast<int>(seconds));
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    shown = true;
  }
  if (shown) std::fputs("\r\033[K", stderr);
}

}  // namespace fyr::app
