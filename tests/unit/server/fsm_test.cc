#include "server/fsm.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "raft/members_file.h"
#include "raft/state_generations.h"
#include "tests/unit/server/temporary_folder.h"
#include "tests/unit/state/fixture.h"

namespace fyr::server {
namespace {

raft::Entry entry(StateIndex index, const pb::Command& command) {
  return {raft::Term(1), raft::Index(index), raft::EntryType::App,
          std::make_shared<const std::string>(command.SerializeAsString())};
}

pb::Command kv_set(const std::string& key, const std::string& value) {
  return kv_command(pb::KvWrite::SET, key, value);
}

class FsmTest : public testing::Test {
 protected:
  void open() {
    fsm_.reset();
    auto opened = Fsm::open(folder_.path(), publisher_);
    ASSERT_TRUE(opened) << opened.error().message;
    fsm_ = std::move(*opened);
  }
  std::vector<raft::ApplyOutcome> apply(std::vector<raft::Entry> entries) {
    std::vector<raft::ApplyOutcome> outcomes;
    fsm_->apply(entries, outcomes);
    return outcomes;
  }
  static const ApplyResult& result(const raft::ApplyOutcome& outcome) {
    return *static_cast<const ApplyResult*>(outcome.get());
  }
  template <class F>
  auto read(F&& f) {
    return fsm_->state().read(std::forward<F>(f));
  }
  std::string value(const std::string& key) {
    return read([&](const StateStore& store) {
      const KvRow row = store.kv(key);
      return row ? row->value() : "(absent)";
    });
  }

  TemporaryFolder folder_;
  Publisher publisher_;
  std::unique_ptr<Fsm> fsm_;
};

TEST_F(FsmTest, EveryEntryHasItsOutcomeAndIsReadableBeforeItIsPublished) {
  open();
  EXPECT_EQ(fsm_->applied(), raft::Index(0));
  std::string at_wake;
  auto subscription =
      publisher_.subscribe({{TopicKind::KvKey, "b"}}, [&](StateIndex) { at_wake = value("b"); });
  const auto outcomes = apply({entry(5, kv_set("a", "1")), entry(7, kv_set("b", "2")),
                               entry(8, kv_command(pb::KvWrite::CAS, "a", "x", 0))});
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(result(outcomes[0]).index, 5u);
  EXPECT_TRUE(result(outcomes[1]).done);
  EXPECT_FALSE(result(outcomes[2]).done);
  EXPECT_EQ(at_wake, "2");
  EXPECT_EQ(fsm_->applied(), raft::Index(8));
}

TEST_F(FsmTest, AnOrderlyRestartHasEverythingAndGoesOn) {
  open();
  pb::Command stamped = kv_set("a", "1");
  stamped.set_stamp_ns(123);
  apply({entry(5, stamped), entry(6, service_command("n", "s", "s"))});
  const auto digest = read([](const StateStore& store) { return store.digest(); });
  open();
  EXPECT_EQ(fsm_->applied(), raft::Index(6));
  EXPECT_EQ(fsm_->durable_applied(), raft::Index(6));
  EXPECT_EQ(fsm_->last_stamp_ns(), 123);
  EXPECT_EQ(value("a"), "1");
  EXPECT_EQ(read([](const StateStore& store) { return store.digest(); }), digest);
  EXPECT_EQ(read([](const StateStore& store) { return store.service_health("s").index; }), 6u);
}

TEST_F(FsmTest, OnlyWhatWasFlushedCountsAsDurable) {
  open();
  apply({entry(5, kv_set("a", "1"))});
  EXPECT_EQ(fsm_->durable_applied(), raft::Index(0));
  fsm_->flush();
  EXPECT_EQ(fsm_->durable_applied(), raft::Index(5));
  apply({entry(6, kv_set("a", "2"))});
  EXPECT_EQ(fsm_->durable_applied(), raft::Index(5));
  EXPECT_EQ(fsm_->applied(), raft::Index(6));
}

// A process applies and dies without a word; afterwards the state is the last flushed one, rows and
// index in step, and applying the rest of the log again gives what the process had.
TEST_F(FsmTest, AfterAKillTheStateIsTheFlushedOneAndTheLogReplaysIt) {
  std::vector<raft::Entry> log;
  for (StateIndex i = 1; i <= 400; ++i)
    log.push_back(entry(i, i % 3 == 0 ? kv_command(pb::KvWrite::DELETE, "k" + std::to_string(i / 2))
                                      : kv_set("k" + std::to_string(i % 50), std::to_string(i))));
  // The process that dies is a fresh one (RocksDB's threads do not survive a fork); it finds the
  // folder by its name.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  constexpr char kFolder[] = "FYR_TEST_FOLDER";
  setenv(kFolder, folder_.path().c_str(), 0);
  EXPECT_EXIT(
      {
        auto opened = Fsm::open(getenv(kFolder), publisher_);
        std::vector<raft::ApplyOutcome> outcomes;
        const std::span<const raft::Entry> all(log);
        (*opened)->apply(all.subspan(0, 250), outcomes);
        (*opened)->flush();
        (*opened)->apply(all.subspan(250), outcomes);
        kill(getpid(), SIGKILL);
      },
      testing::KilledBySignal(SIGKILL), "");
  unsetenv(kFolder);
  open();
  ASSERT_EQ(fsm_->applied(), raft::Index(250));
  apply({log.begin() + 250, log.end()});
  StateStore expected;
  for (const raft::Entry& item : log) {
    pb::Command command;
    command.ParseFromString(*item.data);
    ChangeList ignored;
    expected.apply(item.index.value, command, ignored);
  }
  EXPECT_EQ(read([](const StateStore& store) { return store.digest(); }), expected.digest());
}

TEST_F(FsmTest, ACommandOfANewerVersionStopsTheProcessBeforeItIsApplied) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  pb::Command newer = kv_set("b", "2");
  newer.set_format(1000);
  EXPECT_EXIT(
      {
        open();
        apply({entry(5, kv_set("a", "1")), entry(6, newer)});
      },
      [](int status) { return WIFEXITED(status) && WEXITSTATUS(status) != 0; },
      "log entry 6 was written by a newer version");
  raft::Entry garbage = entry(5, newer);
  garbage.data = std::make_shared<const std::string>("\xff\xff\xff");
  EXPECT_EXIT(
      {
        open();
        apply({garbage});
      },
      [](int status) { return WIFEXITED(status) && WEXITSTATUS(status) != 0; },
      "log entry 5 is not a command");
}

TEST_F(FsmTest, TimeDoesNotGoBackFromOneCommandToTheNext) {
  open();
  const auto stamped = [](pb::Command command, std::int64_t stamp) {
    command.set_stamp_ns(stamp);
    return command;
  };
  pb::Command session = session_command(1, "n", {}, "release", 10);
  apply({entry(1, node_command("n")), entry(2, session), entry(3, session_command(2, "n")),
         entry(4, kv_command(pb::KvWrite::LOCK, "k", "", 0, session_id(1))),
         entry(5, stamped(destroy_command(1), 100)), entry(6, stamped(kv_set("x", "later"), 200)),
         // Proposed before, logged after.
         entry(7, stamped(kv_command(pb::KvWrite::LOCK, "k", "mine", 0, session_id(2)), 105))});
  EXPECT_EQ(value("k"), "mine");
  EXPECT_EQ(fsm_->last_stamp_ns(), 200);
}

TEST_F(FsmTest, ADamagedDatabaseIsRefusedWithItsPath) {
  open();
  apply({entry(5, kv_set("a", std::string(5000, 'x')))});
  fsm_->flush();
  fsm_.reset();
  int damaged = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
    if (file.path().extension() != ".sst" || file.file_size() < 5000) continue;
    std::fstream stream(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(2000);
    stream << "damage";
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  const auto opened = Fsm::open(folder_.path(), publisher_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Corrupt);
  EXPECT_NE(opened.error().message.find(folder_.path().string()), std::string::npos);
}

TEST_F(FsmTest, ADistrustedStateIsSetAsideAtTheNextStartIfThereAreOthers) {
  for (const bool others : {false, true}) {
    raft::Configuration members;
    for (std::uint64_t id = 1; id <= (others ? 3u : 1u); ++id) {
      raft::Member member;
      member.id = raft::NodeId(id);
      members.voters.push_back(member.id);
      members.members.push_back(member);
    }
    ASSERT_TRUE(raft::write_members(folder_.path() / "members", members));
    open();
    if (fsm_->applied() == raft::Index(0)) apply({entry(5, kv_set("a", "1"))});
    fsm_->flush();
    EXPECT_EXIT(fsm_->distrust("it differs"), testing::ExitedWithCode(65), "");
    open();
    EXPECT_EQ(value("a"), others ? "(absent)" : "1");
    EXPECT_EQ(fsm_->applied(), raft::Index(others ? 0 : 5));
  }
  apply({entry(5, kv_set("a", "2"))});
  open();
  EXPECT_EQ(value("a"), "2") << "set aside once";
}

TEST_F(FsmTest, TheSameFolderIsNotOpenedTwice) {
  open();
  const auto second = Fsm::open(folder_.path(), publisher_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(folder_.path().string()), std::string::npos);
}

TEST_F(FsmTest, AStartWithTenThousandServicesIsQuick) {
  open();
  std::vector<raft::Entry> log;
  for (StateIndex i = 1; i <= 10'000; ++i) {
    const std::string id = "service-" + std::to_string(i);
    pb::Command command =
        service_command("node-" + std::to_string(i % 500), id, "name-" + std::to_string(i % 1000));
    for (int k = 0; k < 5; ++k)
      add_check(command, id + ":" + std::to_string(k), "passing", id, "HTTP GET: 200 OK");
    log.push_back(entry(i, command));
  }
  const auto span = std::span<const raft::Entry>(log);
  std::vector<raft::ApplyOutcome> outcomes;
  for (std::size_t at = 0; at < log.size(); at += 1000)
    fsm_->apply(span.subspan(at, 1000), outcomes);
  fsm_.reset();
  const auto start = std::chrono::steady_clock::now();
  open();
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  std::printf("open and load 10,000 services with 50,000 checks: %.3f s\n", spent.count());
  EXPECT_EQ(read([](const StateStore& store) { return store.check_count(); }), 50'000u);
  EXPECT_LT(spent.count(), 5.0);
}

// A reader beside the removal of a large tree, as a DNS query would be.
TEST_F(FsmTest, RemovingALargeTreeKeepsNoReaderWaitingForLong) {
  open();
  constexpr StateIndex kKeys = 72'000;
  std::vector<raft::Entry> entries;
  for (StateIndex i = 1; i <= kKeys; ++i)
    entries.push_back(entry(i, kv_set("tree/of/keys/" + std::to_string(i), "value")));
  apply(std::move(entries));
  std::atomic<bool> reading{false}, done{false};
  Duration longest{};
  std::size_t partial = 0;
  std::thread reader([&] {
    while (!done.load()) {
      const Instant start = now();
      const std::size_t count = read([](const StateStore& store) { return store.kv_count(); });
      longest = std::max(longest, now() - start);
      if (count != 0 && count != kKeys) ++partial;
      reading = true;
    }
  });
  while (!reading.load()) std::this_thread::yield();
  const Instant start = now();
  apply({entry(kKeys + 1, kv_command(pb::KvWrite::DELETE_TREE, "tree/"))});
  const Duration whole = now() - start;
  done = true;
  reader.join();
  const auto ms = [](Duration time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  };
  std::printf("72000 keys removed in %lld ms, longest wait of a reader %lld ms\n",
              static_cast<long long>(ms(whole)), static_cast<long long>(ms(longest)));
  EXPECT_EQ(partial, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // A share of the whole, so that a busy machine slows both.
  EXPECT_LT(longest, std::max<Duration>(std::chrono::milliseconds(100), whole / 2));
#endif
  const auto digest = read([](const StateStore& store) { return store.digest(); });
  open();
  EXPECT_EQ(read([](const StateStore& store) { return store.digest(); }), digest);
  EXPECT_EQ(read([](const StateStore& store) { return store.kv_count(); }), 0u);
}

// ---- snapshots --------------------------------------------------------------------------------

// What another server sends: everything up to entry 9.
class FsmSnapshotTest : public FsmTest {
 protected:
  void SetUp() override {
    Publisher publisher;
    auto other = Fsm::open(folder_.path() / "other", publisher);
    ASSERT_TRUE(other);
    std::vector<raft::ApplyOutcome> outcomes;
    pb::Command last = kv_set("b", "new");
    last.set_stamp_ns(77);
    (*other)->apply(
        {{entry(5, kv_set("a", "1")), entry(6, service_command("n", "s", "s")), entry(9, last)}},
        outcomes);
    const auto made = (*other)->checkpoint(copy_);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(*made, (raft::LogPosition{raft::Index(9), raft::Term(1)}));
    // Changes after the copy are not in it.
    (*other)->apply({{entry(10, kv_set("a", "later"))}}, outcomes);
    open();
    apply({entry(5, kv_set("a", "1")), entry(6, kv_set("b", "old"))});
  }
  void prepare() {
    const auto prepared = fsm_->prepare(copy_);
    ASSERT_TRUE(prepared) << prepared.error().message;
    EXPECT_EQ(*prepared, (raft::LogPosition{raft::Index(9), raft::Term(1)}));
  }
  std::filesystem::path generation(const char* number) { return folder_.path() / "state" / number; }

  const std::filesystem::path copy_ = folder_.path() / "copy";
};

TEST_F(FsmSnapshotTest, APreparedStateChangesNothingUntilItIsActivated) {
  prepare();
  std::filesystem::remove_all(copy_);
  EXPECT_EQ(value("b"), "old");
  EXPECT_EQ(fsm_->applied(), raft::Index(6));
  ASSERT_TRUE(raft::StateGenerations(folder_.path()).set_current(2));
  StateIndex told = 0;
  fsm_->on_applied([&](StateIndex index) { told = index; });
  fsm_->activate();
  EXPECT_EQ(value("b"), "new");
  EXPECT_EQ(value("a"), "1");
  EXPECT_EQ(fsm_->applied(), raft::Index(9));
  EXPECT_EQ(fsm_->applied_term(), raft::Term(1));
  EXPECT_EQ(fsm_->durable_applied(), raft::Index(9));
  EXPECT_EQ(fsm_->last_stamp_ns(), 77);
  EXPECT_EQ(told, 9u);
  EXPECT_FALSE(std::filesystem::exists(generation("1")));
  apply({entry(10, kv_set("c", "after"))});
  open();
  EXPECT_EQ(value("c"), "after");
  EXPECT_EQ(value("b"), "new");
}

// Whoever waits is woken once and finds the new state, with an index that did not fall.
TEST_F(FsmSnapshotTest, EveryWaiterIsWokenWithTheNewState) {
  prepare();
  ASSERT_TRUE(raft::StateGenerations(folder_.path()).set_current(2));
  std::vector<std::string> seen;
  const auto look = [&](StateIndex index) {
    EXPECT_EQ(index, 9u);
    seen.push_back(value("b"));
  };
  const Topic b{TopicKind::KvKey, "b"};
  const StateIndex before = read([&](const StateStore& store) { return store.index_of(b); });
  auto once = publisher_.subscribe({b}, look);
  auto stream = publisher_.follow({{TopicKind::Service, "s"}}, look);
  fsm_->activate();
  EXPECT_EQ(seen, (std::vector<std::string>{"new", "new"}));
  EXPECT_GT(read([&](const StateStore& store) { return store.index_of(b); }), before);
  EXPECT_EQ(publisher_.size(), 1u) << "the stream stays";
}

TEST_F(FsmSnapshotTest, WhatWasPreparedAndNotInstalledIsGoneAfterARestart) {
  prepare();
  EXPECT_TRUE(std::filesystem::exists(generation("2")));
  open();
  EXPECT_FALSE(std::filesystem::exists(generation("2")));
  EXPECT_EQ(value("b"), "old");
  prepare();
  fsm_->drop_prepared();
  EXPECT_FALSE(std::filesystem::exists(generation("2")));
}

TEST_F(FsmSnapshotTest, AfterTheExchangeTheNewStateIsTheNodesEvenIfNothingWasActivated) {
  prepare();
  ASSERT_TRUE(raft::StateGenerations(folder_.path()).set_current(2));
  fsm_->drop_prepared();
  open();
  EXPECT_EQ(value("b"), "new");
  EXPECT_EQ(fsm_->applied(), raft::Index(9));
}

TEST_F(FsmSnapshotTest, ADamagedCopyIsRefusedAndTheLiveStateGoesOn) {
  for (const auto& file : std::filesystem::directory_iterator(copy_))
    if (file.path().extension() == ".sst") std::filesystem::resize_file(file.path(), 100);
  EXPECT_FALSE(fsm_->prepare(copy_));
  apply({entry(7, kv_set("c", "x"))});
  EXPECT_EQ(value("c"), "x");
}

}  // namespace
}  // namespace fyr::server
