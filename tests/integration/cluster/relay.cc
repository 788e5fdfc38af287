// A link between two network namespaces that takes its time: a TUN device in each, packets go from
// one to the other after a delay, some of them never. For tests; needs root.
//
//   relay --near NAME --far NAME --far-netns FILE [--delay-ms 12] [--jitter-ms 0] [--loss 0]
//         [--duplicate 0] [--seed N]
//
// The near device is made in the namespace of the caller, the far one in that of FILE. Delay and
// jitter (plus or minus, uniform) count for each direction; with jitter packets overtake each
// other. Loss and duplicates are probabilities of each packet. Prints "ready", then works until it
// is killed. tests/integration/cluster/test_net.py measures delay and loss.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t kMaxPacket = 65536;
constexpr std::size_t kMaxWaiting = 20000;  // packets of each direction; more are dropped

struct Options {
  std::string near, far, far_netns;
  double delay_ms = 12, jitter_ms = 0, loss = 0, duplicate = 0;
  std::uint64_t seed = 0;
};

[[noreturn]] void end(const std::string& what) {
  std::fprintf(stderr, "relay: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

int open_tun(const std::string& name) {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) end("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) end("device " + name);
  return fd;
}

// A device belongs to the namespace in which the file was opened.
int open_tun_in(const std::string& netns, const std::string& name) {
  const int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = ::open(netns.c_str(), O_RDONLY | O_CLOEXEC);
  if (home < 0 || there < 0) end(netns);
  if (::setns(there, CLONE_NEWNET) != 0) end("enter " + netns);
  const int fd = open_tun(name);
  if (::setns(home, CLONE_NEWNET) != 0) end("return from " + netns);
  ::close(home);
  ::close(there);
  return fd;
}

struct Packet {
  Clock::time_point due;
  std::uint64_t order = 0;  // those due at once keep the order in which they came
  std::string bytes;
  bool operator>(const Packet& other) const {
    return due != other.due ? due > other.due : order > other.order;
  }
};

// One direction: what was read from `from` and waits to be written to `to`.
class Direction {
 public:
  Direction(int from, int to, const Options& options, std::mt19937_64& random)
      : from_(from), to_(to), options_(options), random_(random) {}

  int from() const { return from_; }

  void read_all() {
    std::array<char, kMaxPacket> buffer;
    for (;;) {
      const ssize_t size = ::read(from_, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return;  // EAGAIN, or EIO while the device is down
      take({buffer.data(), static_cast<std::size_t>(size)});
    }
  }

  // Writes what is due; when the next will be.
  Clock::time_point write_due(Clock::time_point now) {
    while (!waiting_.empty() && waiting_.top().due <= now) {
      const std::string& bytes = waiting_.top().bytes;
      // A full or closed device loses the packet, as a link would.
      [[maybe_unused]] const ssize_t written = ::write(to_, bytes.data(), bytes.size());
      waiting_.pop();
    }
    return waiting_.empty() ? Clock::time_point::max() : waiting_.top().due;
  }

 private:
  bool happens(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }

  void take(const std::string& bytes) {
    if (happens(options_.loss)) return;
    queue(bytes);
    if (happens(options_.duplicate)) queue(bytes);
  }

  void queue(const std::string& bytes) {
    if (waiting_.size() >= kMaxWaiting) return;
    double delay = options_.delay_ms;
    if (options_.jitter_ms > 0) {
      delay +=
          std::uniform_real_distribution<double>(-options_.jitter_ms, options_.jitter_ms)(random_);
    }
    const auto wait =
        std::chrono::duration_cast<Clock::duration>(Milliseconds(std::max(0.0, delay)));
    waiting_.push({Clock::now() + wait, order_++, bytes});
  }

  int from_, to_;
  const Options& options_;
  std::mt19937_64& random_;
  std::uint64_t order_ = 0;
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> waiting_;
};

double number(const char* text) {
  char* rest = nullptr;
  errno = EINVAL;
  const double value = std::strtod(text, &rest);
  if (rest == text || *rest != '\0' || value < 0) end(std::string("not a number: ") + text);
  return value;
}

Options parse(int argc, char** argv) {
  Options out;
  errno = EINVAL;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) end(name + " without a value");
    const char* value = argv[i + 1];
    if (name == "--near") {
      out.near = value;
    } else if (name == "--far") {
      out.far = value;
    } else if (name == "--far-netns") {
      out.far_netns = value;
    } else if (name == "--delay-ms") {
      out.delay_ms = number(value);
    } else if (name == "--jitter-ms") {
      out.jitter_ms = number(value);
    } else if (name == "--loss") {
      out.loss = number(value);
    } else if (name == "--duplicate") {
      out.duplicate = number(value);
    } else if (name == "--seed") {
      out.seed = static_cast<std::uint64_t>(number(value));
    } else {
      end("unknown option " + name);
    }
  }
  if (out.near.empty() || out.far.empty() || out.far_netns.empty()) end("names are missing");
  return out;
}

void forward(Direction& out, Direction& back) {
  std::array<pollfd, 2> waits{pollfd{out.from(), POLLIN, 0}, pollfd{back.from(), POLLIN, 0}};
  for (;;) {
    const auto now = Clock::now();
    const auto next = std::min(out.write_due(now), back.write_due(now));
    timespec limit{};
    const bool forever = next == Clock::time_point::max();
    if (!forever) {
      const auto wait = std::max(next - Clock::now(), Clock::duration::zero());
      limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(wait).count();
      limit.tv_nsec = (std::chrono::nanoseconds(wait) % std::chrono::seconds(1)).count();
    }
    if (::ppoll(waits.data(), waits.size(), forever ? nullptr : &limit, nullptr) < 0 &&
        errno != EINTR) {
      end("ppoll");
    }
    if (waits[0].revents != 0) out.read_all();
    if (waits[1].revents != 0) back.read_all();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const int near = open_tun(options.near);
  const int far = open_tun_in(options.far_netns, options.far);
  std::mt19937_64 random(options.seed);
  Direction out(near, far, options, random), back(far, near, options, random);
  std::puts("ready");
  std::fflush(stdout);
  forward(out, back);
}
