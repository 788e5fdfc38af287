// A survivor of a cluster of three that goes on alone.
#include "raft/forced_recovery.h"

#include <gtest/gtest.h>

#include "raft/members_file.h"
#include "raft/peer_guard.h"
#include "raft/rocks_storage.h"
#include "tests/unit/raft/batches.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

class ForcedRecoveryTest : public ::testing::Test {
 protected:
  // One of three, in term 5, with entries 1 to 9.
  std::unique_ptr<RocksStorage> open() {
    const auto identity = RocksStorage::identify(path_);
    EXPECT_TRUE(identity);
    RocksStorageOptions options;
    options.directory = path_;
    options.bootstrap = true;
    for (const NodeId id : {identity->node, NodeId(2), NodeId(3)}) {
      Member member;
      member.id = id;
      member.name = "n" + std::to_string(id.value % 1000);
      member.address = "host:1";
      member.site = "oslo";
      options.members.push_back(member);
    }
    auto opened = RocksStorage::open(options);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  void fill() {
    auto storage = open();
    for (std::uint64_t i = 2; i <= 9; ++i) {
      PersistBatch batch = make_batch(5, i, i);
      batch.hard = HardState{Term(5), NodeId(2)};
      ASSERT_TRUE(storage->write({&batch, 1}));
    }
  }

  TempFolder folder_{Medium::Memory};
  const std::filesystem::path path_ = folder_.path() / "raft";
};

TEST_F(ForcedRecoveryTest, LookingChangesNothing) {
  fill();
  for (int i = 0; i < 2; ++i) {
    const auto report = inspect_folder(path_);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->hard.term, Term(5));
    EXPECT_EQ(report->hard.voted_for, NodeId(2));
    EXPECT_EQ(report->first, Index(1));
    EXPECT_EQ(report->last, (LogPosition{Index(9), Term(5)}));
    EXPECT_EQ(report->members.voters.size(), 3u);
    EXPECT_EQ(report->identity.recovery_epoch, 0u);
    EXPECT_EQ(report->quarantine, "");
  }
}

TEST_F(ForcedRecoveryTest, TheSurvivorIsTheOnlyVoterInALaterTermAndEpochAndKeepsItsLog) {
  fill();
  const auto after = force_recovery(path_);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->hard, (HardState{Term(1005), NodeId{}}));
  EXPECT_EQ(after->last, (LogPosition{Index(10), Term(1005)}));
  EXPECT_EQ(after->identity.recovery_epoch, 1u);
  EXPECT_EQ(after->members.voters, std::vector<NodeId>{after->identity.node});
  EXPECT_FALSE(after->members.is_joint());
  ASSERT_EQ(after->members.members.size(), 1u);
  EXPECT_EQ(after->members.members[0].site, "oslo");
  auto storage = open();
  const auto entries = storage->read({Index(2), Index(9)}, 1 << 20);
  ASSERT_TRUE(entries);
  EXPECT_EQ(entries->size(), 8u);
  EXPECT_EQ(storage->identity().cluster, after->identity.cluster);
}

TEST_F(ForcedRecoveryTest, OldMembersAreRefusedAfterwards) {
  fill();
  const auto before = inspect_folder(path_)->identity;
  const auto after = force_recovery(path_)->identity;
  const auto peer = [](const Identity& identity) {
    return PeerIdentity{.cluster = identity.cluster,
                        .recovery_epoch = identity.recovery_epoch,
                        .node = identity.node,
                        .incarnation = 1};
  };
  Hello hello;
  hello.self = peer(before);  // an old member knows the old epoch
  hello.self.node = NodeId(2);
  hello.to = after.node;
  PeerGuard guard;
  EXPECT_EQ(guard.check_opening(peer(before), hello, Instant{}), "");
  EXPECT_EQ(guard.check_opening(peer(after), hello, Instant{}), "recovery_epoch");
}

TEST_F(ForcedRecoveryTest, AFolderInUseOrOfNobodyIsRefused) {
  EXPECT_EQ(force_recovery(path_).error().code, ErrorCode::NotFound);
  EXPECT_EQ(inspect_folder(path_).error().code, ErrorCode::NotFound);
  fill();
  {
    auto running = open();
    EXPECT_EQ(force_recovery(path_).error().code, ErrorCode::Conflict);
  }
  EXPECT_EQ(inspect_folder(path_)->identity.recovery_epoch, 0u);
  const auto other = folder_.path() / "other";
  ASSERT_TRUE(RocksStorage::identify(other));
  EXPECT_EQ(force_recovery(other).error().code, ErrorCode::InvalidArgument);
}

TEST_F(ForcedRecoveryTest, QuarantineEndsBecauseNobodyElseCouldEndIt) {
  fill();
  ASSERT_TRUE(write_quarantine(path_ / "quarantine", {{Index(20), Term(6)}, "entries are lost"}));
  EXPECT_EQ(inspect_folder(path_)->quarantine, "entries are lost");
  const auto after = force_recovery(path_);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->quarantine, "");
}

TEST_F(ForcedRecoveryTest, MayBeRepeated) {
  fill();
  ASSERT_TRUE(force_recovery(path_));
  const auto again = force_recovery(path_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->identity.recovery_epoch, 2u);
  EXPECT_EQ(again->hard.term, Term(2005));
  EXPECT_EQ(again->last.index, Index(11));
}

}  // namespace
}  // namespace fyr::raft
