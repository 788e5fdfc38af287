#include "raft/log_writer.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "tests/unit/raft/batches.h"

namespace fyr::raft {
namespace {

// A disk that waits for the test before each write.
class GatedStorage final : public Storage {
 public:
  Result<void> write(std::span<const PersistBatch> batches) override {
    std::unique_lock lock(mutex_);
    groups_.push_back(batches.size());
    changed_.notify_all();
    changed_.wait(lock, [this] { return allowed_ > 0; });
    --allowed_;
    if (fail_) return fail(ErrorCode::Internal, "no space left");
    return {};
  }
  Result<void> compact(const LogBase&) override { return {}; }
  Result<void> sync_watermark() override {
    std::lock_guard lock(mutex_);
    ++watermark_syncs_;
    changed_.notify_all();
    return {};
  }
  Result<std::vector<Entry>> read(IndexRange, std::size_t) const override {
    return std::vector<Entry>{};
  }

  void allow(int writes) {
    std::lock_guard lock(mutex_);
    allowed_ += writes;
    changed_.notify_all();
  }
  void fail_from_now_on() {
    std::lock_guard lock(mutex_);
    fail_ = true;
  }
  void await_groups(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return groups_.size() >= count; });
  }
  void await_watermark() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return watermark_syncs_ > 0; });
  }
  std::vector<std::size_t> groups() {
    std::lock_guard lock(mutex_);
    return groups_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::size_t> groups_;
  int allowed_ = 0;
  int watermark_syncs_ = 0;
  bool fail_ = false;
};

class LogWriterTest : public ::testing::Test {
 protected:
  void submit(std::uint64_t id, std::size_t bytes = 1) {
    PersistBatch batch;
    batch.id = WriteId(id);
    batch.entries.push_back(make_entry(1, id, std::string(bytes, 'x')));
    std::vector<PersistBatch> batches;
    batches.push_back(std::move(batch));
    writer_.submit(std::move(batches), std::nullopt);
  }
  void await_written(std::uint64_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return written_ >= id; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t written_ = 0;
  std::string error_;
  GatedStorage storage_;
  LogWriter writer_{storage_,
                    [this](WriteId upto) {
                      std::lock_guard lock(mutex_);
                      written_ = upto.value;
                      changed_.notify_all();
                    },
                    [this](const Error& error) {
                      std::lock_guard lock(mutex_);
                      error_ = error.message;
                      changed_.notify_all();
                    }};
};

TEST_F(LogWriterTest, EverythingThatCameDuringAWriteGoesIntoTheNext) {
  submit(1);
  storage_.await_groups(1);
  for (std::uint64_t id = 2; id <= 50; ++id) submit(id);
  storage_.allow(2);
  await_written(50);
  EXPECT_EQ(storage_.groups(), (std::vector<std::size_t>{1, 49}));
}

TEST_F(LogWriterTest, AGroupIsAtMostAboutFourMebibytes) {
  submit(1);
  storage_.await_groups(1);
  for (std::uint64_t id = 2; id <= 11; ++id) submit(id, 1 << 20);
  storage_.allow(10);
  await_written(11);
  EXPECT_EQ(storage_.groups(), (std::vector<std::size_t>{1, 4, 4, 2}));
}

TEST_F(LogWriterTest, FlushesTheWatermarkSoonAfterTheLastWrite) {
  storage_.allow(1);
  submit(1);
  storage_.await_watermark();
}

// M36: an fsync that failed is not tried again.
TEST_F(LogWriterTest, WritesNothingMoreAfterAnError) {
  storage_.fail_from_now_on();
  storage_.allow(10);
  submit(1);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !error_.empty(); });
  }
  submit(2);
  writer_.stop();
  EXPECT_EQ(storage_.groups().size(), 1u);
  EXPECT_EQ(written_, 0u);
}

}  // namespace
}  // namespace fyr::raft
