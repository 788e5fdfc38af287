#include "proxy/log_writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include "base/time.h"

namespace fyr::proxy {
namespace {

constexpr auto kPause = std::chrono::milliseconds(20);  // lines gather for so long
constexpr std::size_t kWriteAt = 64 * 1024;
constexpr std::size_t kMaxEndpointName = 255;

int utc_offset_minutes() {
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(wall_now()).time_since_epoch().count();
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return static_cast<int>(parts.tm_gmtoff / 60);
}

}  // namespace

struct LogRing::Packed {
  std::uint32_t size = 0;  // of the whole record; 0: the rest of the ring is unused
  std::uint16_t endpoint_size = 0;
  std::uint16_t line_size = 0;
  const LogSink* sink = nullptr;
  sockaddr_in6 client{};  // large enough for both families
  AccessRecord record;
};

LogRing::LogRing(std::size_t bytes)
    : size_(std::bit_ceil(bytes)), mask_(size_ - 1), data_(new char[size_]) {}

bool LogRing::empty() const {
  return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_relaxed);
}

bool LogRing::push(const LogEntry& entry) {
  const auto endpoint = entry.record.endpoint.substr(0, kMaxEndpointName);
  const auto line = entry.record.request_line.substr(0, kMaxLoggedLine);
  const std::size_t size = (sizeof(Packed) + endpoint.size() + line.size() + 7) & ~std::size_t{7};
  std::uint64_t head = head_.load(std::memory_order_relaxed);
  const std::uint64_t tail = tail_.load(std::memory_order_acquire);
  // Records do not wrap: what is left at the end is skipped.
  const std::size_t to_end = size_ - (head & mask_);
  const std::size_t skip = to_end < size ? to_end : 0;
  if (head - tail + skip + size > size_) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (skip != 0) {
    const std::uint32_t none = 0;
    std::memcpy(data_.get() + (head & mask_), &none, sizeof none);
    head += skip;
  }
  char* at = data_.get() + (head & mask_);
  auto* packed = new (at) Packed;
  packed->size = static_cast<std::uint32_t>(size);
  packed->endpoint_size = static_cast<std::uint16_t>(endpoint.size());
  packed->line_size = static_cast<std::uint16_t>(line.size());
  packed->sink = entry.sink;
  std::memcpy(&packed->client, &entry.client.storage, sizeof packed->client);
  packed->record = entry.record;
  std::copy(line.begin(), line.end(),
            std::copy(endpoint.begin(), endpoint.end(), at + sizeof(Packed)));
  head_.store(head + size, std::memory_order_release);
  return true;
}

bool LogRing::pop_into(std::string& out, int offset, const LogSink*& sink) {
  std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail == head_.load(std::memory_order_acquire)) return false;
  std::uint32_t size = 0;
  std::memcpy(&size, data_.get() + (tail & mask_), sizeof size);
  if (size == 0) {
    tail += size_ - (tail & mask_);
    std::memcpy(&size, data_.get(), sizeof size);
  }
  const char* at = data_.get() + (tail & mask_);
  const auto* packed = reinterpret_cast<const Packed*>(at);
  AccessRecord record = packed->record;
  sink = packed->sink;
  SocketAddress peer;
  std::memcpy(&peer.storage, &packed->client, sizeof packed->client);
  const std::string client = address_port_text(peer);
  record.client = client;
  record.http = sink->http;
  record.listener = sink->listener;
  record.service = sink->service;
  record.endpoint = {at + sizeof(Packed), packed->endpoint_size};
  record.request_line = {at + sizeof(Packed) + packed->endpoint_size, packed->line_size};
  append_access_line(out, record, offset);
  tail_.store(tail + size, std::memory_order_release);
  return true;
}

LogWriter::~LogWriter() {
  stop();
  for (const auto& sink : sinks_) {
    if (sink->own_fd) ::close(sink->fd);
  }
}

Result<const LogSink*> LogWriter::open(const ListenerConfig& listener) {
  if (listener.access_log.target == LogTarget::None) return nullptr;
  auto sink = std::make_unique<LogSink>();
  sink->listener = listener.name;
  sink->service = listener.destination_name;
  sink->http = listener.protocol == Protocol::Http;
  sink->fd = STDOUT_FILENO;
  if (listener.access_log.target == LogTarget::File) {
    sink->fd =
        ::open(listener.access_log.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (sink->fd < 0) {
      return fail(ErrorCode::InvalidArgument,
                  "listener \"" + listener.name + "\": access_log.path " +
                      listener.access_log.path + ": " + std::generic_category().message(errno));
    }
    sink->own_fd = true;
  }
  sinks_.push_back(std::move(sink));
  return sinks_.back().get();
}

LogRing* LogWriter::add_ring() {
  rings_.push_back(std::make_unique<LogRing>());
  return rings_.back().get();
}

std::uint64_t LogWriter::dropped() const {
  std::uint64_t sum = write_errors_.load(std::memory_order_relaxed);
  for (const auto& ring : rings_) sum += ring->dropped();
  return sum;
}

void LogWriter::start() {
  if (!in_use() || thread_.joinable()) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "proxy-log");
    run();
  });
}

void LogWriter::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  condition_.notify_all();
  thread_.join();
  stopping_ = false;
}

void LogWriter::wake() {
  if (!sleeping_.load(std::memory_order_seq_cst)) return;
  {
    std::lock_guard lock(mutex_);
    sleeping_ = false;
  }
  condition_.notify_one();
}

void LogWriter::flush(const LogSink* sink, std::string& text) {
  std::string_view left = text;
  while (!left.empty()) {
    const auto n = ::write(sink->fd, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      // A full disk loses lines, never traffic.
      write_errors_.fetch_add(
          static_cast<std::uint64_t>(std::count(left.begin(), left.end(), '\n')),
          std::memory_order_relaxed);
      break;
    }
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  text.clear();
}

bool LogWriter::drain() {
  const int offset = utc_offset_minutes();
  bool any = false;
  std::string text;
  const LogSink* current = nullptr;
  for (const auto& ring : rings_) {
    std::string line;
    const LogSink* sink = nullptr;
    while (line.clear(), ring->pop_into(line, offset, sink)) {
      any = true;
      if (current != nullptr && (sink->fd != current->fd || text.size() > kWriteAt)) {
        flush(current, text);
      }
      current = sink;
      text += line;
    }
  }
  if (current != nullptr) flush(current, text);
  return any;
}

void LogWriter::run() {
  for (;;) {
    drain();
    if (stopping_) {
      drain();
      return;
    }
    std::unique_lock lock(mutex_);
    // Announce the sleep, then look once more: a push in between is seen by one of the two.
    sleeping_.store(true, std::memory_order_seq_cst);
    const bool work =
        std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return !ring->empty(); });
    if (!work) condition_.wait(lock, [this] { return !sleeping_ || stopping_; });
    sleeping_ = false;
    if (stopping_) continue;
    condition_.wait_for(lock, kPause, [this] { return stopping_.load(); });
  }
}

}  // namespace fyr::proxy
