#include "base/io/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <future>
#include <thread>

#include "base/id.h"

namespace fyr::io {
namespace {

using namespace std::chrono_literals;

class Processes : public testing::Test {
 protected:
  Processes() { runtime_.start(); }

  Result<ProcessResult> run(ProcessOptions options) {
    std::promise<Result<ProcessResult>> answer;
    const auto process = run_process(runtime_, 0, std::move(options),
                                     [&](auto result) { answer.set_value(std::move(result)); });
    return answer.get_future().get();
  }
  Result<ProcessResult> shell(const std::string& script, Duration timeout = 30s) {
    ProcessOptions options;
    options.arguments = {"sh", "-c", script};
    options.timeout = timeout;
    return run(options);
  }

  Runtime runtime_{1};
};

TEST_F(Processes, ReportOutputAndExitCode) {
  const auto result = shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\nerr\n");
  EXPECT_EQ(result->output_bytes, 8u);
  EXPECT_FALSE(result->timed_out);
}

TEST_F(Processes, ReportTheSignalThatEndedThem) {
  EXPECT_EQ(shell("kill -9 $$")->exit_code, 128 + SIGKILL);
}

TEST_F(Processes, KeepTheTailOfLongOutput) {
  ProcessOptions options;
  options.arguments = {"sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done"};
  options.max_output = 20;
  const auto result = run(options);
  EXPECT_EQ(result->output.size(), 20u);
  EXPECT_TRUE(result->output.ends_with("line 4999\n"));
  EXPECT_EQ(result->output_bytes, 48890u);
}

TEST_F(Processes, HaveNullInputOwnSessionAndNoDescriptorsOfOurs) {
  const int ours = ::open("/dev/null", O_RDONLY);  // inherited unless closed for them
  const auto result = shell("cat; ls /proc/self/fd | wc -l; ps -o sid= -p $$; echo $$");
  ::close(ours);
  ASSERT_TRUE(result);
  std::vector<int> numbers;
  const auto& text = result->output;
  for (const char* at = text.data(); at < text.data() + text.size(); ++at) {
    int value = 0;
    const auto parsed = std::from_chars(at, text.data() + text.size(), value);
    if (parsed.ec == std::errc()) numbers.push_back(value), at = parsed.ptr;
  }
  ASSERT_EQ(numbers.size(), 3u) << text;
  EXPECT_EQ(numbers[0], 4);  // 0, 1, 2 and the folder ls reads
  EXPECT_EQ(numbers[1], numbers[2]);
}

TEST_F(Processes, StartWithSignalsAsIfFromAShell) {
  ::signal(SIGPIPE, SIG_IGN);
  const auto result = shell("kill -PIPE $$; echo survived");
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(result->exit_code, 128 + SIGPIPE);
}

TEST_F(Processes, TakeTheEnvironmentGiven) {
  ProcessOptions options;
  options.arguments = {"/bin/sh", "-c", "echo $FYR_TEST:$HOME"};
  options.environment = {"FYR_TEST=x"};
  EXPECT_EQ(run(options)->output, "x:\n");
}

TEST_F(Processes, ErrorNamesAProgramThatIsNotThere) {
  ProcessOptions options;
  options.arguments = {"no-such-program-here"};
  const auto result = run(options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::NotFound);
  EXPECT_NE(result.error().message.find("no-such-program-here"), std::string::npos);
  EXPECT_FALSE(run({}));
}

TEST_F(Processes, AreEndedAtTheirTimeoutWithTheirWholeGroup) {
  const auto began = now();
  const auto result = shell("(trap '' TERM; sleep 1000) & echo $!; wait", 100ms);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->timed_out);
  EXPECT_LT(now() - began, 10s);
  int grandchild = 0;
  std::from_chars(result->output.data(), result->output.data() + result->output.size(), grandchild);
  ASSERT_GT(grandchild, 0);
  const auto alive = [grandchild] {  // a zombie nobody reaps counts as ended
    const auto status = "/proc/" + std::to_string(grandchild) + "/stat";
    const int fd = ::open(status.c_str(), O_RDONLY);
    if (fd < 0) return false;
    char text[256] = {};
    const auto n = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    return n > 0 && std::string_view(text).find(") Z") == std::string_view::npos;
  };
  const auto patience = now() + 10s;
  while (alive() && now() < patience) std::this_thread::yield();
  EXPECT_FALSE(alive());
}

TEST_F(Processes, AreKilledWhenTheyIgnoreTheFirstSignal) {
  const auto result = shell("trap '' TERM; while true; do sleep 0.05; done", 50ms);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->timed_out);
  EXPECT_EQ(result->exit_code, 128 + SIGKILL);
}

// The child that stays behind holds the pipe's other end for a long time.
TEST_F(Processes, EndWithTheirOwnExitWhateverTheyLeaveBehind) {
  const auto began = now();
  const auto result = shell("setsid sleep 20 & echo done; exit 1");
  ASSERT_TRUE(result);
  EXPECT_LT(now() - began, 10s);
  EXPECT_EQ(result->exit_code, 1);
  EXPECT_EQ(result->output, "done\n");
}

TEST_F(Processes, DieWithTheirHandle) {
  const auto fifo = testing::TempDir() + make_uuid();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ProcessOptions options;
  options.arguments = {"sh", "-c", "exec 3>" + fifo + "; sleep 1000"};
  auto process = run_process(runtime_, 0, options, [](auto) { ADD_FAILURE() << "abandoned"; });
  const int reader = ::open(fifo.c_str(), O_RDONLY);  // waits for the child to open its end
  process.reset();
  char byte = 0;
  EXPECT_EQ(::read(reader, &byte, 1), 0);  // the last writer is gone
  ::close(reader);
  ::unlink(fifo.c_str());
}

}  // namespace
}  // namespace fyr::io
