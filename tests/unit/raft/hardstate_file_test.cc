// raft.md §9: one torn or rotten slot never hides an acknowledged vote; two end the start.
#include "raft/hardstate_file.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

constexpr HardState kOld{Term(4), NodeId(1)};
constexpr HardState kNew{Term(5), NodeId(2)};

class HardStateFileTest : public ::testing::Test {
 protected:
  // The bytes before and after the change from kOld to kNew.
  void SetUp() override {
    auto file = HardStateFile::create(path_, kOld);
    ASSERT_TRUE(file);
    before_ = read_bytes(path_);
    ASSERT_TRUE(file->write(kNew));
    after_ = read_bytes(path_);
    ASSERT_EQ(after_.size(), 2 * SlotFile::kSlotBytes);
  }
  Result<HardState> state_of(const std::string& bytes) {
    write_bytes(path_, bytes);
    auto file = HardStateFile::open(path_);
    if (!file) return file.error();
    return file->state();
  }

  TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "hardstate";
  std::string before_, after_;
};

TEST_F(HardStateFileTest, SurvivesReopening) {
  auto file = HardStateFile::open(path_);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->state(), kNew);
}

TEST_F(HardStateFileTest, IsOldOrNewWhereverAnUpdateIsCut) {
  // Slot A is written whole or in part, then slot B; what lies behind the cut is the old content.
  constexpr std::size_t kUsed = 64;
  for (std::size_t slot = 0; slot < 2; ++slot) {
    for (std::size_t cut = 0; cut <= kUsed; ++cut) {
      const std::size_t end = slot * SlotFile::kSlotBytes + cut;
      const auto state = state_of(after_.substr(0, end) + before_.substr(end));
      ASSERT_TRUE(state) << end;
      const bool first_slot_complete = slot == 1 || cut >= kUsed;
      if (first_slot_complete) {
        EXPECT_EQ(*state, kNew) << end;
      } else {
        EXPECT_TRUE(*state == kOld || *state == kNew) << end;
      }
    }
  }
}

TEST_F(HardStateFileTest, OneRottenSlotHidesNothing) {
  for (std::size_t at = 0; at < 44; ++at) {
    for (const std::size_t slot : {0u, 1u}) {
      std::string bytes = after_;
      bytes[slot * SlotFile::kSlotBytes + at] ^= 0x10;
      const auto state = state_of(bytes);
      ASSERT_TRUE(state) << slot << " " << at;
      EXPECT_EQ(*state, kNew) << slot << " " << at;
    }
  }
}

TEST_F(HardStateFileTest, OneZeroedSlotHidesNothing) {
  for (const std::size_t slot : {0u, 1u}) {
    std::string bytes = after_;
    bytes.replace(slot * SlotFile::kSlotBytes, SlotFile::kSlotBytes, SlotFile::kSlotBytes, '\0');
    EXPECT_EQ(*state_of(bytes), kNew);
  }
}

TEST_F(HardStateFileTest, OpeningMakesBothSlotsEqual) {
  std::string bytes = after_;
  bytes[10] ^= 1;
  ASSERT_TRUE(state_of(bytes));
  bytes = read_bytes(path_);
  EXPECT_EQ(bytes.substr(0, 64), bytes.substr(SlotFile::kSlotBytes, 64));
  bytes[SlotFile::kSlotBytes + 10] ^= 1;  // now the other one rots
  EXPECT_EQ(*state_of(bytes), kNew);
}

TEST_F(HardStateFileTest, BothSlotsBadIsCorruptAndNamesThePath) {
  std::string bytes = after_;
  bytes[20] ^= 1;
  bytes[SlotFile::kSlotBytes + 20] ^= 1;
  const auto state = state_of(bytes);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, ErrorCode::Corrupt);
  EXPECT_NE(state.error().message.find(path_.string()), std::string::npos);
}

TEST_F(HardStateFileTest, AnEmptyOrAbsentFileIsCorrupt) {
  EXPECT_EQ(state_of("").error().code, ErrorCode::Corrupt);
  std::filesystem::remove(path_);
  EXPECT_EQ(HardStateFile::open(path_).error().code, ErrorCode::Corrupt);
}

TEST_F(HardStateFileTest, CountsEachLife) {
  for (std::uint64_t life = 2; life <= 4; ++life) {
    auto file = HardStateFile::open(path_);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->raise_incarnation());
    EXPECT_EQ(file->incarnation(), life);
    EXPECT_EQ(file->state(), kNew);
  }
}

TEST_F(HardStateFileTest, IsNotReadAsAWatermark) {
  EXPECT_EQ(WatermarkFile::open(path_).error().code, ErrorCode::Corrupt);
}

TEST(WatermarkFile, KeepsWhatWasRaisedWithoutASync) {
  TempFolder folder;
  const auto path = folder.path() / "watermark";
  {
    auto file = WatermarkFile::create(path, {});
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->raise({Index(7), Term(2)}));
  }
  auto file = WatermarkFile::open(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->value(), (Watermark{Index(7), Term(2)}));
}

TEST(WatermarkFile, OneRottenSlotDoesNotLowerIt) {
  TempFolder folder;
  const auto path = folder.path() / "watermark";
  auto file = WatermarkFile::create(path, {});
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->raise({Index(7), Term(2)}));
  ASSERT_TRUE(file->raise({Index(8), Term(2)}));
  ASSERT_TRUE(file->sync());
  for (const std::size_t slot : {0u, 1u}) {
    std::string bytes = read_bytes(path);
    bytes[slot * SlotFile::kSlotBytes + 20] ^= 1;
    write_bytes(folder.path() / "copy", bytes);
    auto copy = WatermarkFile::open(folder.path() / "copy");
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->value().index, Index(8));
  }
}

// Writes without a sync may be torn by a power cut; what was synced before must not be among them.
TEST(WatermarkFile, ATornUpdateLeavesTheLastSyncedOne) {
  TempFolder folder;
  const auto path = folder.path() / "watermark";
  auto file = WatermarkFile::create(path, {});
  ASSERT_TRUE(file);
  std::string synced = read_bytes(path);
  std::uint64_t index = 0;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(file->raise({Index(i), Term(2)}));
    const std::string now = read_bytes(path);
    std::string torn = now;
    for (std::size_t at = 0; at < torn.size(); ++at) {
      if (now[at] != synced[at]) torn[at] = '?';
    }
    write_bytes(folder.path() / "copy", torn);
    auto copy = WatermarkFile::open(folder.path() / "copy");
    ASSERT_TRUE(copy) << "after " << i;
    EXPECT_EQ(copy->value().index, Index(index));
    if (i % 3 != 0) continue;
    synced = now;
    index = i;
    ASSERT_TRUE(file->sync());
  }
}

}  // namespace
}  // namespace fyr::raft
