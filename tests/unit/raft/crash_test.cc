// raft_crash_test [rounds]: a child process writes through a Node and reports each acknowledged
// write; it is killed with -9 at a random moment; then every write it reported must be there, once,
// in order, and whatever else is there must be something it asked for.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <set>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"
#include "raft/node.h"
#include "tests/unit/raft/recording_machine.h"
#include "tests/unit/raft/temp_folder.h"

namespace fyr::raft {
namespace {

int rounds = 10;
constexpr int kInFlight = 16;

NodeOptions options(const std::filesystem::path& directory) {
  NodeOptions out;
  out.directory = directory;
  out.bootstrap = true;
  return out;
}

// A state that is made durable only when the log asks for it, so that replaying and cutting the log
// are both tested: flush() appends {index, size, data} for each entry to a file.
class FileMachine final : public StateMachine {
 public:
  explicit FileMachine(std::filesystem::path path) : path_(std::move(path)) {
    const std::string bytes = read_bytes(path_);
    std::size_t at = 0;
    while (at + 16 <= bytes.size()) {
      const std::uint64_t size = read_be64(bytes.substr(at + 8, 8));
      if (bytes.size() - at - 16 < size) break;  // killed in the middle of a flush
      durable_ = Index(read_be64(bytes.substr(at, 8)));
      data_.push_back(bytes.substr(at + 16, size));
      at += 16 + size;
    }
    if (at < bytes.size()) std::filesystem::resize_file(path_, at);
    applied_ = durable_;
  }
  Index applied() const override { return applied_; }
  Index durable_applied() const override { return durable_; }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    for (const Entry& entry : entries) {
      in_order_ = in_order_ && entry.index > applied_;
      applied_ = entry.index;
      data_.push_back(*entry.data);
      outcomes.emplace_back();
      append_be64(unflushed_, entry.index.value);
      append_be64(unflushed_, entry.data->size());
      unflushed_ += *entry.data;
    }
  }
  void flush() override {
    std::ofstream(path_, std::ios::binary | std::ios::app) << unflushed_;
    unflushed_.clear();
    durable_ = applied_;
  }
  const std::vector<std::string>& data() const { return data_; }
  bool in_order() const { return in_order_; }

 private:
  const std::filesystem::path path_;
  Index applied_{}, durable_{};
  std::vector<std::string> data_;
  std::string unflushed_;
  bool in_order_ = true;
};

// Proposes "life number" without end, kInFlight at a time; 8 bytes to the pipe for each answer.
class Writer {
 public:
  Writer(Node& node, int life, int pipe) : node_(node), life_(life), pipe_(pipe) {}
  void propose() {
    const std::uint64_t number = next_++;
    node_.propose(std::to_string(life_) + " " + std::to_string(number),
                  [this, number](Result<Node::Applied> result) {
                    if (!result && result.error().code != ErrorCode::NoLeader) ::_exit(3);
                    if (result) report(number);
                    propose();
                  });
  }

 private:
  void report(std::uint64_t number) const {
    std::string bytes;
    append_be64(bytes, number);
    if (::write(pipe_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      ::_exit(4);
  }

  Node& node_;
  const int life_;
  const int pipe_;
  std::atomic<std::uint64_t> next_{0};
};

// Never returns.
[[noreturn]] void live(const std::filesystem::path& directory, int life, int pipe) {
  FileMachine machine(directory.parent_path() / "state");
  std::promise<void> led;
  NodeOptions o = options(directory);
  o.on_role_change = [&](const Status& status) {
    if (status.role == Role::Leader) led.set_value();
  };
  auto node = Node::open(o, machine);
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().message.c_str());
    ::_exit(5);
  }
  led.get_future().wait();
  Writer writer(**node, life, pipe);
  for (int i = 0; i < kInFlight; ++i) writer.propose();
  while (true) ::pause();
}

// A process of its own by exec: after fork alone it would have none of the threads that RocksDB and
// gRPC believe to have started in the parent.
pid_t start_life(const std::filesystem::path& directory, int life, int pipe) {
  const std::string number = std::to_string(life);
  const std::string end = std::to_string(pipe);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::fcntl(pipe, F_SETFD, 0);
  ::execl("/proc/self/exe", "raft_crash_test", "--live", directory.c_str(), number.c_str(),
          end.c_str(), nullptr);
  ::_exit(6);
}

// The numbers that the child reported before it was killed.
std::set<std::uint64_t> kill_after(pid_t child, int pipe, std::size_t bytes, Duration extra) {
  std::string got;
  char buffer[4096];
  while (got.size() < bytes) {
    const ssize_t n = ::read(pipe, buffer, sizeof buffer);
    if (n <= 0) break;  // it ended by itself: the exit status tells
    got.append(buffer, static_cast<std::size_t>(n));
  }
  const timespec pause{0, static_cast<long>(extra.count())};
  // tidy: sleep: a random moment to be killed at; there is no event to await
  ::nanosleep(&pause, nullptr);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  for (ssize_t n = 0; (n = ::read(pipe, buffer, sizeof buffer)) > 0;) {
    got.append(buffer, static_cast<std::size_t>(n));
  }
  std::set<std::uint64_t> out;
  for (std::size_t at = 0; at + 8 <= got.size(); at += 8) out.insert(read_be64(got.substr(at, 8)));
  return out;
}

std::set<std::string> surviving(const std::filesystem::path& directory) {
  FileMachine machine(directory.parent_path() / "state");
  auto node = Node::open(options(directory), machine);
  EXPECT_TRUE(node) << node.error().message;
  if (!node) return {};
  std::promise<bool> promise;
  (*node)->read(ReadMode::Consistent, [&](auto result) { promise.set_value(result.has_value()); });
  EXPECT_TRUE(promise.get_future().get());
  (*node)->stop();
  const auto& data = machine.data();
  const std::set<std::string> out(data.begin(), data.end());
  EXPECT_EQ(out.size(), data.size()) << "something was applied twice";
  EXPECT_TRUE(machine.in_order());
  return out;
}

TEST(RaftCrash, NoAcknowledgedWriteIsLostByKillingTheProcess) {
  TempFolder folder;
  const auto directory = folder.path() / "raft";
  Random random = Random::from_system();
  std::set<std::string> acknowledged;
  for (int life = 1; life <= rounds; ++life) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = start_life(directory, life, ends[1]);
    ASSERT_GT(child, 0);
    ::close(ends[1]);
    // From "before the first answer" to "some thousand answers".
    const std::size_t answers = life % 4 == 0 ? 0 : 1 + random.below(2'000);
    const Duration extra = random.between(Duration::zero(), std::chrono::milliseconds(30));
    for (const std::uint64_t number : kill_after(child, ends[0], 8 * answers, extra)) {
      acknowledged.insert(std::to_string(life) + " " + std::to_string(number));
    }
    ::close(ends[0]);
    ASSERT_FALSE(HasFailure());
    const std::set<std::string> found = surviving(directory);
    for (const std::string& write : acknowledged) ASSERT_TRUE(found.contains(write)) << write;
  }
  EXPECT_GT(acknowledged.size(), 100u);
  std::printf("%d kills, %zu acknowledged writes, none lost\n", rounds, acknowledged.size());
}

}  // namespace
}  // namespace fyr::raft

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view(argv[1]) == "--live") {
    fyr::raft::live(argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
  }
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) fyr::raft::rounds = std::atoi(argv[1]);
  return RUN_ALL_TESTS();
}
