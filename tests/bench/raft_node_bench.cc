// Proposals a second of one Raft node: raft_node_bench DIR [clients] [seconds] [bytes]
//
// Each client proposes again as soon as its last proposal was applied. Prints operations a second,
// latency, the process's CPU time for each operation and its memory. The folder must be on the disk
// to measure.
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "raft/node.h"

namespace {

using namespace fyr;
using namespace fyr::raft;

class CountingMachine final : public StateMachine {
 public:
  Index applied() const override { return applied_; }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override {
    for (const Entry& entry : entries) {
      applied_ = entry.index;
      outcomes.emplace_back();
    }
  }
  Index durable_applied() const override { return applied_; }
  void flush() override {}

 private:
  Index applied_{};
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Only the apply thread touches the latencies while clients run.
class Clients {
 public:
  Clients(Node& node, std::size_t bytes, Instant end)
      : node_(node), payload_(bytes, 'x'), end_(end) {}

  void start(int count) {
    running_ = count;
    for (int i = 0; i < count; ++i) propose();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }
  std::vector<Duration>& latencies() { return latencies_; }

 private:
  void propose() {
    const Instant begin = now();
    node_.propose(payload_, [this, begin](Result<Node::Applied> result) {
      if (!result) {
        std::fprintf(stderr, "%s\n", result.error().message.c_str());
        std::exit(1);
      }
      const Instant end = now();
      latencies_.push_back(end - begin);
      if (end < end_) return propose();
      std::lock_guard lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    });
  }

  Node& node_;
  const std::string payload_;
  const Instant end_;
  std::vector<Duration> latencies_;
  std::mutex mutex_;
  std::condition_variable done_;
  int running_ = 0;
};

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * 4096 / (1 << 20);
}

double micros(Duration d) {
  return static_cast<double>(d.count()) / 1e3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s DIR [clients] [seconds] [bytes]\n", argv[0]);
    return 2;
  }
  const int clients = argc > 2 ? std::atoi(argv[2]) : 64;
  const int seconds = argc > 3 ? std::atoi(argv[3]) : 3;
  const std::size_t bytes = argc > 4 ? static_cast<std::size_t>(std::atoi(argv[4])) : 256;

  CountingMachine machine;
  std::mutex mutex;
  std::condition_variable changed;
  bool leads = false;
  const Instant begin = now();
  NodeOptions options;
  options.directory = argv[1];
  options.bootstrap = true;
  options.on_role_change = [&](const Status& status) {
    std::lock_guard lock(mutex);
    leads = status.role == Role::Leader;
    changed.notify_one();
  };
  auto node = Node::open(options, machine);
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().message.c_str());
    return 1;
  }
  const Instant opened = now();
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return leads; });
  }
  const Instant led = now();

  const double resident_before = resident_mib();
  const double cpu_before = cpu_seconds();
  const Instant start = now();
  Clients load(**node, bytes, start + std::chrono::seconds(seconds));
  load.start(clients);
  load.wait();
  const double elapsed = static_cast<double>((now() - start).count()) / 1e9;
  const double cpu = cpu_seconds() - cpu_before;
  auto& latencies = load.latencies();
  std::ranges::sort(latencies);
  const auto count = static_cast<double>(latencies.size());
  std::printf("open %.1f ms, leader after %.1f ms, then %.1f MiB\n", micros(opened - begin) / 1e3,
              micros(led - begin) / 1e3, resident_before);
  std::printf("%d clients, %zu bytes: %.0f/s, p50 %.0f us, p99 %.0f us, cpu %.1f us/op\n", clients,
              bytes, count / elapsed, micros(latencies[latencies.size() / 2]),
              micros(latencies[latencies.size() * 99 / 100]), cpu * 1e6 / count);
  std::printf("memory after the load %.1f MiB\n", resident_mib());
  (*node)->stop();
}
