// The io threads: n single-threaded Asio io_contexts. A connection lives and dies on one of them;
// crossing threads means posting a value. Asio headers stay out of this one.
//
// Threading: start/stop from the main thread; post and schedule from any thread.
#pragma once

#include <functional>
#include <memory>

#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace fyr::io {

class Runtime;

// A one-shot timer on one io thread. Destroying or cancelling it off its thread is allowed: the
// callback then either has run, runs now, or never will; captured state must outlive that (use
// weak_ptr).
class Timer {
 public:
  Timer() = default;
  Timer(Timer&&) noexcept = default;
  Timer& operator=(Timer&&) noexcept;
  ~Timer();
  void cancel();

 private:
  friend class Runtime;
  struct State;
  std::shared_ptr<State> state_;
};

class Runtime {
 public:
  explicit Runtime(int threads);
  ~Runtime();  // stops
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  void start();
  void stop();  // ends the threads; queued work that did not run is dropped

  // Whether tasks are being run. Objects use it to know that nobody else touches them any more.
  bool running() const;
  int size() const;
  int current() const;  // index of the calling io thread, -1 if none
  int next();           // round robin, for spreading long-lived objects
  boost::asio::io_context& context(int index);
  void post(int index, std::function<void()> task);
  [[nodiscard]] Timer schedule(int index, Duration delay, std::function<void()> task);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::io
