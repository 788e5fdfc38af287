// The node with its threads and a real log on disk.
#include "raft/node.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <future>
#include <map>
#include <thread>

#include "base/bytes.h"
#include "tests/unit/raft/recording_machine.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

// Waits for a number of events, from any thread.
class Counter {
 public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void await(int count) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] { return count_ >= count; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

class NodeTest : public ::testing::Test {
 protected:
  void TearDown() override { node_.reset(); }

  NodeOptions options() {
    NodeOptions out;
    out.directory = folder_.path() / "raft";
    out.bootstrap = true;
    out.name = "a";
    out.address = "127.0.0.1:8300";
    out.on_role_change = [this](const Status& status) {
      if (status.role == Role::Leader) led_.add();
    };
    return out;
  }
  void open(StateMachine& machine) { open(machine, options()); }
  void open(StateMachine& machine, NodeOptions options) {
    auto opened = Node::open(std::move(options), machine);
    ASSERT_TRUE(opened) << opened.error().message;
    node_ = std::move(*opened);
    led_.await(++lives_);
  }
  Result<Node::Applied> propose(std::string data) {
    std::promise<Result<Node::Applied>> promise;
    auto future = promise.get_future();
    node_->propose(std::move(data), [&](auto result) { promise.set_value(std::move(result)); });
    return future.get();
  }
  Result<Index> read(ReadMode mode) {
    std::promise<Result<Index>> promise;
    auto future = promise.get_future();
    node_->read(mode, [&](auto result) { promise.set_value(std::move(result)); });
    return future.get();
  }

  TempFolder folder_;
  Counter led_;
  int lives_ = 0;
  RecordingMachine machine_;
  std::unique_ptr<Node> node_;
};

TEST_F(NodeTest, LeadsAndAppliesWhatIsProposed) {
  open(machine_);
  const auto result = propose("hello");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(outcome_text(result->outcome), "done " + std::to_string(result->index.value));
  EXPECT_EQ(machine_.data(), std::vector<std::string>{"hello"});
  const Status status = node_->status();
  EXPECT_EQ(status.role, Role::Leader);
  EXPECT_EQ(status.leader, status.id);
  EXPECT_EQ(status.applied, result->index);
  EXPECT_GE(status.commit, result->index);
  EXPECT_EQ(status.last_contact, Duration::zero());
}

TEST_F(NodeTest, ReadsSeeWhatWasAcknowledgedBefore) {
  open(machine_);
  const auto written = propose("x");
  ASSERT_TRUE(written);
  // The raft thread says so a moment after the apply thread has told the client.
  const Instant limit = now() + std::chrono::seconds(5);
  while (!node_->can_read_now() && now() < limit) std::this_thread::yield();
  EXPECT_TRUE(node_->can_read_now());
  for (const ReadMode mode : {ReadMode::Default, ReadMode::Consistent}) {
    const auto index = read(mode);
    ASSERT_TRUE(index);
    EXPECT_GE(*index, written->index);
  }
}

TEST_F(NodeTest, AReadRightAfterTheStartIsAnsweredOnceItLeads) {
  auto opened = Node::open(options(), machine_);
  ASSERT_TRUE(opened);
  node_ = std::move(*opened);
  const auto index = read(ReadMode::Default);
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_GE(*index, Index(2));
  EXPECT_TRUE(node_->can_read_now());
}

TEST_F(NodeTest, ReplaysTheLogForAStateThatLostEverything) {
  open(machine_);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(propose(std::to_string(i)));
  const NodeId id = node_->status().id;
  node_.reset();
  RecordingMachine fresh;
  open(fresh);
  ASSERT_TRUE(read(ReadMode::Consistent));
  EXPECT_EQ(fresh.data(), machine_.data());
  EXPECT_EQ(node_->status().id, id);
  EXPECT_GT(node_->status().term, Term(2)) << "a new term for a new leadership";
}

TEST_F(NodeTest, ReplaysOnlyWhatTheStateHasNotSeen) {
  open(machine_);
  Index middle;
  for (int i = 0; i < 20; ++i) {
    const auto result = propose(std::to_string(i));
    ASSERT_TRUE(result);
    if (i == 9) middle = result->index;
  }
  node_.reset();
  RecordingMachine half(middle);
  open(half);
  ASSERT_TRUE(read(ReadMode::Consistent));
  EXPECT_EQ(half.data().size(), 10u);
  EXPECT_EQ(half.data().front(), "10");
  EXPECT_FALSE(half.order_broken());
}

TEST_F(NodeTest, AppliesAThousandProposalsOfEachOfEightThreadsOnceAndInOrder) {
  open(machine_);
  constexpr int kThreads = 8;
  constexpr int kEach = 1'000;
  Counter answered;
  std::atomic<int> failed{0};
  std::mutex mutex;
  std::map<Index, std::string> acknowledged;
  Index last_answer;
  bool answers_in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        std::string data = std::to_string(t) + " " + std::to_string(i);
        node_->propose(data, [&, data](Result<Node::Applied> result) {
          if (result) {
            std::lock_guard lock(mutex);
            answers_in_order = answers_in_order && result->index > last_answer;
            last_answer = result->index;
            acknowledged[result->index] = data;
          } else {
            ++failed;
          }
          answered.add();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  answered.await(kThreads * kEach);
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(answers_in_order);
  EXPECT_FALSE(machine_.order_broken());
  EXPECT_EQ(acknowledged.size(), static_cast<std::size_t>(kThreads * kEach));

  const auto seen = machine_.seen();
  const auto data = machine_.data();
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(kThreads * kEach));
  std::map<std::string, int> next;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(acknowledged[seen[i]], data[i]);
    const auto blank = data[i].find(' ');
    EXPECT_EQ(std::stoi(data[i].substr(blank)), next[data[i].substr(0, blank)]++)
        << "each thread's proposals keep their order";
  }
}

TEST_F(NodeTest, StopsWhileBusyAndAnswersEverybody) {
  for (int round = 0; round < 5; ++round) {
    RecordingMachine machine;
    std::filesystem::remove_all(folder_.path() / "raft");
    open(machine);
    std::atomic<int> asked{0};
    std::atomic<int> answered{0};
    std::atomic<int> acknowledged{0};
    std::atomic<int> wrong{0};
    Counter some;
    std::atomic<bool> end{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (!end) {
          ++asked;
          node_->propose("x", [&](Result<Node::Applied> result) {
            if (result) {
              ++acknowledged;
              some.add();
            } else if (result.error().code != ErrorCode::CommitUnknown &&
                       result.error().code != ErrorCode::Stopped &&
                       result.error().code != ErrorCode::ResourceExhausted) {
              ++wrong;
            }
            ++answered;
          });
          if (asked % 64 == 0) std::this_thread::yield();
        }
      });
    }
    some.await(100);
    node_->stop();
    end = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(answered, asked);
    EXPECT_EQ(wrong, 0);
    EXPECT_LE(static_cast<std::size_t>(acknowledged), machine.data().size());
    EXPECT_FALSE(node_->can_read_now());
    node_.reset();
  }
}

TEST_F(NodeTest, AfterStopEverythingIsAnsweredAtOnce) {
  open(machine_);
  node_->stop();
  node_->stop();
  EXPECT_EQ(propose("x").error().code, ErrorCode::Stopped);
  EXPECT_EQ(read(ReadMode::Default).error().code, ErrorCode::Stopped);
}

TEST_F(NodeTest, RefusesAnEntryThatIsTooLarge) {
  open(machine_);
  const auto result = propose(std::string((4 << 20) + 1, 'x'));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::InvalidArgument);
  EXPECT_TRUE(propose(std::string(4 << 20, 'x')));
}

// Blocks in apply until released.
class StuckMachine final : public RecordingMachine {
 public:
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    gate_.get_future().wait();
    gate_ = std::promise<void>();
    gate_.set_value();
    RecordingMachine::apply(entries, outcomes);
  }
  void release() { gate_.set_value(); }

 private:
  std::promise<void> gate_;
};

TEST_F(NodeTest, RefusesProposalsWhileTooMuchIsUnderWay) {
  StuckMachine stuck;
  open(stuck);
  const std::string megabyte(1 << 20, 'x');
  Counter answered;
  std::atomic<int> taken{0};
  std::atomic<int> refused{0};
  for (int i = 0; i < 150; ++i) {
    node_->propose(megabyte, [&](Result<Node::Applied> result) {
      if (result) {
        ++taken;
      } else if (result.error().code == ErrorCode::ResourceExhausted) {
        ++refused;
      }
      answered.add();
    });
  }
  stuck.release();
  answered.await(150);
  EXPECT_EQ(taken + refused, 150);
  EXPECT_GT(refused, 0);
  EXPECT_GE(taken, 60);
}

TEST_F(NodeTest, ShrinksItsLogAndFlushesTheStateForThat) {
  open(machine_);
  Counter answered;
  constexpr int kCount = 40'000;
  for (int i = 0; i < kCount; ++i) node_->propose("x", [&](auto) { answered.add(); });
  answered.await(kCount);
  ASSERT_TRUE(propose("last"));  // lets the raft thread look at the progress of the state
  for (int i = 0; i < 100 && machine_.flushes() == 0; ++i) ASSERT_TRUE(propose("more"));
  EXPECT_GE(machine_.flushes(), 1);
  ASSERT_TRUE(propose("end"));
  const Index applied = machine_.durable_applied();
  node_.reset();

  RecordingMachine behind(Index(9'000));
  const auto reopened = Node::open(options(), behind);
  ASSERT_FALSE(reopened) << "entries that this state needs should be gone";
  EXPECT_EQ(reopened.error().code, ErrorCode::Corrupt);
  EXPECT_NE(reopened.error().message.find("the log starts at"), std::string::npos);
  RecordingMachine current(applied);
  open(current);
  ASSERT_TRUE(propose("goes on"));
}

TEST_F(NodeTest, AStateAheadOfTheLogIsRefused) {
  open(machine_);
  ASSERT_TRUE(propose("x"));
  node_.reset();
  RecordingMachine ahead(Index(1'000));
  const auto reopened = Node::open(options(), ahead);
  ASSERT_FALSE(reopened);
  EXPECT_EQ(reopened.error().code, ErrorCode::Corrupt);
  EXPECT_NE(reopened.error().message.find("1000"), std::string::npos) << reopened.error().message;
}

TEST_F(NodeTest, ASecondNodeOnTheFolderIsRefused) {
  open(machine_);
  RecordingMachine other;
  const auto second = Node::open(options(), other);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
}

TEST_F(NodeTest, WithoutBootstrapThereIsNoLeader) {
  NodeOptions plain = options();
  plain.bootstrap = false;
  auto opened = Node::open(plain, machine_);
  ASSERT_TRUE(opened);
  node_ = std::move(*opened);
  const auto result = propose("x");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::NoLeader);
  EXPECT_FALSE(node_->can_read_now());
}

// No file may grow beyond this while it lives: writing fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

// raft.md §10: a write error is never retried, and nothing is acknowledged after it.
TEST_F(NodeTest, AWriteErrorIsFatalAndAcknowledgesNothing) {
  NodeOptions watched = options();
  std::promise<Error> fatal;
  watched.on_fatal = [&](const Error& error) { fatal.set_value(error); };
  open(machine_, watched);
  ASSERT_TRUE(propose("before"));
  std::promise<Result<Node::Applied>> large;
  std::promise<Result<Node::Applied>> later;
  {
    const FileSizeLimit limit(1 << 20);
    node_->propose(std::string(3 << 20, 'x'), [&](auto r) { large.set_value(std::move(r)); });
    const Error error = fatal.get_future().get();
    EXPECT_NE(error.message.find(folder_.path().string()), std::string::npos) << error.message;
  }
  node_->propose("later", [&](auto r) { later.set_value(std::move(r)); });
  EXPECT_FALSE(node_->can_read_now());
  node_->stop();
  EXPECT_EQ(large.get_future().get().error().code, ErrorCode::CommitUnknown);
  EXPECT_FALSE(later.get_future().get());
  node_.reset();

  RecordingMachine fresh;
  open(fresh);
  ASSERT_TRUE(read(ReadMode::Consistent));
  ASSERT_FALSE(fresh.data().empty());
  EXPECT_EQ(fresh.data().front(), "before");
}

TEST_F(NodeTest, AWriteErrorEndsTheProcessWithStatus74) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto fill_the_disk = [this] {
    open(machine_);
    const FileSizeLimit limit(1 << 20);
    propose(std::string(3 << 20, 'x'));
  };
  EXPECT_EXIT(fill_the_disk(), testing::ExitedWithCode(74), "cannot be written");
}

std::uint64_t cpu_ticks_of_this_process() {
  return static_cast<std::uint64_t>(std::clock());
}

TEST_F(NodeTest, UsesNoCpuWhenIdle) {
  open(machine_);
  ASSERT_TRUE(propose("x"));
  const auto before = cpu_ticks_of_this_process();
  std::promise<void> never;
  never.get_future().wait_for(std::chrono::milliseconds(500));
  const auto used = cpu_ticks_of_this_process() - before;
  EXPECT_LT(used, CLOCKS_PER_SEC / 100);
}

}  // namespace
}  // namespace fyr::raft
