// The forwarding part of one io thread: an epoll set of its own inside the thread's io_context,
// a wheel of deadlines, the time of the current batch and a shared receive buffer.
//
// Why not Asio's sockets: each wait there costs a system call or a failed read besides; here a
// descriptor is registered once, edge-triggered, and a whole batch of events costs two calls.
//
// Everything belongs to the io thread, except that the constructor and destructor may run
// elsewhere while nothing is registered.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "proxy/timer_wheel.h"

namespace boost::asio {
class io_context;
}

namespace fyr::proxy {

// Gets the epoll events of its descriptor.
class IoHandler {
 public:
  virtual void on_io(std::uint32_t events) = 0;

 protected:
  ~IoHandler() = default;
};

// Anything whose destruction must wait until no event of the batch can point to it.
class Deferred {
 public:
  virtual ~Deferred() = default;
};

class EventLoop {
 public:
  static constexpr std::size_t kScratchBytes = 64 * 1024;

  explicit EventLoop(boost::asio::io_context& context);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  Result<void> open();  // on the io thread
  void close();         // on the io thread; no handler runs afterwards

  // Registered until the descriptor is closed. Connections use kEdge.
  static const std::uint32_t kEdge;  // in, out, hang-up; once per change
  bool add(int fd, IoHandler& handler, std::uint32_t events);
  void remove(int fd);

  // Time as of the current batch (deadlines and log stamps need no more).
  Instant now() const { return now_; }
  WallTime wall() const { return wall_; }

  void set_deadline(Timed& element, Instant deadline) {
    wheel_.set(element, deadline);
    if (deadline < timer_armed_for_) deadlines_moved_ = true;
  }
  void cancel_deadline(Timed& element) { wheel_.cancel(element); }

  // One receive buffer for all connections: what a handler reads it uses, sends on or copies
  // before it returns, so an idle connection holds no buffer.
  char* scratch() { return scratch_.get(); }

  // Destroys `object` after the batch.
  void bury(std::unique_ptr<Deferred> object) { graveyard_.push_back(std::move(object)); }
  // Calls handler.on_io(events) once more in the next round; for work cut short for fairness. The
  // handler must call forget() when it goes.
  void run_again(IoHandler& handler, std::uint32_t events);
  void forget(IoHandler& handler);
  // Runs `task` like a batch: with fresh time, deferred destruction and deadlines looked after.
  void run(const std::function<void()>& task);

 private:
  struct Asio;
  void batch();
  void begin();
  void finish();
  void arm_timer();

  std::shared_ptr<Asio> asio_;
  int epoll_ = -1;
  Instant now_;
  WallTime wall_;
  TimerWheel wheel_;
  Instant timer_armed_for_ = Instant::max();
  bool deadlines_moved_ = false;
  std::unique_ptr<char[]> scratch_;
  std::vector<std::unique_ptr<Deferred>> graveyard_;
  struct Again {
    IoHandler* handler;
    std::uint32_t events;
  };
  std::vector<Again> again_;
};

}  // namespace fyr::proxy
