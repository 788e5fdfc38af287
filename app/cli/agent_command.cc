// `fyr agent`: load, start, wait for signals, stop. Signals and exit codes as Consul's: a server
// that is told to stop stops without leaving and exits 1; an agent leaves first and exits 0; a
// second signal, or 15 s, ends the leaving.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "app/cli/commands.h"
#include "app/definitions.h"
#include "app/run_agent.h"
#include "app/settings.h"
#include "base/check.h"
#include "base/log.h"
#include "base/time.h"

namespace fyr::app {
namespace {

constexpr Duration kLeaveLimit = std::chrono::seconds(15);

// Signals as readable events, and one more event for "an HTTP request asked us to leave".
class Events {
 public:
  enum class Kind { Hangup, Terminate, Interrupt, Leave, Left, TimedOut };

  // Before any thread starts, so that all inherit the mask.
  Events() : leave_(eventfd(0, EFD_CLOEXEC)), left_(eventfd(0, EFD_CLOEXEC)) {
    sigset_t set;
    sigemptyset(&set);
    for (int number : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&set, number);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(signals_ >= 0 && leave_ >= 0 && left_ >= 0);
  }
  ~Events() {
    for (int fd : {signals_, leave_, left_}) ::close(fd);
  }

  void ask_to_leave() { raise_event(leave_); }
  void say_left() { raise_event(left_); }

  Kind wait(Duration limit = Duration::max()) {
    const int timeout =
        limit == Duration::max() ? -1 : static_cast<int>(limit / std::chrono::milliseconds(1));
    pollfd fds[] = {{signals_, POLLIN, 0}, {leave_, POLLIN, 0}, {left_, POLLIN, 0}};
    int ready = 0;
    do {
      ready = poll(fds, 3, timeout);
    } while (ready < 0 && errno == EINTR);
    if (fds[2].revents) return drain(left_), Kind::Left;
    if (fds[0].revents) return read_signal();
    if (fds[1].revents) return drain(leave_), Kind::Leave;
    return Kind::TimedOut;
  }

 private:
  static void raise_event(int fd) {
    const std::uint64_t one = 1;
    CHECK(::write(fd, &one, sizeof one) == sizeof one);
  }
  static void drain(int fd) {
    std::uint64_t value = 0;
    CHECK(::read(fd, &value, sizeof value) == sizeof value);
  }
  Kind read_signal() {
    signalfd_siginfo info{};
    CHECK(::read(signals_, &info, sizeof info) == sizeof info);
    if (info.ssi_signo == SIGHUP) return Kind::Hangup;
    return info.ssi_signo == SIGINT ? Kind::Interrupt : Kind::Terminate;
  }
  int signals_ = -1;
  const int leave_, left_;
};

class PidFile {
 public:
  bool write(const std::string& path) {
    if (path.empty()) return true;
    std::ofstream file(path, std::ios::trunc);
    file << getpid() << '\n';
    file.close();
    if (!file) return false;
    path_ = path;
    return true;
  }
  ~PidFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
};

// True if the agent left in an orderly way.
bool leave(RunningAgent& agent, Events& events) {
  log::info("agent", "leaving the cluster");
  agent.leave([&events] { events.say_left(); });
  const Instant deadline = now() + kLeaveLimit;
  while (true) {
    const Instant at = now();
    if (at >= deadline) return false;
    switch (events.wait(deadline - at)) {
      case Events::Kind::Left:
        return true;
      case Events::Kind::Terminate:
      case Events::Kind::Interrupt:
        return false;
      default:
        break;
    }
  }
}

int run_until_told(RunningAgent& agent, const Settings& settings, Events& events) {
  while (true) {
    switch (events.wait()) {
      case Events::Kind::Hangup:
        if (auto reloaded = agent.reload(); !reloaded)
          log::error("agent", "reload failed, nothing changed: {}", reloaded.error().message);
        break;
      case Events::Kind::Leave:
        return leave(agent, events) ? 0 : 1;
      case Events::Kind::Terminate:
        return settings.leave_on_terminate && leave(agent, events) ? 0 : 1;
      case Events::Kind::Interrupt:
        return !settings.skip_leave_on_interrupt && leave(agent, events) ? 0 : 1;
      default:
        break;
    }
  }
}

int report(const std::vector<std::string>& errors) {
  for (const auto& error : errors) std::cerr << "==> " << error << '\n';
  return 1;
}

}  // namespace

int run_agent_command(const std::vector<std::string>& arguments) {
  for (const auto& word : arguments)
    if (word == "-h" || word == "-help" || word == "--help") {
      std::cout << settings_help();
      return 0;
    }
  // First of all: every thread, the log's too, must inherit the blocked signals.
  auto events = std::make_shared<Events>();
  LoadedAll loaded = load_all(load_settings(arguments));
  if (!loaded.errors.empty()) return report(loaded.errors);
  const Settings settings = loaded.settings;

  log::Options log_options;
  log::parse_level(settings.log_level, log_options.level);
  log_options.file = settings.log_file;
  log_options.json = settings.log_json;
  log::configure(log_options);
  for (const auto& warning : settings.warnings) log::warn("settings", "{}", warning);

  PidFile pid_file;
  if (!pid_file.write(settings.pid_file))
    return report({"pid_file " + settings.pid_file + ": cannot be written"});

  auto agent =
      RunningAgent::start(std::move(loaded), arguments, [events] { events->ask_to_leave(); });
  if (!agent) return report({agent.error().message});
  log::info("agent", "fyr {} running as {} {}", kVersion, settings.server ? "server" : "agent",
            settings.node_name);
  const int status = run_until_told(**agent, settings, *events);
  (*agent)->stop();
  log::info("agent", "stopped");
  log::flush();
  return status;
}

}  // namespace fyr::app
