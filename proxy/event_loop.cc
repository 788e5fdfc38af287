#include "proxy/event_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>

namespace fyr::proxy {
namespace {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
constexpr int kMaxEvents = 256;
constexpr int kMaxRounds = 8;  // of them, before the thread's other work has its turn

}  // namespace

const std::uint32_t EventLoop::kEdge = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

// Handlers inside Asio hold it weakly: what fires after close() finds nothing.
struct EventLoop::Asio : std::enable_shared_from_this<EventLoop::Asio> {
  Asio(asio::io_context& the_context, EventLoop& the_loop)
      : context(the_context), descriptor(the_context), timer(the_context), loop(&the_loop) {}

  void wait() {
    descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                          [weak = weak_from_this()](const boost::system::error_code& code) {
                            const auto self = weak.lock();
                            if (code || !self || self->loop == nullptr) return;
                            self->loop->batch();
                            self->wait_if_open();
                          });
  }
  void wait_if_open() {
    if (loop != nullptr) wait();
  }
  void arm(Instant when) {
    timer.expires_after(std::max<Duration>(when - fyr::now(), Duration::zero()));
    timer.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
      const auto self = weak.lock();
      if (code || !self || self->loop == nullptr) return;
      self->loop->timer_armed_for_ = Instant::max();
      self->loop->run([] {});
    });
  }

  asio::io_context& context;
  asio::posix::basic_stream_descriptor<Executor> descriptor;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer;
  EventLoop* loop;
};

EventLoop::EventLoop(asio::io_context& context)
    : asio_(std::make_shared<Asio>(context, *this)),
      now_(fyr::now()),
      wall_(wall_now()),
      wheel_(now_),
      scratch_(new char[kScratchBytes]) {}

EventLoop::~EventLoop() {
  // After close() a timer's last handler may be looking at it on the io thread: not written again.
  if (asio_->loop != nullptr) asio_->loop = nullptr;
}

Result<void> EventLoop::open() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0)
    return fail(ErrorCode::ResourceExhausted,
                std::string("epoll: ") + std::generic_category().message(errno));
  boost::system::error_code code;
  asio_->descriptor.assign(epoll_, code);
  if (code) return fail(ErrorCode::Internal, "epoll: " + code.message());
  asio_->wait();
  return {};
}

void EventLoop::close() {
  asio_->loop = nullptr;
  boost::system::error_code ignored;
  asio_->descriptor.close(ignored);  // closes epoll_
  asio_->timer.cancel();
  epoll_ = -1;
  again_.clear();
  graveyard_.clear();
}

bool EventLoop::add(int fd, IoHandler& handler, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventLoop::remove(int fd) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::begin() {
  now_ = fyr::now();
  wall_ = wall_now();
}

void EventLoop::finish() {
  if (asio_->loop == nullptr) return;
  wheel_.advance(now_);
  if (deadlines_moved_ || timer_armed_for_ == Instant::max()) arm_timer();
  // A destructor may bury more.
  while (!graveyard_.empty()) {
    auto dead = std::move(graveyard_);
    graveyard_.clear();
    dead.clear();
  }
}

void EventLoop::arm_timer() {
  deadlines_moved_ = false;
  const auto next = wheel_.next_deadline();
  if (!next || *next >= timer_armed_for_) return;
  timer_armed_for_ = *next;
  asio_->arm(*next);
}

// A full array may have left some out: they are fetched at once. Those left even then are not
// lost either: waiting anew for the epoll descriptor reports it again while anything is ready.
void EventLoop::batch() {
  std::array<epoll_event, kMaxEvents> events;
  int count = kMaxEvents;
  for (int round = 0; count == kMaxEvents && round < kMaxRounds && epoll_ >= 0; ++round) {
    count = ::epoll_wait(epoll_, events.data(), kMaxEvents, 0);
    begin();
    for (int i = 0; i < count; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      static_cast<IoHandler*>(event.data.ptr)->on_io(event.events);
    }
    finish();
  }
}

void EventLoop::run(const std::function<void()>& task) {
  begin();
  task();
  finish();
}

void EventLoop::run_again(IoHandler& handler, std::uint32_t events) {
  again_.push_back({&handler, events});
  if (again_.size() > 1) return;
  asio::post(asio_->context, [weak = asio_->weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->loop == nullptr) return;
    EventLoop& loop = *self->loop;
    loop.run([&loop] {
      std::vector<Again> round;
      round.swap(loop.again_);
      // One that an earlier of them closed is only buried so far: it sees that itself.
      for (const Again& entry : round) entry.handler->on_io(entry.events);
    });
  });
}

void EventLoop::forget(IoHandler& handler) {
  std::erase_if(again_, [&](const Again& entry) { return entry.handler == &handler; });
}

}  // namespace fyr::proxy
