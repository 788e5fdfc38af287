// Children are started with posix_spawn (no copy of our address space, safe beside threads) and
// watched through a pidfd, so that no SIGCHLD handler or waitpid(-1) of anybody is involved.
#include "base/io/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>

#include "base/check.h"
#include "base/io/connector.h"

extern char** environ;

namespace fyr::io {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

constexpr auto kPatienceAfterTerm = std::chrono::seconds(1);
constexpr auto kPipeAfterExit = std::chrono::milliseconds(100);

// Keeps the last bytes of a stream without moving them on every append.
class Tail {
 public:
  explicit Tail(std::size_t limit) : limit_(limit) {}
  void append(std::string_view bytes) {
    total_ += bytes.size();
    text_ += bytes.substr(bytes.size() - std::min(bytes.size(), limit_));
    if (text_.size() > 2 * limit_) text_.erase(0, text_.size() - limit_);
  }
  std::string take() {
    if (text_.size() > limit_) text_.erase(0, text_.size() - limit_);
    return std::move(text_);
  }
  std::size_t total() const { return total_; }

 private:
  std::size_t limit_;
  std::size_t total_ = 0;
  std::string text_;
};

Error spawn_error(const ProcessOptions& options, const char* step, int error) {
  const auto& program = options.arguments.empty() ? std::string() : options.arguments[0];
  return fail(
      error == ENOENT ? ErrorCode::NotFound : ErrorCode::Unavailable,
      std::string(step) + " \"" + program + "\": " + std::generic_category().message(error));
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

// Starts the child with `output` as its standard output and error. 0 or an errno.
int spawn(const ProcessOptions& options, int output, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  auto arguments = pointers(options.arguments);
  auto variables = pointers(options.environment);
  const int error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(),
                                 options.environment.empty() ? environ : variables.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

class Child : public std::enable_shared_from_this<Child> {
 public:
  using Done = std::function<void(Result<ProcessResult>)>;

  Child(asio::io_context& context, ProcessOptions options, Done done)
      : options_(std::move(options)),
        done_(std::move(done)),
        exit_(context),
        output_(context),
        timer_(context),
        tail_(options_.max_output) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Only reached with a live child when the runtime went away under it.
  ~Child() {
    if (pid_ > 0) kill_and_reap();
  }

  void start() {
    if (!done_) return;
    if (options_.arguments.empty()) {
      return finish(fail(ErrorCode::InvalidArgument, "command: no program given"));
    }
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return finish(spawn_error(options_, "pipe for", errno));
    const int error = spawn(options_, ends[1], pid_);
    ::close(ends[1]);
    boost::system::error_code code;
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    output_.assign(ends[0], code);
    CHECK_MSG(!code, code.message());
    if (error != 0) {
      pid_ = 0;
      return finish(spawn_error(options_, "start", error));
    }
    if (options_.nice != 0) ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid_), options_.nice);
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (fd < 0) {
      const int reason = errno;
      kill_and_reap();
      return finish(spawn_error(options_, "watch", reason));
    }
    exit_.assign(fd, code);
    CHECK_MSG(!code, code.message());
    watch();
  }

  // From the owner; the child is killed and reaped, nobody is told.
  void abandon() {
    done_ = nullptr;
    if (pid_ > 0) ::kill(-pid_, SIGKILL);
  }

 private:
  void watch() {
    exit_.async_wait(asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& code) {
                       if (!code) self->on_exit();
                     });
    after(options_.timeout, [this] {
      result_.timed_out = true;
      ::kill(-pid_, SIGTERM);
      after(kPatienceAfterTerm, [this] { ::kill(-pid_, SIGKILL); });
    });
    read_output();
  }

  template <class F>
  void after(Duration delay, F action) {
    timer_.expires_after(delay);
    timer_.async_wait([self = shared_from_this(), action](const boost::system::error_code& code) {
      if (!code && self->pid_ > 0) action();
    });
  }

  void read_output() {
    output_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](const auto& code, std::size_t size) {
                              self->tail_.append({self->buffer_.data(), size});
                              if (!code) return self->read_output();
                              self->output_ended_ = true;
                              if (self->pid_ == 0) self->report();
                            });
  }

  // The zombie keeps its number while its group is killed, so nobody else can be hit.
  void on_exit() {
    timer_.cancel();
    if (result_.timed_out || !done_) ::kill(-pid_, SIGKILL);
    reap();
    if (output_ended_ || !done_) return report();
    // What it wrote is in the pipe; a process it left behind may hold the other end for ever.
    timer_.expires_after(kPipeAfterExit);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& code) {
      if (!code) self->report();
    });
  }

  void reap() {
    siginfo_t info{};
    const int reaped = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
    if (reaped == 0) {
      result_.exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    }
    pid_ = 0;
  }

  void kill_and_reap() {
    ::kill(-pid_, SIGKILL);
    reap();
  }

  void report() {
    result_.output_bytes = tail_.total();
    result_.output = tail_.take();
    finish(std::move(result_));
  }

  void finish(Result<ProcessResult> result) {
    boost::system::error_code ignored;
    output_.close(ignored);
    exit_.close(ignored);
    timer_.cancel();
    const auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  const ProcessOptions options_;
  Done done_;
  Descriptor exit_;  // pidfd: readable when the child has ended
  Descriptor output_;
  ThreadTimer timer_;
  pid_t pid_ = 0;  // also the number of its group; 0 once reaped
  bool output_ended_ = false;
  Tail tail_;
  ProcessResult result_;
  std::array<char, 4096> buffer_{};
};

class ProcessHandle final : public Process {
 public:
  ProcessHandle(asio::io_context& context, std::shared_ptr<Child> child)
      : context_(context), child_(std::move(child)) {}
  ~ProcessHandle() override {
    asio::dispatch(context_, [child = child_] { child->abandon(); });
  }

 private:
  asio::io_context& context_;
  std::shared_ptr<Child> child_;
};

}  // namespace

std::unique_ptr<Process> run_process(Runtime& runtime, int thread, ProcessOptions options,
                                     std::function<void(Result<ProcessResult>)> done) {
  auto& context = runtime.context(thread);
  const auto child = std::make_shared<Child>(context, std::move(options), std::move(done));
  asio::post(context, [child] { child->start(); });
  return std::make_unique<ProcessHandle>(context, child);
}

}  // namespace fyr::io
