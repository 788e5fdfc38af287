// Three nodes with their threads, disks and connections.
#include "tests/unit/raft/node_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "base/log.h"
#include "tests/unit/raft/recording_machine.h"

namespace fyr::raft {
namespace {

std::unique_ptr<StateMachine> recording() {
  return std::make_unique<RecordingMachine>();
}

std::vector<std::string> data_of(TestNode& node) {
  return dynamic_cast<RecordingMachine&>(node.machine()).data();
}

enum class Network { Grpc, Local };

class ClusterTest : public ::testing::TestWithParam<Network> {
 protected:
  // Everywhere the same, in order, once; and what was acknowledged is in it.
  void expect_agreement(const std::vector<std::string>& acknowledged) {
    ASSERT_TRUE(cluster_.catch_up());
    std::optional<std::vector<std::string>> first;
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!cluster_[i].runs()) continue;
      EXPECT_FALSE(dynamic_cast<RecordingMachine&>(cluster_[i].machine()).order_broken());
      auto data = data_of(cluster_[i]);
      if (!first) first = data;
      EXPECT_EQ(data.size(), first->size()) << "node " << i;
      EXPECT_TRUE(data == *first) << "node " << i;
    }
    ASSERT_TRUE(first);
    std::ranges::sort(*first);
    for (const std::string& one : acknowledged) {
      EXPECT_TRUE(std::ranges::binary_search(*first, one)) << one << " is lost";
    }
  }
  void write(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string data = "write " + std::to_string(written_.size());
      const auto result = cluster_.write(data);
      ASSERT_TRUE(result) << result.error().message;
      written_.push_back(data);
    }
  }

  LocalNetwork network_;
  TestCluster cluster_{recording, GetParam() == Network::Local ? &network_ : nullptr};
  std::vector<std::string> written_;
};

TEST_P(ClusterTest, ElectsALeaderAndReplicates) {
  cluster_.found(3);
  write(50);
  expect_agreement(written_);
  TestNode* const leader = cluster_.leader();
  ASSERT_TRUE(leader);
  for (std::size_t i = 0; i < 3; ++i) {
    const Status status = cluster_[i]->status();
    EXPECT_EQ(status.leader, (*leader)->id());
    EXPECT_LT(status.last_contact, std::chrono::seconds(5));
    EXPECT_EQ(cluster_[i]->members().voters.size(), 3u);
    EXPECT_EQ(cluster_[i]->cluster(), cluster_[0]->cluster());
    EXPECT_EQ(cluster_[i]->cluster().size(), 32u);
  }
  EXPECT_EQ((*leader)->peers().size(), 2u);
  EXPECT_EQ((*leader)->status().last_contact, Duration::zero());
}

TEST_P(ClusterTest, SurvivesTheStopOfItsLeaderWhichThenCatchesUp) {
  cluster_.found(3);
  write(20);
  for (int round = 0; round < 3; ++round) {
    TestNode* const stopped = cluster_.leader();
    ASSERT_TRUE(stopped);
    stopped->stop();
    write(20);
    stopped->start();
    write(5);
  }
  expect_agreement(written_);
}

TEST_P(ClusterTest, WritesGoOnWhileAFollowerIsStopped) {
  cluster_.found(3);
  write(5);
  TestNode* const stopped = cluster_.follower();
  ASSERT_TRUE(stopped);
  stopped->stop();
  write(200);
  stopped->start();
  expect_agreement(written_);
}

TEST_P(ClusterTest, StartsAgainAsAWhole) {
  cluster_.found(3);
  write(20);
  const std::string name = cluster_[0]->cluster();
  for (std::size_t i = 0; i < 3; ++i) cluster_[i].stop();
  for (std::size_t i = 3; i > 0; --i) cluster_[i - 1].start();
  write(20);
  expect_agreement(written_);
  EXPECT_EQ(cluster_[0]->cluster(), name);
}

TEST_P(ClusterTest, AMinorityRefusesWritesAndReads) {
  cluster_.found(3);
  write(5);
  TestNode* const leader = cluster_.leader();
  ASSERT_TRUE(leader);
  for (std::size_t i = 0; i < 3; ++i) {
    if (&cluster_[i] != leader) cluster_[i].stop();
  }
  const auto result = cluster_.propose(*leader, "lost");
  ASSERT_FALSE(result);
  const auto read = wait_for_answer<Index>(
      [&](auto done) { (*leader)->read(ReadMode::Consistent, std::move(done)); });
  ASSERT_FALSE(read);
  EXPECT_FALSE((*leader)->can_read_now());
  EXPECT_EQ(cluster_.propose(*leader, "refused").error().code, ErrorCode::NoLeader);
}

TEST_P(ClusterTest, AFollowerAnswersConsistentReadsAfterTheWritesBefore) {
  cluster_.found(3);
  write(1);
  TestNode* const follower = cluster_.follower();
  ASSERT_TRUE(follower);
  for (int i = 0; i < 50; ++i) {
    write(1);
    const auto read = wait_for_answer<Index>(
        [&](auto done) { (*follower)->read(ReadMode::Consistent, std::move(done)); });
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(data_of(*follower).back(), written_.back());
  }
}

TEST_P(ClusterTest, HandsTheLeadershipOverBeforeAPlannedStop) {
  cluster_.found(3);
  write(5);
  TestNode* const before = cluster_.leader();
  ASSERT_TRUE(before);
  const auto handed = hand_over_leadership(**before, std::chrono::seconds(10));
  ASSERT_TRUE(handed) << handed.error().message;
  EXPECT_NE((*before)->status().role, Role::Leader);
  EXPECT_NE((*before)->status().leader, (*before)->id());
  write(5);
  EXPECT_TRUE(hand_over_leadership(**before, std::chrono::seconds(10))) << "it is not the leader";
}

TEST_P(ClusterTest, LeadershipMovesToAChosenNodeWhileClientsWrite) {
  cluster_.found(3);
  write(5);
  std::atomic<bool> end{false};
  std::thread client([&] {
    while (!end) write(1);
  });
  for (std::size_t i = 0; i < 6; ++i) {
    TestNode& target = cluster_[i % 3];
    TestNode* const leads = cluster_.leader();
    ASSERT_TRUE(leads);
    if (leads == &target) continue;
    const auto moved = wait_for_answer<void>(
        [&](auto done) { (*leads)->transfer_leadership(target->id(), std::move(done)); });
    if (moved) {
      EXPECT_EQ((*leads)->status().leader, target->id());
    }
  }
  end = true;
  client.join();
  expect_agreement(written_);
}

TEST_P(ClusterTest, ANewNodeJoinsAsLearnerAndIsPromoted) {
  cluster_.found(3);
  write(30);
  TestNode& fourth = cluster_.add();
  fourth.start();
  EXPECT_EQ(fourth->cluster(), "");
  ConfigChange join;
  join.put = {fourth.member()};
  const auto joined = wait_for_answer<void>(
      [&](auto done) { (*cluster_.leader())->change_members(join, std::move(done)); });
  ASSERT_TRUE(joined) << joined.error().message;
  expect_agreement(written_);
  EXPECT_EQ(fourth->cluster(), cluster_[0]->cluster());
  ConfigChange promote;
  promote.promote = {fourth->id()};
  const auto promoted = wait_for_answer<void>(
      [&](auto done) { (*cluster_.leader())->change_members(promote, std::move(done)); });
  ASSERT_TRUE(promoted) << promoted.error().message;
  EXPECT_EQ((*cluster_.leader())->members().voters.size(), 4u);
  write(10);
  expect_agreement(written_);
}

TEST_P(ClusterTest, AClusterIsFoundedOnce) {
  cluster_.found(3);
  write(1);
  ASSERT_TRUE(cluster_.catch_up());
  for (std::size_t i = 0; i < 3; ++i) {
    const auto again = wait_for_answer<void>(
        [&](auto done) { cluster_[i]->found_cluster({cluster_[i].member()}, std::move(done)); });
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::Conflict);
  }
}

INSTANTIATE_TEST_SUITE_P(Over, ClusterTest, ::testing::Values(Network::Grpc, Network::Local),
                         [](const auto& given) {
                           return given.param == Network::Grpc ? "Grpc" : "Local";
                         });

class PartitionTest : public ClusterTest {};
INSTANTIATE_TEST_SUITE_P(Over, PartitionTest, ::testing::Values(Network::Local),
                         [](const auto&) { return "Local"; });

TEST_P(PartitionTest, TheMajorityGoesOnAndTheOldLeaderFollowsAfterwards) {
  cluster_.found(3);
  write(5);
  TestNode* const old = cluster_.leader();
  ASSERT_TRUE(old);
  for (std::size_t i = 0; i < 3; ++i) {
    if (&cluster_[i] != old) network_.cut((*old)->id(), cluster_[i]->id());
  }
  const auto lost = cluster_.propose(*old, "cut off");
  EXPECT_FALSE(lost);
  write(20);
  EXPECT_NE(cluster_.leader(), old);
  EXPECT_FALSE((*old)->can_read_now());
  network_.mend();
  expect_agreement(written_);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const std::string& one : data_of(cluster_[i])) EXPECT_NE(one, "cut off");
  }
}

// A recording machine whose state can be copied.
class CopyableMachine final : public RecordingMachine {
 public:
  Index applied() const override { return std::max(installed_, RecordingMachine::applied()); }
  Index durable_applied() const override {
    return std::max(installed_, RecordingMachine::durable_applied());
  }
  Result<LogPosition> checkpoint(const std::filesystem::path& directory) override {
    std::filesystem::create_directories(directory);
    std::ofstream out(directory / "data");
    for (const std::string& one : all()) out << one << '\n';
    out.close();
    std::ofstream(directory / "index") << RecordingMachine::applied().value;
    return LogPosition{RecordingMachine::applied(), Term(term_)};
  }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    RecordingMachine::apply(entries, outcomes);
    term_ = entries.back().term.value;
  }
  Result<LogPosition> prepare(const std::filesystem::path& directory) override {
    prepared_.clear();
    std::ifstream in(directory / "data");
    for (std::string line; std::getline(in, line);) prepared_.push_back(line);
    std::ifstream(directory / "index") >> prepared_index_.value;
    // What the storage exchanges at the install.
    std::filesystem::create_directories(directory.parent_path().parent_path() / "state" / "2");
    return LogPosition{prepared_index_, {}};
  }
  void activate() override {
    const std::lock_guard lock(mutex_);
    base_ = prepared_;
    replaced_ = data().size();
    installed_ = prepared_index_;
    ++activations;
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    auto out = base_;
    const auto later = data();
    out.insert(out.end(), later.begin() + static_cast<std::ptrdiff_t>(replaced_), later.end());
    return out;
  }
  std::atomic<int> activations{0};

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> base_, prepared_;
  std::size_t replaced_ = 0;  // of the recorded ones, by base_
  std::atomic<std::uint64_t> term_{0};
  Index prepared_index_, installed_;
};

TEST(ClusterSnapshots, ANodeThatIsFarBehindGetsTheStateAndThenTheLog) {
  TestCluster cluster([] { return std::make_unique<CopyableMachine>(); });
  cluster.tune = [](NodeOptions& options) {
    options.limits.retention = {
        .entries = 100, .bytes = 1 << 20, .step_entries = 50, .step_bytes = 1 << 20};
  };
  cluster.found(3);
  ASSERT_TRUE(cluster.write("first"));
  ASSERT_TRUE(cluster.catch_up());
  TestNode* const behind = cluster.follower();
  ASSERT_TRUE(behind);
  behind->stop();
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(cluster.write(std::to_string(i)));
  behind->start();
  ASSERT_TRUE(cluster.write("last"));
  ASSERT_TRUE(cluster.catch_up());
  auto& machine = dynamic_cast<CopyableMachine&>(behind->machine());
  EXPECT_EQ(machine.activations, 1);
  EXPECT_EQ(machine.all(), dynamic_cast<CopyableMachine&>(cluster.leader()->machine()).all());
  EXPECT_EQ(machine.all().back(), "last");
}

}  // namespace
}  // namespace fyr::raft
