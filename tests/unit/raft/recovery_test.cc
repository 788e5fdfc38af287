// Folders of nodes that are not alone: founding, adopting, truncation, quarantine, installs.
#include <gtest/gtest.h>

#include <algorithm>

#include "raft/members_file.h"
#include "raft/rocks_storage.h"
#include "raft/state_generations.h"
#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

namespace fs = std::filesystem;

class RecoveryTest : public ::testing::Test {
 protected:
  static Member member(NodeId id, std::string site = "oslo") {
    Member out;
    out.id = id;
    out.name = "n" + std::to_string(id.value % 1000);
    out.address = "h:1";
    out.site = std::move(site);
    return out;
  }
  // As the founder of a cluster of three.
  Result<std::unique_ptr<RocksStorage>> open(std::optional<LogPosition> state = {}) {
    auto identity = RocksStorage::identify(path_);
    if (!identity) return identity.error();
    RocksStorageOptions options;
    options.directory = path_;
    options.bootstrap = true;
    options.members = {member(identity->node), member(NodeId(2)), member(NodeId(3), "frankfurt")};
    options.state = state;
    options.on_install = [this](InstallStep step) {
      return step == stop_at_ ? Result<void>(fail(ErrorCode::Stopped, "cut")) : Result<void>();
    };
    return RocksStorage::open(options);
  }
  std::unique_ptr<RocksStorage> must_open(std::optional<LogPosition> state = {}) {
    auto opened = open(state);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  static void must_write(RocksStorage& storage, const PersistBatch& batch) {
    const auto done = storage.write({&batch, 1});
    ASSERT_TRUE(done) << done.error().message;
  }
  // Entries 2 to `last` in term 1, the state at `applied`.
  void prepare(std::uint64_t last) {
    auto storage = must_open();
    for (std::uint64_t i = 2; i <= last; ++i) must_write(*storage, make_batch(1, i, i));
  }
  fs::path newest(const std::string& suffix) const {
    fs::path found;
    for (const auto& file : fs::directory_iterator(path_ / "log")) {
      if (file.path().extension() == suffix && file.path() > found && file.file_size() > 0)
        found = file.path();
    }
    return found;
  }
  static LogBase base_at(std::uint64_t index, std::uint64_t term) {
    LogBase base{Index(index), Term(term), {}};
    base.configuration.members = {member(NodeId(2)), member(NodeId(3))};
    base.configuration.voters = {NodeId(2), NodeId(3)};
    return base;
  }
  bool has_evidence() const {
    return std::ranges::any_of(fs::directory_iterator(path_), [](const auto& entry) {
      return entry.path().filename().string().starts_with("log.damaged-");
    });
  }

  TempFolder folder_{Medium::Memory};
  fs::path path_ = folder_.path() / "raft";
  std::optional<InstallStep> stop_at_;
};

// ---- founding and adopting --------------------------------------------------------------------

TEST_F(RecoveryTest, TheFounderWritesOneEntryWithAllFirstVoters) {
  auto storage = must_open();
  const RecoveredState state = storage->take_recovered();
  EXPECT_EQ(state.last, Index(1));
  ASSERT_EQ(state.configurations.size(), 1u);
  const Configuration& first = state.configurations[0].second;
  EXPECT_EQ(first.voters, (std::vector<NodeId>{storage->identity().node, NodeId(2), NodeId(3)}));
  EXPECT_EQ(first.members[2].site, "frankfurt");
  EXPECT_EQ(storage->identity().cluster.size(), 32u);
  EXPECT_FALSE(state.ever_voted);
  EXPECT_EQ(storage->configuration_at(Index(1)), first);
  EXPECT_EQ(storage->configuration_at(Index(0)), Configuration{});
}

TEST_F(RecoveryTest, AFounderMustBeAmongItsMembers) {
  const auto opened = RocksStorage::open({.directory = path_,
                                          .bootstrap = true,
                                          .name = "",
                                          .address = "",
                                          .members = {member(NodeId(9))}});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::InvalidArgument);
}

TEST_F(RecoveryTest, ANodeWithoutAClusterWaitsAndAdoptsOneForGood) {
  RocksStorageOptions options;
  options.directory = path_;
  const NodeId node = RocksStorage::identify(path_)->node;
  {
    auto storage = RocksStorage::open(options);
    ASSERT_TRUE(storage);
    const RecoveredState state = (*storage)->take_recovered();
    EXPECT_EQ(state.last, Index(0));
    EXPECT_EQ(state.hard, HardState{});
    EXPECT_FALSE(state.ever_voted);
    EXPECT_EQ((*storage)->identity().node, node);
    EXPECT_EQ((*storage)->identity().cluster, "");
    ASSERT_TRUE((*storage)->adopt("c1", 3));
    EXPECT_TRUE((*storage)->adopt("c1", 3)) << "a repeat is none";
    EXPECT_EQ((*storage)->adopt("c2", 3).error().code, ErrorCode::Conflict);
    EXPECT_EQ((*storage)->adopt("c1", 4).error().code, ErrorCode::Conflict);
  }
  options.bootstrap = true;  // as on a machine that was set up like the others
  auto storage = RocksStorage::open(options);
  ASSERT_TRUE(storage);
  EXPECT_EQ((*storage)->identity().cluster, "c1");
  EXPECT_EQ((*storage)->identity().recovery_epoch, 3u);
  EXPECT_EQ((*storage)->take_recovered().last, Index(0)) << "it founds no second cluster";
}

TEST_F(RecoveryTest, OneWhoVotedKnowsItAfterARestart) {
  {
    auto storage = RocksStorage::open({.directory = path_, .name = "", .address = ""});
    ASSERT_TRUE(storage);
    PersistBatch vote;
    vote.hard = HardState{Term(1), NodeId(2)};
    must_write(**storage, vote);
  }
  auto storage = RocksStorage::open({.directory = path_, .name = "", .address = ""});
  ASSERT_TRUE(storage);
  EXPECT_TRUE((*storage)->take_recovered().ever_voted);
}

// ---- followers --------------------------------------------------------------------------------

// A tail that was overwritten and written again: the last version counts, the watermark follows.
TEST_F(RecoveryTest, ATailReplacedAndReplacedAgainIsTheLastOne) {
  {
    auto storage = must_open();
    PersistBatch a = make_batch(2, 2, 9);
    a.hard = HardState{Term(2), NodeId(2)};
    must_write(*storage, a);
    PersistBatch b = make_batch(3, 5, 6, 5);
    b.hard = HardState{Term(3), NodeId{}};
    PersistBatch again = make_batch(4, 4, 12, 4);
    again.hard = HardState{Term(4), NodeId{}};
    const std::vector<PersistBatch> group = {b, again, make_batch(4, 11, 11, 11)};
    ASSERT_TRUE(storage->write(group));
  }
  auto storage = must_open();
  const RecoveredState state = storage->take_recovered();
  EXPECT_FALSE(state.quarantine);
  EXPECT_EQ(state.last, Index(11));
  EXPECT_EQ(state.hard.term, Term(4));
  EXPECT_EQ(state.runs,
            (std::vector<TermRun>{{Index(1), Term(1)}, {Index(2), Term(2)}, {Index(4), Term(4)}}));
  EXPECT_EQ(*(*storage->read({Index(11), Index(11)}, 1))[0].data, "entry 11 of term 4");
}

// The same position in the log after A, B and A again is no proof of the same entries: the
// watermark names the term, too.
TEST_F(RecoveryTest, AnOldTailUnderANewWatermarkIsALoss) {
  must_open();
  {
    auto storage = must_open();
    PersistBatch a = make_batch(2, 2, 6);
    a.hard = HardState{Term(2), NodeId(2)};
    must_write(*storage, a);
  }
  const fs::path old_log = folder_.path() / "old";
  copy_folder(path_ / "log", old_log);
  {
    auto storage = must_open();
    PersistBatch b = make_batch(3, 4, 6, 4);
    b.hard = HardState{Term(3), NodeId(3)};
    must_write(*storage, b);
  }
  copy_folder(old_log, path_ / "log");
  const auto state = must_open()->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(*state.quarantine, (LogPosition{Index(6), Term(3)}));
}

TEST_F(RecoveryTest, AConfigurationThatIsCutOffIsForgottenEverywhere) {
  auto storage = must_open();
  const Configuration first = storage->configuration_at(Index(1));
  Configuration second = first;
  second.voters.pop_back();
  PersistBatch change;
  change.entries.push_back({Term(1), Index(2), EntryType::Config,
                            std::make_shared<const std::string>(encode_configuration(second))});
  must_write(*storage, change);
  EXPECT_EQ(storage->configuration_at(Index(2)), second);
  EXPECT_EQ(storage->configuration_at(Index(1)), first);
  EXPECT_EQ(*read_members(path_ / "members"), second);
  must_write(*storage, make_batch(1, 2, 2, 2));
  EXPECT_EQ(storage->configuration_at(Index(2)), first);
  EXPECT_EQ(*read_members(path_ / "members"), first);
}

// ---- quarantine -------------------------------------------------------------------------------

TEST_F(RecoveryTest, AShorterLogStartsInQuarantineWhereItEndsUntilThatIsOver) {
  prepare(12);
  const fs::path wal = newest(".log");
  cut_to_content(wal);
  fs::resize_file(wal, fs::file_size(wal) - 1);
  {
    auto storage = must_open();
    const RecoveredState state = storage->take_recovered();
    ASSERT_TRUE(state.quarantine);
    EXPECT_EQ(*state.quarantine, (LogPosition{Index(12), Term(1)}));
    EXPECT_EQ(state.last, Index(11));
    EXPECT_EQ(state.configurations.back().second.voters.size(), 3u);
  }
  {
    // It outlives restarts, though the log has grown beyond the old watermark.
    auto storage = must_open();
    EXPECT_TRUE(storage->take_recovered().quarantine);
    must_write(*storage, make_batch(1, 12, 14));
    storage.reset();
    storage = must_open();
    EXPECT_TRUE(storage->take_recovered().quarantine);
    PersistBatch end;
    end.end_quarantine = true;
    must_write(*storage, end);
  }
  const RecoveredState state = must_open()->take_recovered();
  EXPECT_FALSE(state.quarantine);
  EXPECT_EQ(state.last, Index(14));
}

TEST_F(RecoveryTest, ALogThatCannotBeOpenedIsSetAsideAndMadeAgainFromTheState) {
  prepare(12);
  const fs::path wal = newest(".log");
  std::string bytes = read_bytes(wal);
  bytes[bytes.size() / 2] ^= 1;
  write_bytes(wal, bytes);
  const RecoveredState state = must_open(LogPosition{Index(7), Term(1)})->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(*state.quarantine, (LogPosition{Index(12), Term(1)}));
  EXPECT_EQ(state.base.index, Index(7));
  EXPECT_EQ(state.last, Index(7));
  EXPECT_EQ(state.base.configuration.voters.size(), 3u) << "as in the members file";
  EXPECT_TRUE(has_evidence());
  const RecoveredState again = must_open(LogPosition{Index(7), Term(1)})->take_recovered();
  EXPECT_EQ(again.quarantine, state.quarantine);
  EXPECT_EQ(again.base.index, Index(7));
}

TEST_F(RecoveryTest, AnUnknownConfigurationMeansQuarantineToo) {
  prepare(5);
  fs::remove(path_ / "members");
  fs::remove_all(path_ / "log");
  const RecoveredState state = must_open()->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(state.last, Index(0));
}

TEST_F(RecoveryTest, ADamagedEntryLeavesTheGoodBeginning) {
  prepare(12);
  must_open().reset();  // the second start puts everything into a table
  fs::path table;
  std::string bytes;
  std::size_t at = std::string::npos;
  for (const auto& file : fs::directory_iterator(path_ / "log")) {
    if (at != std::string::npos) break;
    if (file.path().extension() != ".sst") continue;
    table = file.path();
    bytes = read_bytes(table);
    at = bytes.find("entry 9 of");
  }
  ASSERT_NE(at, std::string::npos);
  bytes[at] ^= 1;
  write_bytes(table, bytes);
  const RecoveredState state = must_open(LogPosition{Index(3), Term(1)})->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(state.quarantine->index, Index(12));
  EXPECT_LT(state.last, Index(9));
  EXPECT_GE(state.last, Index(3));
  EXPECT_TRUE(has_evidence());
}

TEST_F(RecoveryTest, AStateThatIsOlderThanTheLogsStartIsQuarantinedThere) {
  {
    auto storage = must_open();
    for (std::uint64_t i = 2; i <= 12; ++i) must_write(*storage, make_batch(1, i, i));
    LogBase base{Index(8), Term(1), storage->configuration_at(Index(8))};
    ASSERT_TRUE(storage->compact(base));
  }
  EXPECT_FALSE(must_open(LogPosition{Index(8), Term(1)})->take_recovered().quarantine);
  const RecoveredState state = must_open(LogPosition{})->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(state.base.index, Index(0));
  EXPECT_EQ(state.last, Index(0));
  EXPECT_EQ(state.base.configuration.voters.size(), 3u);
  EXPECT_TRUE(has_evidence());
}

TEST_F(RecoveryTest, AStateAheadOfTheLogIsTakenForItsStart) {
  prepare(4);
  const RecoveredState state = must_open(LogPosition{Index(9), Term(1)})->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_EQ(*state.quarantine, (LogPosition{Index(9), Term(1)}));
  EXPECT_EQ(state.base.index, Index(9));
  EXPECT_EQ(state.last, Index(9));
}

TEST_F(RecoveryTest, ALostWatermarkIsOverOnlyInALaterTerm) {
  prepare(5);
  write_bytes(path_ / "watermark", "rot");
  const RecoveredState state = must_open()->take_recovered();
  ASSERT_TRUE(state.quarantine);
  EXPECT_GT(state.quarantine->index, Index(1u << 31));
  EXPECT_EQ(state.quarantine->term, Term(1));
  EXPECT_EQ(state.last, Index(5));
}

TEST_F(RecoveryTest, ALostVoteIsNeverMadeGood) {
  prepare(5);
  write_bytes(path_ / "hardstate", "rot");
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Corrupt);
}

// ---- installing a snapshot --------------------------------------------------------------------

TEST_F(RecoveryTest, AnInstallOverAnotherLogDropsAllOfIt) {
  prepare(12);
  fs::create_directories(path_ / "state" / "2");
  auto storage = must_open();
  PersistBatch batch = make_batch(5, 9, 10);
  batch.hard = HardState{Term(5), NodeId{}};
  batch.install = base_at(8, 4);
  must_write(*storage, batch);
  EXPECT_EQ(*StateGenerations(path_).current(), 2u);
  storage = nullptr;
  storage = must_open(LogPosition{Index(8), Term(4)});
  const RecoveredState state = storage->take_recovered();
  EXPECT_FALSE(state.quarantine);
  EXPECT_EQ(state.base.index, Index(8));
  EXPECT_EQ(state.base.configuration, base_at(8, 4).configuration);
  EXPECT_EQ(state.runs, (std::vector<TermRun>{{Index(9), Term(5)}}));
  EXPECT_EQ(state.last, Index(10));
  EXPECT_EQ(*read_members(path_ / "members"), base_at(8, 4).configuration);
}

TEST_F(RecoveryTest, AnInstallKeepsTheEntriesBehindItsOwn) {
  prepare(12);
  fs::create_directories(path_ / "state" / "2");
  auto storage = must_open();
  PersistBatch batch;
  batch.install = base_at(8, 1);
  must_write(*storage, batch);
  storage = nullptr;
  const RecoveredState state = must_open(LogPosition{Index(8), Term(1)})->take_recovered();
  EXPECT_FALSE(state.quarantine);
  EXPECT_EQ(state.base.index, Index(8));
  EXPECT_EQ(state.last, Index(12));
  EXPECT_EQ(state.entry_bytes.size(), 4u);
}

TEST_F(RecoveryTest, AnInstallNeedsItsPreparedState) {
  prepare(3);
  auto storage = must_open();
  PersistBatch batch;
  batch.install = base_at(8, 2);
  EXPECT_FALSE(storage->write({&batch, 1}));
  storage = nullptr;
  EXPECT_EQ(must_open()->take_recovered().last, Index(3)) << "as if nothing had happened";
}

// Trap R17: the old or the new one, whole.
TEST_F(RecoveryTest, AnInstallCutAnywhereIsTakenBackOrCarriedOn) {
  const fs::path ready = folder_.path() / "ready";
  prepare(12);
  fs::create_directories(path_ / "state" / "1");
  fs::create_directories(path_ / "state" / "2");
  copy_folder(path_, ready);
  for (const InstallStep step : {InstallStep::Marked, InstallStep::Exchanged, InstallStep::Done}) {
    copy_folder(ready, path_);
    stop_at_ = step;
    {
      auto storage = must_open();
      PersistBatch batch;
      batch.hard = HardState{Term(4), NodeId{}};
      batch.install = base_at(20, 4);
      EXPECT_FALSE(storage->write({&batch, 1}));
    }
    stop_at_.reset();
    for (int start = 0; start < 2; ++start) {
      const bool is_new = *StateGenerations(path_).current() == 2;
      EXPECT_EQ(is_new, step != InstallStep::Marked);
      const LogPosition position =
          is_new ? LogPosition{Index(20), Term(4)} : LogPosition{Index(12), Term(1)};
      const RecoveredState state = must_open(position)->take_recovered();
      EXPECT_FALSE(state.quarantine);
      EXPECT_EQ(state.last, position.index);
      EXPECT_EQ(state.base.index, is_new ? Index(20) : Index(0));
    }
  }
}

// ---- state generations ------------------------------------------------------------------------

TEST_F(RecoveryTest, OldGenerationsGoAndTheCurrentOneStays) {
  const StateGenerations generations(path_);
  EXPECT_EQ(*generations.current(), 1u);
  for (const char* name : {"1", "2", "3"}) fs::create_directories(path_ / "state" / name);
  ASSERT_TRUE(generations.set_current(2));
  EXPECT_FALSE(generations.set_current(7)) << "is not there";
  ASSERT_TRUE(generations.remove_others());
  EXPECT_EQ(*generations.current(), 2u);
  EXPECT_FALSE(fs::exists(path_ / "state" / "1"));
  EXPECT_TRUE(fs::exists(path_ / "state" / "2"));
  EXPECT_FALSE(fs::exists(path_ / "state" / "3"));
  write_bytes(path_ / "state" / "current", "rot");
  EXPECT_EQ(generations.current().error().code, ErrorCode::Corrupt);
}

}  // namespace
}  // namespace fyr::raft
