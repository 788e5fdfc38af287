#include "raft/log_writer.h"

#include <iterator>

#include "base/metrics.h"
#include "raft/thread_name.h"

namespace fyr::raft {
namespace {
constexpr std::size_t kMaxGroupBytes = 4u << 20;
constexpr auto kWatermarkInterval = std::chrono::milliseconds(100);

// How many batches from `begin` on make one group: at least one.
std::size_t group_end(const std::vector<PersistBatch>& batches, std::size_t begin) {
  std::size_t bytes = 0;
  std::size_t end = begin;
  while (end < batches.size() && (end == begin || bytes < kMaxGroupBytes)) {
    for (const Entry& entry : batches[end].entries) bytes += entry_cost(entry);
    ++end;
  }
  return end;
}

// Entries a sync: the quotient of the two.
void count(std::span<const PersistBatch> group) {
  static metrics::Counter& syncs = metrics::counter("fyr.raft.log_syncs");
  static metrics::Counter& entries = metrics::counter("fyr.raft.log_entries");
  std::size_t written = 0;
  for (const PersistBatch& batch : group) written += batch.entries.size();
  if (written == 0) return;
  syncs.add();
  entries.add(written);
}
}  // namespace

LogWriter::LogWriter(Storage& storage, std::function<void(WriteId)> written,
                     std::function<void(const Error&)> failed)
    : storage_(storage),
      written_(std::move(written)),
      failed_(std::move(failed)),
      thread_([this] { run(); }) {}

void LogWriter::submit(std::vector<PersistBatch> batches, std::optional<LogBase> compact) {
  bool was_empty = false;
  {
    std::lock_guard lock(mutex_);
    was_empty = queued_.empty();
    if (queued_.batches.empty()) {
      queued_.batches.swap(batches);
    } else {
      queued_.batches.insert(queued_.batches.end(), std::make_move_iterator(batches.begin()),
                             std::make_move_iterator(batches.end()));
    }
    if (compact) queued_.compact = std::move(compact);
  }
  if (was_empty) wake_.notify_one();
}

void LogWriter::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

// False: stop. Work may come back empty when only the watermark is due.
bool LogWriter::next(Work& work) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopping_ || !queued_.empty(); };
  if (watermark_due_) {
    wake_.wait_until(lock, watermark_at_, ready);
  } else {
    wake_.wait(lock, ready);
  }
  work = std::exchange(queued_, {});
  return !stopping_;
}

void LogWriter::run() {
  name_this_thread("raft-log");
  Work work;
  while (next(work)) {
    if (auto done = perform(work); !done) {
      failed_(done.error());
      return;
    }
  }
  (void)storage_.sync_watermark();
}

Result<void> LogWriter::perform(Work& work) {
  static metrics::Sample& fsync = metrics::sample("fyr.raft.fsync_ms");
  static metrics::Sample& group = metrics::sample("fyr.raft.append_group_size");
  const std::span<const PersistBatch> all(work.batches);
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = group_end(work.batches, begin);
    const Instant began = fyr::now();
    if (auto done = storage_.write(all.subspan(begin, end - begin)); !done) return done;
    fsync.add(std::chrono::duration<double, std::milli>(fyr::now() - began).count());
    group.add(static_cast<double>(end - begin));
    count(all.subspan(begin, end - begin));
    written_(all[end - 1].id);
    begin = end;
  }
  if (work.compact) {
    if (auto done = storage_.compact(*work.compact); !done) return done;
  }
  const auto now = fyr::now();
  if (!all.empty() && !watermark_due_) {
    watermark_due_ = true;
    watermark_at_ = now + kWatermarkInterval;
  }
  if (watermark_due_ && now >= watermark_at_) {
    watermark_due_ = false;
    return storage_.sync_watermark();
  }
  return {};
}

}  // namespace fyr::raft
