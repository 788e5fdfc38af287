#include "raft/rocks_log.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

class RocksLogTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    log_.reset();
    auto opened = RocksLog::open(folder_.path() / "log");
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
  }
  void write(const PersistBatch& batch) {
    const auto done = log_->write({&batch, 1});
    ASSERT_TRUE(done) << done.error().message;
  }
  RecoveredState recover() {
    auto state = log_->recover();
    EXPECT_TRUE(state) << state.error().message;
    return state ? std::move(*state) : RecoveredState{};
  }
  std::string data_at(std::uint64_t index) {
    auto entries = log_->read({Index(index), Index(index)}, 1 << 20);
    return entries ? *entries->front().data : entries.error().message;
  }

  TempFolder folder_;
  std::unique_ptr<RocksLog> log_;
};

TEST_F(RocksLogTest, StartsEmpty) {
  const RecoveredState state = recover();
  EXPECT_EQ(state.last, Index(0));
  EXPECT_TRUE(state.runs.empty());
}

TEST_F(RocksLogTest, HasEverythingAfterReopening) {
  write(make_batch(1, 1, 3));
  write(make_batch(4, 4, 5));
  reopen();
  const RecoveredState state = recover();
  EXPECT_EQ(state.last, Index(5));
  EXPECT_EQ(state.runs, (std::vector<TermRun>{{Index(1), Term(1)}, {Index(4), Term(4)}}));
  EXPECT_EQ(state.entry_bytes.size(), 5u);
  EXPECT_EQ(data_at(4), "entry 4 of term 4");
  EXPECT_EQ(log_->last_term(), Term(4));
}

TEST_F(RocksLogTest, KeepsTypesAndEmptyData) {
  PersistBatch batch;
  batch.entries = {{Term(1), Index(1), EntryType::Noop, nullptr},
                   {Term(1), Index(2), EntryType::App, std::make_shared<const std::string>()},
                   {Term(1), Index(3), EntryType::Check, std::make_shared<const std::string>("c")}};
  write(batch);
  reopen();
  const auto entries = log_->read({Index(1), Index(3)}, 1 << 20);
  ASSERT_TRUE(entries);
  EXPECT_EQ((*entries)[0].type, EntryType::Noop);
  EXPECT_EQ((*entries)[1].type, EntryType::App);
  EXPECT_EQ((*entries)[2].type, EntryType::Check);
}

TEST_F(RocksLogTest, ReadsConfigurationsBack) {
  const Configuration two = single_voter({NodeId(2), "b", "b:1", "", 1});
  PersistBatch batch = make_batch(1, 1, 1);
  batch.entries.push_back({Term(1), Index(2), EntryType::Config,
                           std::make_shared<const std::string>(encode_configuration(two))});
  write(batch);
  reopen();
  const RecoveredState state = recover();
  ASSERT_EQ(state.configurations.size(), 1u);
  EXPECT_EQ(state.configurations[0].first, Index(2));
  EXPECT_EQ(state.configurations[0].second, two);
}

TEST_F(RocksLogTest, ReplacesATailInOneBatch) {
  write(make_batch(1, 1, 9));
  write(make_batch(2, 5, 6, /*truncate_from=*/5));
  reopen();
  const RecoveredState state = recover();
  EXPECT_EQ(state.last, Index(6));
  EXPECT_EQ(data_at(4), "entry 4 of term 1");
  EXPECT_EQ(data_at(6), "entry 6 of term 2");
}

TEST_F(RocksLogTest, TruncatesWithoutReplacement) {
  write(make_batch(1, 1, 3));
  write(make_batch(2, 4, 9));
  PersistBatch cut;
  cut.truncate_from = Index(4);
  write(cut);
  EXPECT_EQ(log_->last_term(), Term(1));
  reopen();
  EXPECT_EQ(recover().last, Index(3));
}

TEST_F(RocksLogTest, TruncatesWhatTheSameGroupWrote) {
  const std::vector<PersistBatch> group = {make_batch(1, 1, 5), make_batch(2, 3, 3, 3),
                                           make_batch(3, 2, 4, 2)};
  ASSERT_TRUE(log_->write(group));
  reopen();
  const RecoveredState state = recover();
  EXPECT_EQ(state.runs, (std::vector<TermRun>{{Index(1), Term(1)}, {Index(2), Term(3)}}));
  EXPECT_EQ(state.last, Index(4));
}

TEST_F(RocksLogTest, ForgetsItsStartAfterCompaction) {
  write(make_batch(1, 1, 5));
  write(make_batch(2, 6, 9));
  const Configuration one = single_voter({NodeId(1), "a", "a:1", "", 1});
  ASSERT_TRUE(log_->compact({Index(6), Term(2), one}));
  reopen();
  const RecoveredState state = recover();
  EXPECT_EQ(state.base.index, Index(6));
  EXPECT_EQ(state.base.term, Term(2));
  EXPECT_EQ(state.base.configuration, one);
  EXPECT_EQ(state.entry_bytes.size(), 3u);
  EXPECT_EQ(log_->read({Index(6), Index(7)}, 1).error().code, ErrorCode::Corrupt);
  write(make_batch(2, 10, 10));
  EXPECT_EQ(data_at(10), "entry 10 of term 2");
}

TEST_F(RocksLogTest, CanBeCutDownToNothingAndGoOn) {
  write(make_batch(3, 1, 9));
  ASSERT_TRUE(log_->compact({Index(9), Term(3), {}}));
  reopen();
  EXPECT_EQ(recover().last, Index(9));
  EXPECT_EQ(log_->last_term(), Term(3));
  write(make_batch(4, 10, 12));
  reopen();
  EXPECT_EQ(recover().runs, (std::vector<TermRun>{{Index(10), Term(4)}}));
}

TEST_F(RocksLogTest, ReadStopsAtTheByteLimitButReturnsAtLeastOne) {
  write(make_batch(1, 1, 100));
  const auto one = log_->read({Index(1), Index(100)}, 1);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->size(), 1u);
  const auto some = log_->read({Index(10), Index(100)}, 1'000);
  ASSERT_TRUE(some);
  EXPECT_EQ(some->front().index, Index(10));
  EXPECT_GT(some->size(), 5u);
  EXPECT_LT(some->size(), 20u);
}

TEST_F(RocksLogTest, AgreesWithAModelOverReopeningTruncationAndCompaction) {
  Random random(7);
  std::map<std::uint64_t, std::uint64_t> terms;  // index -> term
  std::uint64_t term = 1, base = 0, last = 0;
  for (int step = 0; step < 300; ++step) {
    if (random.chance(0.1)) ++term;
    std::vector<PersistBatch> group;
    for (std::uint64_t n = random.below(4); n > 0; --n) {
      std::uint64_t cut = 0;
      if (last > base && random.chance(0.2)) {
        cut = base + 1 + random.below(last - base);
        terms.erase(terms.lower_bound(cut), terms.end());
        last = cut - 1;
        ++term;
      }
      const std::uint64_t count = random.below(6);
      group.push_back(make_batch(term, last + 1, last + count, cut));
      for (std::uint64_t i = 0; i < count; ++i) terms[++last] = term;
    }
    ASSERT_TRUE(log_->write(group));
    if (last > base + 20 && random.chance(0.1)) {
      base += 1 + random.below(last - base);
      ASSERT_TRUE(log_->compact({Index(base), Term(terms[base]), {}}));
      terms.erase(terms.begin(), terms.upper_bound(base));
    }
    if (random.chance(0.05)) reopen();
    if (random.chance(0.1)) {
      const RecoveredState state = recover();
      ASSERT_EQ(state.base.index.value, base) << step;
      ASSERT_EQ(state.last.value, last) << step;
      for (const auto& [index, expected] : terms) {
        ASSERT_EQ(log_->term_of(Index(index)).value(), Term(expected)) << step;
      }
    }
  }
}

// Trap R16: the folder shrinks to what is retained.
TEST_F(RocksLogTest, GivesDiskSpaceBackWhenItsStartIsForgotten) {
  const std::string data(64 << 10, 'x');
  std::uint64_t next = 1;
  const auto folder_bytes = [this] {
    std::uintmax_t sum = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder_.path() / "log")) {
      sum += file.is_regular_file() ? file.file_size() : 0;
    }
    return sum;
  };
  const auto add_mebibytes = [&](int count) {
    for (int i = 0; i < count; ++i) {
      PersistBatch batch;
      for (int j = 0; j < 16; ++j) batch.entries.push_back(make_entry(1, next++, data));
      write(batch);
    }
  };
  add_mebibytes(200);
  EXPECT_GT(folder_bytes(), 190u << 20);
  ASSERT_TRUE(log_->compact({Index(next - 17), Term(1), {}}));
  add_mebibytes(20);  // the next memtable flush lets old WALs go
  reopen();
  EXPECT_LT(folder_bytes(), 110u << 20);
  EXPECT_EQ(data_at(next - 1), data);
}

}  // namespace
}  // namespace fyr::raft
