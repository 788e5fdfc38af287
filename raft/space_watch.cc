#include "raft/space_watch.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "raft/thread_name.h"

namespace fyr::raft {
namespace {
constexpr auto kPeriod = std::chrono::seconds(1);
}

bool is_low_now(bool was_low, const io::DiskSpace& space) {
  const std::uint64_t mark = space.low_mark();
  return space.available < (was_low ? mark + mark / 4 : mark);
}

SpaceWatch::SpaceWatch(std::filesystem::path folder, std::function<void(bool low)> changed)
    : folder_(std::move(folder)), changed_(std::move(changed)), thread_([this] { run(); }) {}

void SpaceWatch::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void SpaceWatch::run() {
  name_this_thread("raft-space");
  metrics::Gauge& free_bytes = metrics::gauge("fyr.raft.disk_free_bytes");
  metrics::Gauge& shown = metrics::gauge("fyr.raft.disk_low");
  std::optional<bool> low;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const auto space = io::disk_space(folder_);
    if (space) free_bytes.set(static_cast<double>(space->available));
    const bool found = space && is_low_now(low.value_or(false), *space);
    if (low != found) {
      if (found) {
        log::error("raft", "disk_low: {}: {} MiB are left; no writes until there is more room",
                   folder_.string(), space->available >> 20);
      } else if (low) {
        log::info("raft", "{}: there is room again", folder_.string());
      }
      low = found;
      shown.set(found ? 1 : 0);
      changed_(found);
    }
    lock.lock();
    wake_.wait_for(lock, kPeriod, [&] { return stopping_; });
  }
}

}  // namespace fyr::raft
