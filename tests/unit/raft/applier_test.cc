#include "raft/applier.h"

#include <gtest/gtest.h>

#include "raft/state_check.h"
#include "tests/unit/raft/recording_machine.h"

namespace fyr::raft {
namespace {

Entry entry(std::uint64_t index, EntryType type = EntryType::App, std::size_t bytes = 4) {
  return {Term(2), Index(index), type, std::make_shared<const std::string>(bytes, 'x')};
}

struct Fixture {
  RecordingMachine machine;
  std::vector<IndexRange> fetched;
  std::vector<std::pair<Index, Index>> progress;
  bool disk_fails = false;
  Applier applier{
      machine, Index(0),
      [this](IndexRange range, std::size_t) -> Result<std::vector<Entry>> {
        fetched.push_back(range);
        if (disk_fails) return fail(ErrorCode::Corrupt, "bad");
        std::vector<Entry> out;
        for (Index i = range.first; i <= range.last; i = i.next()) {
          out.push_back(entry(i.value));
        }
        return out;
      },
      [this](Index applied, Index durable, bool) { progress.emplace_back(applied, durable); }};

  ApplyTask task(std::uint64_t first, std::uint64_t last, std::size_t bytes = 4) {
    ApplyTask out;
    out.range = {Index(first), Index(last)};
    for (std::uint64_t i = first; i <= last; ++i)
      out.entries.push_back(entry(i, EntryType::App, bytes));
    return out;
  }
};

TEST(Applier, GivesTheMachineAtMostAThousandEntriesAtOnce) {
  Fixture f;
  auto task = f.task(1, 2'500);
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(f.machine.batch_sizes(), (std::vector<std::size_t>{1'000, 1'000, 500}));
}

TEST(Applier, GivesTheMachineAtMostFourMebibytesAtOnce) {
  Fixture f;
  auto task = f.task(1, 5, 3 << 20);
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(f.machine.batch_sizes(), (std::vector<std::size_t>{1, 1, 1, 1, 1}));
}

TEST(Applier, ReadsFromStorageWhatIsNotInMemory) {
  Fixture f;
  ApplyTask task;
  task.range = {Index(1), Index(1'200)};
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(f.fetched,
            (std::vector<IndexRange>{{Index(1), Index(1'000)}, {Index(1'001), Index(1'200)}}));
  EXPECT_EQ(f.machine.applied(), Index(1'200));
}

TEST(Applier, KeepsEntriesOfRaftItselfFromTheMachineButCountsThem) {
  Fixture f;
  ApplyTask task;
  task.range = {Index(1), Index(3)};
  task.entries = {entry(1, EntryType::Config), entry(2), entry(3, EntryType::Noop)};
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(f.machine.seen(), std::vector<Index>{Index(2)});
  EXPECT_EQ(f.progress.back().first, Index(3));
}

// Else the log could be cut behind what the state says it has seen, and would not start again.
TEST(Applier, ClaimsNoMoreToBeDurableThanTheMachineDoes) {
  Fixture f;
  ApplyTask task;
  task.range = {Index(1), Index(2)};
  task.entries = {entry(1), entry(2, EntryType::Noop)};
  task.flush = true;
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(f.progress.front(), (std::pair{Index(2), Index(0)}));
  EXPECT_EQ(f.progress.back(), (std::pair{Index(2), Index(1)}));
}

// D9.
TEST(Applier, D9_AnswersInOrderAfterApplyingWithTheOutcomeOfTheIndex) {
  Fixture f;
  auto task = f.task(1, 4);
  std::vector<std::string> answers;
  for (const std::uint64_t i : {1, 2, 4}) {
    task.waiters.push_back({Term(2), Index(i), [&, i](Result<Node::Applied> result) {
                              ASSERT_TRUE(result);
                              EXPECT_GE(f.machine.applied(), Index(i));
                              answers.push_back(outcome_text(result->outcome));
                            }});
  }
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(answers, (std::vector<std::string>{"done 1", "done 2", "done 4"}));
}

TEST(Applier, AProposalWhosePlaceWentToAnotherTermIsUnknown) {
  Fixture f;
  auto task = f.task(1, 1);
  ErrorCode code = ErrorCode::Internal;
  task.waiters.push_back(
      {Term(1), Index(1), [&](Result<Node::Applied> r) { code = r.error().code; }});
  ASSERT_TRUE(f.applier.run(task));
  EXPECT_EQ(code, ErrorCode::CommitUnknown);
}

TEST(Applier, StopsAtAnEntryThatCannotBeReadAndSaysUnknown) {
  Fixture f;
  f.disk_fails = true;
  ApplyTask task;
  task.range = {Index(1), Index(2)};
  int unknown = 0;
  for (const std::uint64_t i : {1, 2}) {
    task.waiters.push_back({Term(2), Index(i), [&](Result<Node::Applied> r) {
                              unknown += r.error().code == ErrorCode::CommitUnknown ? 1 : 0;
                            }});
  }
  const auto done = f.applier.run(task);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::Corrupt);
  EXPECT_EQ(unknown, 2);
  EXPECT_TRUE(f.machine.seen().empty());
}

TEST(ApplyTask, MergesWithTheOneBehindIt) {
  Fixture f;
  ApplyTask first = f.task(1, 2);
  ApplyTask second = f.task(3, 5);
  second.flush = true;
  ASSERT_TRUE(first.merge(second));
  EXPECT_EQ(first.range, (IndexRange{Index(1), Index(5)}));
  EXPECT_EQ(first.entries.size(), 5u);
  EXPECT_TRUE(first.flush);
}

TEST(ApplyTask, DoesNotMergeWhatWouldChangeItsMeaning) {
  Fixture f;
  ApplyTask flushes = f.task(1, 2);
  flushes.flush = true;
  ApplyTask later = f.task(3, 4);
  EXPECT_FALSE(flushes.merge(later)) << "the flush stands before the later entries";
  ApplyTask on_disk;
  on_disk.range = {Index(5), Index(6)};
  EXPECT_FALSE(later.merge(on_disk)) << "one is in memory, the other is not";
  EXPECT_EQ(later.range.last, Index(4));
}

// ---- Check entries ----------------------------------------------------------------------------

// Its digest is what it applied so far.
class CountingMachine final : public RecordingMachine {
 public:
  std::uint64_t digest() const override { return 100 + applied().value; }
};

struct Checked {
  CountingMachine machine;
  std::vector<std::pair<Index, std::uint64_t>> taken;
  std::vector<Index> odd;
  Applier applier{
      machine,
      Index(0),
      {},
      [](Index, Index, bool) {},
      {.taken = [this](Index check, std::uint64_t digest) { taken.emplace_back(check, digest); },
       .odd = [this](Index check) { odd.push_back(check); }}};

  static Entry check(std::uint64_t index) {
    return {Term(2), Index(index), EntryType::Check, std::make_shared<const std::string>()};
  }
  static Entry agreed(std::uint64_t index, std::uint64_t check, std::uint64_t digest) {
    return {Term(2), Index(index), EntryType::Check,
            std::make_shared<const std::string>(encode(AgreedDigest{Index(check), digest}))};
  }
  void run(std::vector<Entry> entries) {
    ApplyTask task;
    task.range = {entries.front().index, entries.back().index};
    task.entries = std::move(entries);
    ASSERT_TRUE(applier.run(task));
  }
};

TEST(Applier, TheDigestAtACheckIsThatOfEverythingBeforeItAndNothingBehind) {
  Checked c;
  c.run({entry(1), entry(2), Checked::check(3), entry(4), entry(5)});
  ASSERT_EQ(c.taken.size(), 1u);
  EXPECT_EQ(c.taken[0], std::make_pair(Index(3), std::uint64_t{102}));
  EXPECT_EQ(c.machine.applied(), Index(5));
  EXPECT_EQ(c.machine.batch_sizes(), (std::vector<std::size_t>{2, 2}));
}

TEST(Applier, WhoHadSomethingElseThanTheMajorityIsTold) {
  Checked c;
  c.run({entry(1), Checked::check(2), Checked::agreed(3, 2, 101), Checked::agreed(4, 1, 7)});
  EXPECT_TRUE(c.odd.empty());
  c.run({Checked::agreed(5, 2, 102), entry(6)});
  EXPECT_EQ(c.odd, std::vector<Index>{Index(2)});
}

}  // namespace
}  // namespace fyr::raft
