// The folder as a whole: first start, restart, and every way in which it may be unusable.
#include "raft/rocks_storage.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

class RocksStorageTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<RocksStorage>> open(bool bootstrap = true) {
    return RocksStorage::open(
        {.directory = path_, .bootstrap = bootstrap, .name = "a", .address = "h:1"});
  }
  // Opens, expecting success.
  std::unique_ptr<RocksStorage> must_open(bool bootstrap = true) {
    auto opened = open(bootstrap);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  void expect_refusal(ErrorCode code, const std::string& text) {
    const auto opened = open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, code) << opened.error().message;
    EXPECT_NE(opened.error().message.find(text), std::string::npos) << opened.error().message;
  }

  TempFolder folder_;
  fs::path path_ = folder_.path() / "raft";
};

TEST_F(RocksStorageTest, BootstrapWritesAConfigurationWithUsAsTheSoleVoter) {
  auto storage = must_open();
  const RecoveredState state = storage->take_recovered();
  EXPECT_EQ(state.last, Index(1));
  EXPECT_EQ(state.hard, (HardState{Term(1), NodeId{}}));
  ASSERT_EQ(state.configurations.size(), 1u);
  EXPECT_EQ(state.configurations[0].second.voters, std::vector<NodeId>{storage->identity().node});
  EXPECT_EQ(state.configurations[0].second.members[0].address, "h:1");
  EXPECT_EQ(storage->identity().cluster.size(), 32u);
}

TEST_F(RocksStorageTest, KeepsItsIdentityAndCountsItsLives) {
  const Identity first = must_open()->identity();
  auto again = must_open();
  EXPECT_EQ(again->identity().node, first.node);
  EXPECT_EQ(again->identity().cluster, first.cluster);
  EXPECT_EQ(again->incarnation(), 2u);
  EXPECT_EQ(again->take_recovered().last, Index(1)) << "bootstraps once";
}

TEST_F(RocksStorageTest, WithoutBootstrapItStaysEmptyAndMayBootstrapLater) {
  {
    auto storage = must_open(false);
    EXPECT_EQ(storage->take_recovered().last, Index(0));
    EXPECT_EQ(storage->identity().cluster, "");
  }
  auto storage = must_open(true);
  EXPECT_EQ(storage->take_recovered().last, Index(1));
}

// Trap R3: no second cluster on a node that took part in one.
TEST_F(RocksStorageTest, DoesNotBootstrapOnceItHasVoted) {
  {
    auto storage = must_open(false);
    PersistBatch vote;
    vote.hard = HardState{Term(1), NodeId(77)};
    ASSERT_TRUE(storage->write({&vote, 1}));
  }
  EXPECT_EQ(must_open(true)->take_recovered().last, Index(0));
}

TEST_F(RocksStorageTest, HasHardStateAndEntriesAfterReopening) {
  {
    auto storage = must_open();
    std::vector<PersistBatch> group = {make_batch(1, 2, 3), make_batch(5, 4, 6)};
    group[0].hard = HardState{Term(3), NodeId(1)};
    group[1].hard = HardState{Term(5), NodeId(2)};
    ASSERT_TRUE(storage->write(group));
  }
  const RecoveredState state = must_open()->take_recovered();
  EXPECT_EQ(state.hard, (HardState{Term(5), NodeId(2)}));
  EXPECT_EQ(state.last, Index(6));
}

// st-watermark-lowered-before-truncation.
TEST_F(RocksStorageTest, ATruncationBelowTheWatermarkIsNoLoss) {
  {
    auto storage = must_open();
    PersistBatch more = make_batch(1, 2, 9);
    ASSERT_TRUE(storage->write({&more, 1}));
    PersistBatch cut;
    cut.truncate_from = Index(4);
    ASSERT_TRUE(storage->write({&cut, 1}));
  }
  EXPECT_EQ(must_open()->take_recovered().last, Index(3));
}

TEST_F(RocksStorageTest, AFirstStartThatWasCutShortIsRepeated) {
  const Identity first = must_open()->identity();
  for (const char* gone : {"hardstate", "watermark", "log"}) {
    ASSERT_TRUE(write_identity(path_ / "identity", {first.node, first.cluster, false}));
    fs::remove_all(path_ / gone);
    auto storage = must_open();
    EXPECT_EQ(storage->identity().node, first.node);
    EXPECT_EQ(storage->take_recovered().last, Index(1)) << gone;
  }
}

TEST_F(RocksStorageTest, ALostPartOfAReadyFolderIsCorruptAndNamed) {
  must_open();
  const fs::path backup = folder_.path() / "backup";
  copy_folder(path_, backup);
  for (const std::string gone : {"hardstate", "watermark", "log"}) {
    copy_folder(backup, path_);
    fs::remove_all(path_ / gone);
    expect_refusal(ErrorCode::Corrupt, (path_ / gone).string());
    EXPECT_FALSE(fs::exists(path_ / gone)) << "nothing is made again silently";
  }
}

TEST_F(RocksStorageTest, ALostIdentityIsNotTakenForANewFolder) {
  must_open();
  fs::remove(path_ / "identity");
  expect_refusal(ErrorCode::InvalidArgument, path_.string());
  EXPECT_TRUE(fs::exists(path_ / "log" / "CURRENT"));
}

TEST_F(RocksStorageTest, RefusesAForeignFolderAndLeavesItAlone) {
  fs::create_directories(path_ / "snapshots");
  write_bytes(path_ / "raft.db", "bolt");
  expect_refusal(ErrorCode::InvalidArgument, path_.string() + ": not empty");
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(path_)) names.push_back(file.path().filename());
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"raft.db", "snapshots"}));
}

TEST_F(RocksStorageTest, AcceptsTheStateFolderBesideIt) {
  fs::create_directories(path_ / "state" / "1");
  must_open();
}

TEST_F(RocksStorageTest, NamesAPathThatIsAFile) {
  write_bytes(path_, "x");
  expect_refusal(ErrorCode::InvalidArgument, path_.string());
}

TEST_F(RocksStorageTest, NamesAPathBelowAFile) {
  write_bytes(folder_.path() / "file", "x");
  path_ = folder_.path() / "file" / "raft";
  expect_refusal(ErrorCode::InvalidArgument, path_.string());
}

TEST_F(RocksStorageTest, NamesAFolderThatCannotBeWritten) {
  path_ = "/proc/fyr-raft";  // not even root may
  expect_refusal(ErrorCode::InvalidArgument, path_.string());
}

TEST_F(RocksStorageTest, NamesAFolderThatIsInUse) {
  auto first = must_open();
  expect_refusal(ErrorCode::Conflict, path_.string());
}

}  // namespace
}  // namespace fyr::raft
