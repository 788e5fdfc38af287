#include "base/io/runtime.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace fyr::io {
namespace {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using SteadyTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Executor>;

// Which runtime the calling thread belongs to, and its place in it.
thread_local const void* current_runtime = nullptr;
thread_local int current_index = -1;

}  // namespace

struct Timer::State {
  explicit State(asio::io_context& context) : timer(context) {}
  std::atomic<bool> cancelled{false};
  SteadyTimer timer;  // touched on its own thread only, or before it starts
};

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

Timer::~Timer() {
  cancel();
}

// The flag decides; the post only gives the memory back early. Without it a long timer that is
// set and cancelled often would pile up.
void Timer::cancel() {
  const auto state = std::move(state_);
  if (!state || state->cancelled.exchange(true)) return;
  asio::post(state->timer.get_executor(), [state] { state->timer.cancel(); });
}

struct Runtime::Impl {
  struct Lane {
    asio::io_context context{1};
    std::optional<asio::executor_work_guard<Executor>> work;
    std::thread thread;
  };
  std::vector<std::unique_ptr<Lane>> lanes;
  std::atomic<unsigned> round{0};
  std::atomic<bool> running{false};
};

namespace {

// An exception that reaches the loop is a bug of one handler; the other connections go on.
void run_lane(asio::io_context& context, const void* runtime, int index) {
  current_runtime = runtime;
  current_index = index;
  pthread_setname_np(pthread_self(), ("io-" + std::to_string(index)).c_str());
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception& exception) {
      log::error("io", "exception in an io handler: {}", exception.what());
    }
  }
}

}  // namespace

Runtime::Runtime(int threads) : impl_(std::make_unique<Impl>()) {
  CHECK(threads >= 1);
  for (int i = 0; i < threads; ++i) impl_->lanes.push_back(std::make_unique<Impl::Lane>());
}

Runtime::~Runtime() {
  stop();
}

void Runtime::start() {
  if (impl_->running.exchange(true)) return;
  for (int i = 0; i < size(); ++i) {
    auto& lane = *impl_->lanes[static_cast<std::size_t>(i)];
    lane.context.restart();
    lane.work.emplace(lane.context.get_executor());
    lane.thread = std::thread([&lane, this, i] { run_lane(lane.context, this, i); });
  }
}

void Runtime::stop() {
  CHECK_MSG(current() == -1, "an io thread cannot wait for its own end");
  if (!impl_->running.load()) return;
  for (auto& lane : impl_->lanes) lane->context.stop();
  for (auto& lane : impl_->lanes) {
    if (lane->thread.joinable()) lane->thread.join();
    lane->work.reset();
  }
  impl_->running.store(false);
}

bool Runtime::running() const {
  return impl_->running.load();
}

int Runtime::size() const {
  return static_cast<int>(impl_->lanes.size());
}

int Runtime::current() const {
  return current_runtime == this ? current_index : -1;
}

int Runtime::next() {
  return static_cast<int>(impl_->round.fetch_add(1, std::memory_order_relaxed) %
                          impl_->lanes.size());
}

asio::io_context& Runtime::context(int index) {
  CHECK(index >= 0 && index < size());
  return impl_->lanes[static_cast<std::size_t>(index)]->context;
}

void Runtime::post(int index, std::function<void()> task) {
  asio::post(context(index), std::move(task));
}

Timer Runtime::schedule(int index, Duration delay, std::function<void()> task) {
  Timer handle;
  const auto state = std::make_shared<Timer::State>(context(index));
  handle.state_ = state;
  // The queue owns the task, not the handle: a task that holds its own handle goes with the queue.
  auto arm = [state, delay, task = std::move(task)]() mutable {
    if (state->cancelled.load()) return;
    state->timer.expires_after(std::max(delay, Duration::zero()));
    state->timer.async_wait([state, task = std::move(task)](const boost::system::error_code& code) {
      if (code || state->cancelled.exchange(true)) return;
      task();
    });
  };
  if (current() == index) {
    arm();
  } else {
    asio::post(context(index), std::move(arm));
  }
  return handle;
}

}  // namespace fyr::io
