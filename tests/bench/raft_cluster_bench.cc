// Proposals a second of three Raft nodes: raft_cluster_bench DIR [clients] [seconds] [bytes]
//
// Three processes on this machine, with real disks below DIR, connected over the loopback
// interface. Each client proposes again at the leader as soon as its last proposal was applied
// there. Prints operations a second, latency, and the CPU time of all three for each operation.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <mutex>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "raft/grpc_transport.h"
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

  void run(int count) {
    running_ = count;
    for (int i = 0; i < count; ++i) propose();
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

// Whether this node leads, once somebody does.
class Leadership {
 public:
  void changed(const Status& status) {
    std::lock_guard lock(mutex_);
    known_ = status.leader != NodeId{};
    leads_ = status.role == Role::Leader;
    changed_.notify_all();
  }
  bool await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return known_; });
    return leads_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool known_ = false;
  bool leads_ = false;
};

// ---- one node, told what to do on its standard input --------------------------------------

std::string load(Node& node, std::istream& words) {
  int clients = 0;
  int seconds = 0;
  std::size_t bytes = 0;
  words >> clients >> seconds >> bytes;
  if (node.status().role != Role::Leader) return "follows";
  const Instant start = now();
  Clients all(node, bytes, start + std::chrono::seconds(seconds));
  all.run(clients);
  const double elapsed = static_cast<double>((now() - start).count()) / 1e9;
  auto& latencies = all.latencies();
  std::ranges::sort(latencies);
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(latencies[latencies.size() * percent / 100].count()) / 1e3;
  };
  std::ostringstream out;
  out << "led " << latencies.size() << " " << elapsed << " " << at(50) << " " << at(99);
  return out.str();
}

int run_node(const char* directory) {
  log::set_level(log::Level::Warn);
  const auto transport = GrpcTransport::make();
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&transport->service());
  const auto server = builder.BuildAndStart();
  CountingMachine machine;
  NodeOptions options;
  options.directory = directory;
  options.address = "127.0.0.1:" + std::to_string(port);
  options.transport = transport;
  Leadership leadership;
  options.on_role_change = [&](const Status& status) { leadership.changed(status); };
  auto opened = Node::open(options, machine);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  Node& node = **opened;
  std::cout << node.id().value << " " << options.address << '\n' << std::flush;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "found") {
      std::vector<Member> members;
      for (Member member; words >> member.id.value >> member.address;) members.push_back(member);
      std::promise<Result<void>> founded;
      node.found_cluster(members, [&](Result<void> result) { founded.set_value(result); });
      std::cout << (founded.get_future().get() ? "founded" : "failed") << '\n' << std::flush;
    } else if (word == "await") {
      std::cout << (leadership.await() ? "leads" : "follows") << '\n' << std::flush;
    } else if (word == "load") {
      std::cout << load(node, words) << '\n' << std::flush;
    } else if (word == "cpu") {
      std::cout << cpu_seconds() << '\n' << std::flush;
    }
  }
  node.stop();
  server->Shutdown();
  return 0;
}

// ---- all three ----------------------------------------------------------------------------

class Child {
 public:
  Child(const char* program, const std::string& directory) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execl(program, program, "node", directory.c_str(), nullptr);
      std::_Exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = ::fdopen(in[1], "w");
    from_ = ::fdopen(out[0], "r");
    self = read();
  }
  ~Child() {
    std::fclose(to_);
    std::fclose(from_);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string ask(const std::string& line) {
    std::fprintf(to_, "%s\n", line.c_str());
    std::fflush(to_);
    return read();
  }
  std::string self;  // its id and address

 private:
  std::string read() {
    char line[256] = "";
    if (std::fgets(line, sizeof line, from_) == nullptr) return "";
    std::string out = line;
    out.pop_back();
    return out;
  }
  pid_t pid_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "node") return run_node(argv[2]);
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s DIR [clients] [seconds] [bytes]\n", argv[0]);
    return 2;
  }
  const std::string clients = argc > 2 ? argv[2] : "64";
  const std::string seconds = argc > 3 ? argv[3] : "3";
  const std::string bytes = argc > 4 ? argv[4] : "256";
  std::filesystem::create_directories(argv[1]);
  std::vector<std::unique_ptr<Child>> nodes;
  std::string found = "found";
  for (int i = 0; i < 3; ++i) {
    nodes.push_back(
        std::make_unique<Child>("/proc/self/exe", std::string(argv[1]) + "/" + std::to_string(i)));
    found += " " + nodes.back()->self;
  }
  if (nodes[0]->ask(found) != "founded") return 1;
  Child* leader = nullptr;
  while (!leader) {
    for (auto& node : nodes) {
      if (node->ask("await") == "leads") leader = node.get();
    }
  }
  const auto cpu = [&] {
    double sum = 0;
    for (auto& node : nodes) sum += std::strtod(node->ask("cpu").c_str(), nullptr);
    return sum;
  };
  leader->ask("load 1 1 " + bytes);  // warms up
  const double before = cpu();
  std::istringstream result(leader->ask("load " + clients + " " + seconds + " " + bytes));
  const double used = cpu() - before;
  std::string word;
  double count = 0;
  double elapsed = 0;
  double p50 = 0;
  double p99 = 0;
  result >> word >> count >> elapsed >> p50 >> p99;
  std::printf("%s clients, %s bytes: %.0f/s, p50 %.0f us, p99 %.0f us, cpu %.1f us/op\n",
              clients.c_str(), bytes.c_str(), count / elapsed, p50, p99, used * 1e6 / count);
  return 0;
}
