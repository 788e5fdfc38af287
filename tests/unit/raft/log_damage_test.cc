// Damage to the files of a log (raft-verification.md A8): the outcome is the whole log or a refusal
// to start, never a log that is silently shorter than what was acknowledged.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "raft/rocks_storage.h"
#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kEntries = 12;

class LogDamageTest : public ::testing::Test {
 protected:
  // A folder whose last entries are in the write-ahead log only, as after kill -9.
  void SetUp() override {
    auto storage = RocksStorage::open(options(original_));
    ASSERT_TRUE(storage);
    for (std::uint64_t i = 2; i <= kEntries; ++i) {
      const PersistBatch batch = make_batch(1, i, i);
      ASSERT_TRUE((*storage)->write({&batch, 1}));
      if (i == kEntries / 2) write_bytes(old_watermark_, read_bytes(original_ / "watermark"));
    }
    copy_folder(original_, padded_);
    copy_folder(original_, killed_);
    cut_to_content(newest(killed_, ".log"));
  }
  static RocksStorageOptions options(const fs::path& path) {
    return {.directory = path, .bootstrap = true, .name = "a", .address = "h:1"};
  }
  static fs::path newest(const fs::path& folder, const std::string& suffix) {
    fs::path found;
    for (const auto& file : fs::directory_iterator(folder / "log")) {
      if (file.path().extension() == suffix && file.path() > found && file.file_size() > 0) {
        found = file.path();
      }
    }
    return found;
  }

  // The last index of the damaged folder, or nothing if it refuses to start.
  std::optional<std::uint64_t> last_of(const fs::path& folder) {
    auto storage = RocksStorage::open(options(folder));
    if (!storage) {
      codes_.push_back(storage.error().code);
      EXPECT_NE(storage.error().message.find(folder.string()), std::string::npos)
          << storage.error().message;
      return std::nullopt;
    }
    const RecoveredState state = (*storage)->take_recovered();
    for (Index i(2); i <= state.last; i = i.next()) {
      const auto entry = (*storage)->read({i, i}, 1);
      EXPECT_TRUE(entry);
      if (entry) {
        EXPECT_EQ(*entry->front().data, "entry " + std::to_string(i.value) + " of term 1");
      }
    }
    return state.last.value;
  }

  TempFolder folder_{Medium::Memory};
  fs::path original_ = folder_.path() / "original";
  fs::path padded_ = folder_.path() / "padded";  // as it is after kill -9, with zeros at its end
  fs::path killed_ = folder_.path() / "killed";
  fs::path copy_ = folder_.path() / "copy";
  fs::path old_watermark_ = folder_.path() / "old_watermark";
  std::vector<ErrorCode> codes_;
};

TEST_F(LogDamageTest, AnUntouchedCopyHasEverything) {
  EXPECT_EQ(last_of(killed_), kEntries);
}

TEST_F(LogDamageTest, TheRoomAfterTheLastRecordIsNoDamage) {
  EXPECT_GT(fs::file_size(newest(padded_, ".log")), 1u << 20) << "appends make the file grow";
  EXPECT_EQ(last_of(padded_), kEntries);
  for (const auto& file : fs::directory_iterator(padded_)) {
    EXPECT_FALSE(file.path().filename().string().starts_with("log.damaged")) << file.path();
  }
}

TEST_F(LogDamageTest, ARecordTornBeforeThatRoomIsAsGoodAsCut) {
  const std::size_t written = fs::file_size(newest(killed_, ".log"));
  const std::uintmax_t room = fs::file_size(newest(padded_, ".log"));
  std::uint64_t shortest = kEntries;
  for (std::size_t torn = 1; torn < written / 3; torn += 7) {
    copy_folder(killed_, copy_);
    const fs::path wal = newest(copy_, ".log");
    fs::resize_file(wal, written - torn);
    fs::resize_file(wal, room);
    EXPECT_FALSE(last_of(copy_)) << "acknowledged, " << torn << " bytes torn";
    copy_folder(killed_, copy_);
    fs::resize_file(newest(copy_, ".log"), written - torn);
    fs::resize_file(newest(copy_, ".log"), room);
    write_bytes(copy_ / "watermark", read_bytes(old_watermark_));
    const auto last = last_of(copy_);
    ASSERT_TRUE(last) << torn << " bytes torn";
    EXPECT_GE(*last, kEntries / 2);
    shortest = std::min(shortest, *last);
  }
  EXPECT_LT(shortest, kEntries - 1) << "entries were torn";
}

TEST_F(LogDamageTest, AWalCutAnywhereIsNoticedWhenAcknowledgedEntriesAreLost) {
  const std::string whole = read_bytes(newest(killed_, ".log"));
  int refused = 0;
  for (std::size_t size = 0; size < whole.size(); size += 11) {
    copy_folder(killed_, copy_);
    fs::resize_file(newest(copy_, ".log"), size);
    const auto last = last_of(copy_);
    EXPECT_FALSE(last) << "cut at " << size << " of " << whole.size();
    refused += last ? 0 : 1;
  }
  EXPECT_GT(refused, 50);
  EXPECT_TRUE(std::ranges::all_of(codes_, [](ErrorCode c) { return c == ErrorCode::Corrupt; }));
}

// st-torn-tail-normal: behind the watermark nothing was acknowledged.
TEST_F(LogDamageTest, ATailThatWasNeverAcknowledgedMayBeCutAtAnyByte) {
  const std::string whole = read_bytes(newest(killed_, ".log"));
  std::uint64_t shortest = kEntries;
  for (std::size_t cut = 0; cut < whole.size() / 3; cut += 7) {
    copy_folder(killed_, copy_);
    write_bytes(copy_ / "watermark", read_bytes(old_watermark_));
    fs::resize_file(newest(copy_, ".log"), whole.size() - cut);
    const auto last = last_of(copy_);
    ASSERT_TRUE(last) << "cut " << cut << " bytes";
    EXPECT_GE(*last, kEntries / 2);
    shortest = std::min(shortest, *last);
  }
  EXPECT_LT(shortest, kEntries - 1) << "the cuts did hit entries";
}

// Every byte of every file that holds entries or says where they are.
TEST_F(LogDamageTest, AFlippedBitIsNeverASilentlyShorterOrDifferentLog) {
  Random random(3);
  int refused = 0;
  int unharmed = 0;
  for (const std::string suffix : {".log", ".sst", ""}) {
    const fs::path victim = newest(killed_, suffix);
    if (victim.empty()) continue;
    const std::size_t size = read_bytes(victim).size();
    for (std::size_t at = 0; at < size; at += 1 + size / 100) {
      copy_folder(killed_, copy_);
      const fs::path file = copy_ / "log" / victim.filename();
      std::string bytes = read_bytes(file);
      bytes[at] ^= static_cast<char>(1u << random.below(8));
      write_bytes(file, bytes);
      const auto last = last_of(copy_);
      if (last) {
        EXPECT_EQ(*last, kEntries) << victim.filename() << " byte " << at;
        ++unharmed;
      } else {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 50);
  RecordProperty("refused", refused);
  RecordProperty("unharmed", unharmed);
}

// After a restart the entries are in a table file instead.
TEST_F(LogDamageTest, AFlippedBitInATableFileIsNoticed) {
  ASSERT_EQ(last_of(killed_), kEntries);
  const fs::path victim = newest(killed_, ".sst");
  ASSERT_FALSE(victim.empty());
  const std::size_t size = read_bytes(victim).size();
  for (std::size_t at = 0; at < size; at += 1 + size / 100) {
    copy_folder(killed_, copy_);
    const fs::path file = copy_ / "log" / victim.filename();
    std::string bytes = read_bytes(file);
    bytes[at] ^= 0x20;
    write_bytes(file, bytes);
    const auto last = last_of(copy_);
    if (last) {
      EXPECT_EQ(*last, kEntries) << "byte " << at;
    }
  }
}

TEST_F(LogDamageTest, ALostFileIsNoticed) {
  ASSERT_EQ(last_of(killed_), kEntries);
  std::vector<fs::path> names;
  for (const auto& file : fs::directory_iterator(killed_ / "log")) {
    names.push_back(file.path().filename());
  }
  for (const fs::path& name : names) {
    copy_folder(killed_, copy_);
    fs::remove(copy_ / "log" / name);
    const auto last = last_of(copy_);
    if (last) {
      EXPECT_EQ(*last, kEntries) << name;
    }
  }
}

TEST_F(LogDamageTest, TheErrorSaysWhatIsMissing) {
  const fs::path wal = newest(killed_, ".log");
  fs::resize_file(wal, fs::file_size(wal) - 1);
  const auto storage = RocksStorage::open(options(killed_));
  ASSERT_FALSE(storage);
  EXPECT_EQ(storage.error().code, ErrorCode::Corrupt);
  EXPECT_EQ(storage.error().message,
            (killed_ / "log").string() +
                ": acknowledged entries are lost: the log ends at 11 (term 1), it had reached 12 "
                "(term 1)");
}

}  // namespace
}  // namespace fyr::raft
