#include "proxy/http_forwarder.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "proxy/http1_write.h"

namespace fyr::proxy {
namespace {

constexpr Duration kLingerTime = std::chrono::seconds(1);
constexpr Duration kFreshEnough = std::chrono::seconds(1);  // for requests that cannot be replayed
constexpr std::size_t kKeepCapacity = 2048;                 // an idle client holds at most this
constexpr Duration kContinueWait = std::chrono::seconds(1);
constexpr Duration kMaxRetryWait = std::chrono::seconds(1);

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

HttpSession::HttpSession(ForwardContext& context, int fd, const SocketAddress& peer)
    : context_(context), fd_(fd), peer_(peer) {
  if (context.shared.config.forwarded_for) peer_text_ = address_text(peer);
}

HttpSession::~HttpSession() {
  CHECK(fd_ < 0);
}

bool HttpSession::start() {
  if (!context_.loop.add(fd_, *this, EventLoop::kEdge)) {
    close_socket(fd_);
    fd_ = -1;
    phase_ = Phase::Closed;
    return false;
  }
  arm(context_.shared.config.timeouts.keepalive);
  return true;
}

void HttpSession::arm(Duration wait) {
  Instant deadline = context_.loop.now() + wait;
  const Duration whole = context_.shared.config.timeouts.request;
  if (in_exchange() && !x_.response_started && x_.request_done && whole != Duration::zero()) {
    deadline = std::min(deadline, x_.began + whole);
  }
  context_.loop.set_deadline(*this, deadline);
}

// ---- attempts -----------------------------------------------------------------------------------

void HttpSession::start_attempt() {
  x_.attempt_due = false;
  x_.attempt_sent = false;
  message_sent_ = 0;
  phase_ = Phase::Connect;
  auto slot = context_.pool.pick(tried_, x_.hash_key);
  if (!slot && x_.stale_retry) {
    tried_.clear();
    slot = context_.pool.pick(tried_, x_.hash_key);
  }
  x_.stale_retry = false;
  if (!slot) {
    // After failures: all there is has been tried, and the last failure is what there is to tell.
    fail_exchange(x_.last_failure, false);
    return;
  }
  if (x_.endpoint && x_.endpoint != slot->endpoint) x_.redispatched = true;
  x_.endpoint = slot->endpoint;
  x_.attempt_began = context_.loop.now();
  count_active(true);
  const bool idempotent = http1::is_idempotent(x_.method);
  UpstreamConnection* connection = nullptr;
  if (!x_.fresh_only) {
    const Duration max_idle = idempotent ? Duration::max() : kFreshEnough;
    connection = context_.pool.take_idle(*slot, max_idle, !idempotent);
  }
  if (connection == nullptr) {
    int error = 0;
    connection = context_.pool.connect(slot, error);
    if (connection == nullptr) {
      attempt_failed(Failure::ConnectRefused);
      return;
    }
    arm(context_.shared.config.timeouts.connect);
  }
  attach(*connection);
  send_message();
}

void HttpSession::attach(UpstreamConnection& connection) {
  upstream_ = &connection;
  connection.user = this;
  response_scanner_.reset();
  if (connection.reused) {
    phase_ = Phase::Exchange;
    x_.connected = context_.loop.now();
    x_.was_connected = true;
  }
}

// Sends what is due of message_; notices that the connection has been made, or not.
void HttpSession::send_message() {
  while (upstream_ != nullptr && message_sent_ < message_.size()) {
    const auto n = send_some(upstream_->fd(), std::string_view(message_).substr(message_sent_));
    if (n < 0) {
      if (phase_ == Phase::Connect) {
        attempt_failed(Failure::ConnectRefused);
      } else if (!x_.attempt_sent) {
        attempt_failed(Failure::SendFailed);
      } else {
        // An answer may have come before the connection broke: read first.
        upstream_->ending = upstream_->readable = true;
        read_upstream();
      }
      return;
    }
    if (n == 0) return;
    if (phase_ == Phase::Connect) {
      phase_ = Phase::Exchange;
      x_.connected = context_.loop.now();
      x_.was_connected = true;
      if (x_.endpoint->troubled.load(std::memory_order_relaxed)) {
        context_.shared.report({EndpointFact::Kind::ConnectSucceeded, x_.endpoint->key});
      }
    }
    // As long as the body goes out nobody can expect the answer: the wait begins anew.
    if (!x_.attempt_sent || !x_.request_done) {
      x_.attempt_sent = true;
      sent_at_ = context_.loop.now();
      if (!x_.response_started) context_.pool.wait_for_answer(upstream_->slot(), *this);
    }
    message_sent_ += static_cast<std::size_t>(n);
    context_.counters.bytes_in.add(static_cast<std::uint64_t>(n));
    const auto& timeouts = context_.shared.config.timeouts;
    if (x_.hold_body && backlog() == 0) {
      arm(kContinueWait);
    } else {
      arm(x_.request_done || backlog() > 0 ? timeouts.server : timeouts.client);
    }
  }
  if (!x_.replayable && backlog() == 0) {
    message_.clear();
    message_sent_ = 0;
  }
}

void HttpSession::drop_upstream() {
  UpstreamUser::unlink();
  if (upstream_ != nullptr) context_.pool.destroy(*upstream_);
  upstream_ = nullptr;
}

void HttpSession::attempt_failed(Failure failure) {
  const bool reused = upstream_ != nullptr && upstream_->reused;
  drop_upstream();
  count_active(false);
  x_.last_failure = failure;
  if (x_.endpoint) {
    x_.endpoint->failures_total.fetch_add(1, std::memory_order_relaxed);
    tried_.push_back(x_.endpoint.get());
    const bool connect = failure == Failure::ConnectRefused || failure == Failure::ConnectTimeout;
    // A reused connection that dies says nothing about the endpoint: it may have been restarted.
    if (connect) {
      context_.shared.report({EndpointFact::Kind::ConnectFailed, x_.endpoint->key});
    } else if (!reused && failure != Failure::Abandoned) {
      context_.shared.report({EndpointFact::Kind::GatewayError, x_.endpoint->key});
    }
  }
  if (x_.response_started) {
    truncate_response('S');
    return;
  }
  x_.stale_retry = reused && (failure == Failure::SendFailed || failure == Failure::Reset);
  if (x_.stale_retry) x_.fresh_only = true;
  bool replay = false;
  if (!may_retry(failure, replay)) {
    fail_exchange(failure, false);
    return;
  }
  if (replay && !x_.replay_paid && !context_.shared.withdraw_replay(context_.loop.now())) {
    context_.counters.budget_exhausted.add();
    fail_exchange(failure, true);
    return;
  }
  x_.replay_paid = false;
  (replay ? context_.counters.replays : context_.counters.retries).add();
  x_.endpoint->retries_total.fetch_add(1, std::memory_order_relaxed);
  ++x_.retries;
  // Another that this request has tried already counts: two that both refuse are not worth a wait.
  const bool only_one = !x_.stale_retry && !context_.pool.can_go_elsewhere(
                                               {}, x_.endpoint.get(), UpstreamPool::Among::All);
  retry(only_one || !context_.shared.config.retries.redispatch);
}

bool HttpSession::may_retry(Failure failure, bool& replay) {
  const auto& config = context_.shared.config;
  if (failure == Failure::BadResponse || failure == Failure::NoEndpoint) return false;
  if (x_.retries >= config.retries.attempts) return false;
  const Duration used = context_.loop.now() - x_.began;
  const bool time_left =
      config.timeouts.request == Duration::zero() || used < config.timeouts.request;
  if (!time_left) return false;
  if (!x_.attempt_sent) return true;  // nothing reached the endpoint: free for every method
  replay = true;
  return http1::is_idempotent(x_.method) && x_.replayable;
}

// Another endpoint at once. The only one there is gets a pause first.
void HttpSession::retry(bool same_endpoint_later) {
  if (!same_endpoint_later) {
    start_attempt();
    return;
  }
  tried_.clear();
  phase_ = Phase::RetryWait;
  const Duration wait = std::min<Duration>(context_.shared.config.timeouts.connect, kMaxRetryWait);
  arm(context_.pool.random().between(wait / 2, wait + Duration(1)));
}

void HttpSession::fail_exchange(Failure failure, bool budget_empty) {
  if (budget_empty) {
    reply_error(503, "retry_budget", "too many requests are being repeated", 'S', 'H');
    return;
  }
  switch (failure) {
    case Failure::NoEndpoint:
      if (context_.pool.forbidden_by_residency()) {
        reply_error(503, "residency", "every endpoint is at a site that is not allowed", 'S', 'C');
        return;
      }
      reply_error(503, "no_endpoints", "no endpoint is available", 'S', 'C');
      return;
    case Failure::ConnectRefused:
      reply_error(503, "connect_failed", "no endpoint accepts connections", 'S', 'C');
      return;
    case Failure::ConnectTimeout:
      reply_error(503, "connect_failed", "connecting to the endpoints timed out", 's', 'C');
      return;
    case Failure::SendFailed:
    case Failure::Reset:
      reply_error(502, "reset", "the endpoint closed the connection without an answer", 'S', 'H');
      return;
    case Failure::Abandoned:
      reply_error(502, "host_dead", "the endpoint does not answer any more", 'S', 'H');
      return;
    case Failure::BadResponse:
      reply_error(502, "bad_response", "the endpoint sent an invalid answer", 'P', 'H');
      return;
    case Failure::ServerTimeout: {
      const Duration whole = context_.shared.config.timeouts.request;
      const bool all = whole != Duration::zero() && context_.loop.now() - x_.began >= whole;
      reply_error(504, all ? "request_timeout" : "response_timeout",
                  "the endpoint did not answer in time", 's', 'H');
      return;
    }
  }
}

void HttpSession::on_abandoned(bool all) {
  if (phase_ != Phase::Exchange || x_.response_started) return;
  if (!all) {
    bool replay = false;
    // It may still wake up: leaving it for another that is out of service gains nothing.
    const bool elsewhere =
        may_retry(Failure::Abandoned, replay) &&
        context_.pool.can_go_elsewhere(tried_, x_.endpoint.get(), UpstreamPool::Among::Healthy) &&
        context_.shared.withdraw_replay(context_.loop.now());
    if (!elsewhere) {
      context_.pool.wait_for_answer(upstream_->slot(), *this);
      return;
    }
    x_.replay_paid = true;
  }
  attempt_failed(Failure::Abandoned);
  settle();
}

// ---- the end of an exchange ---------------------------------------------------------------------

void HttpSession::count_active(bool on) {
  if (x_.counted == on) return;
  x_.counted = on;
  if (on) {
    context_.shared.active.fetch_add(1, std::memory_order_relaxed);
    x_.endpoint->active.fetch_add(1, std::memory_order_relaxed);
    x_.endpoint->requests_total.fetch_add(1, std::memory_order_relaxed);
  } else {
    context_.shared.active.fetch_sub(1, std::memory_order_relaxed);
    x_.endpoint->active.fetch_sub(1, std::memory_order_relaxed);
  }
}

void HttpSession::reply_error(int status, std::string_view reason, std::string_view text,
                              char cause, char phase) {
  drop_upstream();
  context_.counters.errors.add();
  x_.status = status;
  x_.close_after = x_.close_after || !x_.client_persistent || !x_.request_done;
  context_.out.clear();
  http1::append_error_reply(context_.out, status, reason, text, x_.method == http1::Method::Head,
                            x_.json_errors, x_.close_after);
  x_.response_started = true;
  if (!send_client(context_.out)) return;
  finish_exchange(cause, phase);
}

void HttpSession::refuse(const http1::Fault& fault, char cause, char phase) {
  drop_upstream();
  x_.close_after = true;
  x_.client_persistent = false;
  reply_error(fault.status, fault.reason, fault.text, cause, phase);
}

void HttpSession::log_exchange(char cause, char phase) {
  if (context_.shared.log == nullptr || context_.log_ring == nullptr) return;
  const Instant now = context_.loop.now();
  LogEntry entry;
  entry.sink = context_.shared.log;
  entry.client = peer_;
  AccessRecord& record = entry.record;
  record.accepted = x_.began_wall;
  if (x_.endpoint) record.endpoint = x_.endpoint->id;
  const bool read = x_.head_read != Instant{};
  if (read) record.request_ms = milliseconds(x_.head_read - x_.began);
  if (x_.endpoint) record.queue_ms = 0;
  if (x_.was_connected) record.connect_ms = milliseconds(x_.connected - x_.attempt_began);
  if (x_.answered != Instant{}) record.response_ms = milliseconds(x_.answered - x_.connected);
  record.total_ms = milliseconds(now - x_.began);
  record.status = x_.status;
  record.bytes = x_.bytes_out;
  record.termination = {cause, phase};
  record.process_connections = context_.shared.process_connections.load(std::memory_order_relaxed);
  record.listener_connections = context_.shared.connections.load(std::memory_order_relaxed);
  record.service_connections = context_.shared.active.load(std::memory_order_relaxed);
  if (x_.endpoint) {
    record.endpoint_connections = x_.endpoint->active.load(std::memory_order_relaxed);
  }
  record.retries = static_cast<std::uint32_t>(x_.retries);
  record.redispatched = x_.redispatched;
  record.request_line = read ? std::string_view(request_line_) : std::string_view();
  context_.log(entry);
}

// The answer is complete as far as it will ever be: account for it, then the next request or the
// end of the connection.
void HttpSession::finish_exchange(char cause, char phase) {
  context_.counters.requests.add();
  if (x_.status > 0) {
    context_.counters.status_class[static_cast<std::size_t>(std::min(x_.status / 100, 5))].add();
  }
  log_exchange(cause, phase);
  count_active(false);
  drop_upstream();
  const bool close = x_.close_after;
  const bool rest_unread = !x_.request_done;
  reset_exchange();
  if (close) {
    if (rest_unread || readable_ || !input_.empty()) {
      linger();
    } else {
      close_client(true);
    }
    return;
  }
  phase_ = Phase::Idle;
  context_.loop.set_deadline(*this,
                             context_.loop.now() + context_.shared.config.timeouts.keepalive);
}

void HttpSession::reset_exchange() {
  x_ = Exchange{};
  tried_.clear();
  scanner_.reset();
  message_sent_ = head_size_ = 0;
  if (message_.capacity() > kKeepCapacity) {
    message_ = std::string();
  } else {
    message_.clear();
  }
}

// Ends after the last byte has gone out, reading what the client still sends: closing with unread
// bytes would reset the connection and could take the answer away from the client.
void HttpSession::linger() {
  phase_ = Phase::Linger;
  lingered_ = 0;
  input_ = std::string();
  context_.loop.set_deadline(*this, context_.loop.now() + kLingerTime);
  if (output_.empty()) ::shutdown(fd_, SHUT_WR);
}

void HttpSession::close_client(bool gracefully) {
  if (phase_ == Phase::Closed) return;
  if (gracefully && !output_.empty()) {
    linger();
    context_.loop.set_deadline(*this, context_.loop.now() + context_.shared.config.timeouts.client);
    return;
  }
  drop_upstream();
  if (x_.endpoint) count_active(false);
  context_.pipes.give_back(std::move(pipe_));
  phase_ = Phase::Closed;
  context_.loop.cancel_deadline(*this);
  context_.loop.forget(*this);
  if (gracefully) {
    close_socket(fd_);
  } else {
    reset_socket(fd_);
  }
  fd_ = -1;
  context_.session_ended(*this);
}

void HttpSession::abort() {
  output_.release();
  close_client(!in_exchange());
}

// The kernel says "writable" only when a third of a large buffer is free: a slow client may read
// for longer than its timeout without our hearing of it. What it acknowledges tells.
bool HttpSession::client_reads() {
  const int before = stalled_at_;
  stalled_at_ = unacknowledged(fd_);
  return stalled_at_ != before;
}

void HttpSession::on_deadline(Instant) {
  const bool sending = upstream_ != nullptr && message_sent_ < message_.size();
  switch (phase_) {
    case Phase::Idle:
      close_client(true);
      break;
    case Phase::Head:
      refuse({408, "client_timeout", "the request did not arrive in time"}, 'c', 'R');
      break;
    case Phase::Connect:
      attempt_failed(Failure::ConnectTimeout);
      break;
    case Phase::RetryWait:
      start_attempt();
      break;
    case Phase::Exchange:
      if (unsent() > 0) {
        if (client_reads()) {
          arm(context_.shared.config.timeouts.client);
        } else {
          truncate_response('c');
        }
      } else if (x_.hold_body) {
        x_.hold_body = false;
        arm(context_.shared.config.timeouts.server);
      } else if (!x_.request_done && !sending) {
        if (x_.response_started) {
          truncate_response('c');
        } else {
          refuse({408, "client_timeout", "the request body did not arrive in time"}, 'c', 'D');
        }
      } else if (x_.response_started) {
        truncate_response('s');
      } else {
        attempt_failed(Failure::ServerTimeout);
      }
      break;
    case Phase::Cut:
      continue_cut();
      break;
    case Phase::Linger:
      if (!output_.empty() && client_reads()) {
        arm(context_.shared.config.timeouts.client);
      } else {
        close_client(output_.empty());
      }
      break;
    case Phase::Closed:
      break;
  }
  settle();
}

}  // namespace fyr::proxy
