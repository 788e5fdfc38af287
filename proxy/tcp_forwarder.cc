#include "proxy/tcp_forwarder.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace fyr::proxy {
namespace {

constexpr std::size_t kMaxPending = 64 * 1024;
constexpr int kRoundsAtOnce = 16;
constexpr int kSpliceAfter = 2;  // receive buffers full in a row
constexpr std::size_t kSpliceAtOnce = 256 * 1024;
constexpr Duration kMaxRetryWait = std::chrono::seconds(1);

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

TcpSession::TcpSession(ForwardContext& context, int fd, const SocketAddress& peer)
    : context_(context),
      fd_(fd),
      peer_(peer),
      began_(context.loop.now()),
      began_wall_(context.loop.wall()) {}

TcpSession::~TcpSession() {
  CHECK(fd_ < 0);
}

bool TcpSession::start() {
  if (!context_.loop.add(fd_, *this, EventLoop::kEdge)) {
    close_socket(fd_);
    fd_ = -1;
    phase_ = Phase::Closed;
    return false;
  }
  start_attempt();
  return true;
}

void TcpSession::count_active(bool on) {
  if (counted_ == on || !endpoint_) return;
  counted_ = on;
  if (on) {
    context_.shared.active.fetch_add(1, std::memory_order_relaxed);
    endpoint_->active.fetch_add(1, std::memory_order_relaxed);
    endpoint_->requests_total.fetch_add(1, std::memory_order_relaxed);
  } else {
    context_.shared.active.fetch_sub(1, std::memory_order_relaxed);
    endpoint_->active.fetch_sub(1, std::memory_order_relaxed);
  }
}

void TcpSession::start_attempt() {
  phase_ = Phase::Connect;
  const ListenerConfig& config = context_.shared.config;
  std::optional<std::uint64_t> key;
  if (config.balance == Balance::Source || config.hash_on == HashOn::SourceIp) {
    key = hash_of(address_text(peer_));
  }
  const auto slot = context_.pool.pick(tried_, key);
  if (!slot) {
    give_up('S');
    return;
  }
  if (endpoint_ && endpoint_ != slot->endpoint) redispatched_ = true;
  endpoint_ = slot->endpoint;
  attempt_began_ = context_.loop.now();
  count_active(true);
  int error = 0;
  upstream_ = context_.pool.connect(slot, error);
  if (upstream_ == nullptr) {
    connect_failed('S');
    return;
  }
  upstream_->user = this;
  context_.loop.set_deadline(*this, context_.loop.now() + context_.shared.config.timeouts.connect);
}

void TcpSession::connected() {
  phase_ = Phase::Relay;
  connected_at_ = context_.loop.now();
  context_.pool.watch(upstream_->slot(), *this);
  endpoint_->note_success(connected_at_);
  if (endpoint_->troubled.load(std::memory_order_relaxed)) {
    context_.shared.report({EndpointFact::Kind::ConnectSucceeded, endpoint_->key});
  }
  arm();
}

void TcpSession::connect_failed(char cause) {
  if (upstream_ != nullptr) context_.pool.destroy(*upstream_);
  upstream_ = nullptr;
  count_active(false);
  endpoint_->failures_total.fetch_add(1, std::memory_order_relaxed);
  context_.shared.report({EndpointFact::Kind::ConnectFailed, endpoint_->key});
  tried_.push_back(endpoint_.get());
  if (retries_ >= context_.shared.config.retries.attempts) {
    give_up(cause);
    return;
  }
  ++retries_;
  endpoint_->retries_total.fetch_add(1, std::memory_order_relaxed);
  context_.counters.retries.add();
  const bool elsewhere =
      context_.pool.can_go_elsewhere({}, endpoint_.get(), UpstreamPool::Among::All);
  if (elsewhere && context_.shared.config.retries.redispatch) {
    start_attempt();
    return;
  }
  tried_.clear();
  phase_ = Phase::RetryWait;
  const Duration wait = std::min<Duration>(context_.shared.config.timeouts.connect, kMaxRetryWait);
  context_.loop.set_deadline(
      *this, context_.loop.now() + context_.pool.random().between(wait / 2, wait + Duration(1)));
}

// Nothing accepts the connection: the client gets a reset, not an orderly end it could take for an
// empty answer.
void TcpSession::give_up(char cause) {
  context_.counters.errors.add();
  flow_ended(cause, 'C', true);
}

void TcpSession::arm() {
  const auto& timeouts = context_.shared.config.timeouts;
  Duration wait = last_side_ == 'C' ? timeouts.server : timeouts.client;
  if (up_.fin_sent || down_.fin_sent) wait = timeouts.half_close;
  context_.loop.set_deadline(*this, context_.loop.now() + wait);
}

void TcpSession::on_io(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if ((events & EPOLLRDHUP) != 0 || (events & (EPOLLERR | EPOLLHUP)) != 0) up_.ending = true;
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) up_.readable = true;
  if ((events & EPOLLERR) != 0 && (phase_ != Phase::Relay || up_.eof)) {
    flow_ended('C', phase_ == Phase::Relay ? 'D' : 'C', true);
    return;
  }
  if (phase_ == Phase::Relay) pump();
}

void TcpSession::on_upstream_io(std::uint32_t events) {
  if (upstream_ == nullptr) return;
  if (phase_ == Phase::Connect) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      connect_failed('S');
      return;
    }
    if ((events & EPOLLOUT) == 0) return;
    connected();
  }
  if (phase_ != Phase::Relay) return;
  if ((events & EPOLLRDHUP) != 0 || (events & (EPOLLERR | EPOLLHUP)) != 0) down_.ending = true;
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) down_.readable = true;
  if ((events & EPOLLERR) != 0 && down_.eof) {
    flow_ended('S', 'D', true);
    return;
  }
  pump();
}

void TcpSession::pump() {
  if (!move(fd_, upstream_->fd(), up_, context_.counters.bytes_in, 'C')) return;
  if (!move(upstream_->fd(), fd_, down_, context_.counters.bytes_out, 'S')) return;
  if (up_.fin_sent && down_.fin_sent) flow_ended('-', '-', false);
}

void TcpSession::account(std::size_t bytes, ThreadCounter& counter, char side) {
  last_side_ = side;
  counter.add(bytes);
  if (side == 'S') bytes_down_ += bytes;
}

// What the pipe holds, then more through it. False: the receiver is gone. Ends with the pipe given
// back when the sender has nothing more for now.
bool TcpSession::splice(int from, int to, Way& way, ThreadCounter& counter, char side,
                        bool& moved) {
  for (int round = 0;; ++round) {
    while (way.pipe->held() > 0) {
      const auto n = way.pipe->drain(to);
      if (n < 0) return false;
      if (n == 0) return true;
      moved = true;
    }
    if (!way.readable || way.eof) break;
    if (round == kRoundsAtOnce) {
      context_.loop.run_again(*this, 0);
      return true;
    }
    bool eof = false;
    const auto n = way.pipe->fill(from, kSpliceAtOnce, eof);
    // An error is left for the next receive() to report.
    if (n < 0) break;
    if (n == 0) way.readable = false;
    if (eof) way.eof = true;
    if (n > 0) account(static_cast<std::size_t>(n), counter, side);
  }
  way.full_reads = 0;
  context_.pipes.give_back(std::move(way.pipe));
  return true;
}

// Bytes of one way as far as both sockets go along. False: the flow is over.
bool TcpSession::move(int from, int to, Way& way, ThreadCounter& counter, char side) {
  const char other = side == 'C' ? 'S' : 'C';
  const Way& reverse = side == 'C' ? down_ : up_;
  std::uint64_t written = 0;
  bool lost = way.pending.flush(to, written) == PendingBytes::Flush::Failed;
  bool moved = written > 0;
  for (int round = 0; !lost && way.pending.size() < kMaxPending; ++round) {
    if (way.full_reads >= kSpliceAfter && way.pending.empty() && !way.pipe) {
      way.pipe = context_.pipes.take();
    }
    if (way.pipe) {
      lost = !splice(from, to, way, counter, side, moved);
      if (lost || way.pipe) break;
    }
    if (!way.readable || way.eof) break;
    if (round == kRoundsAtOnce) {
      context_.loop.run_again(*this, 0);
      break;
    }
    char* buffer = context_.loop.scratch();
    const auto n = receive(from, buffer, EventLoop::kScratchBytes, way.eof);
    if (n < 0) {
      flow_ended(side, 'D', true);
      return false;
    }
    const bool full = static_cast<std::size_t>(n) == EventLoop::kScratchBytes;
    way.full_reads = full ? way.full_reads + 1 : 0;
    if (way.eof || n == 0 || (!full && !way.ending)) way.readable = false;
    if (n == 0) break;
    moved = true;
    account(static_cast<std::size_t>(n), counter, side);
    lost = !way.pending.send(to, {buffer, static_cast<std::size_t>(n)}, {}, written);
  }
  if (lost) {
    // The receiver is gone. What it said last may still be unread; it comes first.
    if (reverse.eof || !reverse.readable) {
      flow_ended(other, 'D', true);
      return false;
    }
    way.pending.release();
    way.pipe.reset();
    way.eof = true;
    return true;
  }
  if (way.eof && !way.fin_sent && way.pending.empty() && !way.pipe) {
    // The last of the two ends goes out with the close that follows.
    if (!reverse.fin_sent) ::shutdown(to, SHUT_WR);
    way.fin_sent = true;
    moved = true;
  }
  if (moved) arm();
  return true;
}

void TcpSession::on_abandoned(bool all) {
  if (all) {
    flow_ended('S', 'D', true);
  } else if (phase_ == Phase::Relay) {
    context_.pool.watch(upstream_->slot(), *this);
  }
}

void TcpSession::on_deadline(Instant) {
  switch (phase_) {
    case Phase::Connect:
      connect_failed('s');
      break;
    case Phase::RetryWait:
      start_attempt();
      break;
    case Phase::Relay: {
      // Bytes still being acknowledged are a sign of life the event loop does not show.
      const int before = stalled_at_;
      stalled_at_ = unacknowledged(fd_) + unacknowledged(upstream_->fd());
      if (stalled_at_ != 0 && stalled_at_ != before) {
        arm();
        break;
      }
      flow_ended(last_side_ == 'C' ? 's' : 'c', 'D', true);
      break;
    }
    case Phase::Closed:
      break;
  }
}

void TcpSession::abort() {
  if (phase_ != Phase::Closed) flow_ended('D', 'D', true);
}

void TcpSession::flow_ended(char cause, char phase, bool reset) {
  if (phase_ == Phase::Closed) return;
  log_flow(cause, phase);
  context_.counters.requests.add();
  phase_ = Phase::Closed;
  UpstreamUser::unlink();
  count_active(false);
  if (upstream_ != nullptr) {
    if (reset) {
      const linger now{1, 0};
      ::setsockopt(upstream_->fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    context_.pool.destroy(*upstream_);
    upstream_ = nullptr;
  }
  context_.pipes.give_back(std::move(up_.pipe));
  context_.pipes.give_back(std::move(down_.pipe));
  context_.loop.cancel_deadline(*this);
  context_.loop.forget(*this);
  if (reset) {
    reset_socket(fd_);
  } else {
    close_socket(fd_);
  }
  fd_ = -1;
  context_.session_ended(*this);
}

void TcpSession::log_flow(char cause, char phase) {
  if (context_.shared.log == nullptr || context_.log_ring == nullptr) return;
  LogEntry entry;
  entry.sink = context_.shared.log;
  entry.client = peer_;
  AccessRecord& record = entry.record;
  record.accepted = began_wall_;
  if (endpoint_) {
    record.endpoint = endpoint_->id;
    record.queue_ms = 0;
    record.endpoint_connections = endpoint_->active.load(std::memory_order_relaxed);
  }
  if (connected_at_ != Instant{}) record.connect_ms = milliseconds(connected_at_ - attempt_began_);
  record.total_ms = milliseconds(context_.loop.now() - began_);
  record.bytes = bytes_down_;
  record.termination = {cause, phase};
  record.process_connections = context_.shared.process_connections.load(std::memory_order_relaxed);
  record.listener_connections = context_.shared.connections.load(std::memory_order_relaxed);
  record.service_connections = context_.shared.active.load(std::memory_order_relaxed);
  record.retries = static_cast<std::uint32_t>(retries_);
  record.redispatched = redispatched_;
  context_.log(entry);
}

}  // namespace fyr::proxy
