// Access log lines on their way out: each io thread pushes plain records into a ring of its own,
// one writer thread formats and writes them. Forwarding never waits: a full ring drops the record
// and counts it.
//
// Threads: push() and wake() from the ring's io thread, everything else from the main thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "proxy/access_log.h"
#include "proxy/config.h"
#include "proxy/socket.h"

namespace fyr::proxy {

// Where lines of one listener go, with the names all its lines share.
struct LogSink {
  std::string listener;
  std::string service;
  bool http = true;
  int fd = -1;
  bool own_fd = false;
};

// What an io thread knows about one request or flow; texts are copied by push().
struct LogEntry {
  const LogSink* sink = nullptr;
  SocketAddress client;
  AccessRecord record;  // its string views other than request_line and endpoint are not read
};

class LogRing {
 public:
  explicit LogRing(std::size_t bytes = 1024 * 1024);
  // False: full, the record is lost (and counted by the ring).
  bool push(const LogEntry& entry);
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  friend class LogWriter;
  // One record as it lies in the ring, followed by the two texts, padded to 8 bytes.
  struct Packed;
  bool pop_into(std::string& out, int utc_offset_minutes, const LogSink*& sink);
  bool empty() const;

  std::size_t size_;
  std::size_t mask_;
  std::unique_ptr<char[]> data_;                    // not touched before it is used
  alignas(64) std::atomic<std::uint64_t> head_{0};  // written by the producer
  alignas(64) std::atomic<std::uint64_t> tail_{0};  // written by the consumer
  std::atomic<std::uint64_t> dropped_{0};
};

class LogWriter {
 public:
  LogWriter() = default;
  ~LogWriter();

  // Opens (and shares) the target. Null sink for LogTarget::None.
  Result<const LogSink*> open(const ListenerConfig& listener);
  LogRing* add_ring();
  void start();
  void stop();  // writes what is there, then ends
  bool in_use() const { return !sinks_.empty(); }
  std::uint64_t dropped() const;

  // After pushes: makes sure the writer looks within its pause. Cheap unless it sleeps.
  void wake();

 private:
  void run();
  bool drain();
  void flush(const LogSink* sink, std::string& text);

  std::vector<std::unique_ptr<LogSink>> sinks_;
  std::vector<std::unique_ptr<LogRing>> rings_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> write_errors_{0};
};

}  // namespace fyr::proxy
