#include "proxy/listener.h"

#include <sys/epoll.h>

#include <cerrno>

#include "proxy/http_forwarder.h"
#include "proxy/tcp_forwarder.h"

namespace fyr::proxy {
namespace {

constexpr int kAcceptAtOnce = 64;
constexpr Duration kFullPause = std::chrono::milliseconds(20);
constexpr Duration kNoDescriptorPause = std::chrono::milliseconds(200);

}  // namespace

ListenerThread::ListenerThread(EventLoop& loop, std::shared_ptr<ListenerShared> shared, int thread,
                               LogRing* log_ring, LogWriter* log_writer, std::uint64_t seed)
    : loop_(loop),
      shared_(std::move(shared)),
      pool_(loop, *shared_, seed),
      context_{loop,     pool_,      *shared_, shared_->counters[static_cast<std::size_t>(thread)],
               log_ring, log_writer, {},       {},
               {},       {},         {}} {
  context_.session_ended = [this](Session& session) { ended(session); };
}

ListenerThread::~ListenerThread() {
  close();
}

void ListenerThread::start_accepting(int listening_fd) {
  fd_ = listening_fd;
  loop_.add(fd_, *this, EPOLLIN);
}

void ListenerThread::close() {
  if (fd_ >= 0) close_socket(fd_);
  fd_ = -1;
  loop_.cancel_deadline(*this);
  while (Session* session = sessions_.front()) session->abort();
  pool_.close_all();
}

void ListenerThread::on_io(std::uint32_t) {
  if (fd_ >= 0 && !paused_) accept_all();
}

void ListenerThread::accept_all() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    if (shared_->connections.load(std::memory_order_relaxed) >= shared_->maxconn) {
      pause(kFullPause);
      return;
    }
    SocketAddress peer;
    const int fd = accept_connection(fd_, peer);
    if (fd < 0) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      // Out of descriptors or memory: whoever waits keeps waiting instead of being reset.
      if (errno != EAGAIN) pause(kNoDescriptorPause);
      return;
    }
    admit(fd, peer);
  }
}

void ListenerThread::admit(int fd, const SocketAddress& peer) {
  shared_->connections.fetch_add(1, std::memory_order_relaxed);
  shared_->process_connections.fetch_add(1, std::memory_order_relaxed);
  context_.counters.connections.add();
  const auto begin = [&](auto session) {
    auto& started = *session.release();
    sessions_.push_back(started);
    if (!started.start()) ended(started);
  };
  if (shared_->config.protocol == Protocol::Http) {
    begin(std::make_unique<HttpSession>(context_, fd, peer));
  } else {
    begin(std::make_unique<TcpSession>(context_, fd, peer));
  }
}

void ListenerThread::ended(Session& session) {
  session.ListLink<SessionTag>::unlink();
  shared_->connections.fetch_sub(1, std::memory_order_relaxed);
  shared_->process_connections.fetch_sub(1, std::memory_order_relaxed);
  loop_.bury(std::unique_ptr<Deferred>(&session));
}

void ListenerThread::pause(Duration wait) {
  if (paused_) return;
  paused_ = true;
  loop_.remove(fd_);
  loop_.set_deadline(*this, loop_.now() + wait);
}

void ListenerThread::on_deadline(Instant) {
  paused_ = false;
  if (fd_ < 0) return;
  loop_.add(fd_, *this, EPOLLIN);
}

}  // namespace fyr::proxy
