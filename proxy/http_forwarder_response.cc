// HttpSession, the endpoint's side: reading answers and relaying them.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "proxy/http1_write.h"
#include "proxy/http_forwarder.h"

namespace fyr::proxy {
namespace {

constexpr std::size_t kMaxPending = 64 * 1024;  // towards the client; then reading pauses
constexpr int kRoundsAtOnce = 16;               // of 64 KiB, before others have their turn
constexpr int kMaxInterim = 8;
constexpr Duration kCutLook = std::chrono::milliseconds(10);
constexpr std::uint64_t kSpliceFrom = 256 * 1024;  // left of a body: below, copying is cheaper

}  // namespace

void HttpSession::on_upstream_io(std::uint32_t events) {
  if (upstream_ == nullptr) return;
  const UpstreamConnection* const told = upstream_;
  if (phase_ == Phase::Connect && (events & (EPOLLERR | EPOLLHUP)) != 0) {
    attempt_failed(Failure::ConnectRefused);
  } else if ((events & EPOLLOUT) != 0 && backlog() > 0) {
    send_message();
  }
  // A retry inside may have gone on with another connection: these events are not its.
  if (upstream_ == told && phase_ == Phase::Exchange) {
    if ((events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) upstream_->ending = true;
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) upstream_->readable = true;
    read_upstream();
  }
  settle();
}

void HttpSession::read_upstream() {
  int rounds = 0;
  while (phase_ == Phase::Exchange && upstream_ != nullptr && upstream_->readable) {
    if (output_.size() > kMaxPending) return;  // goes on when the client has read
    if (++rounds > kRoundsAtOnce) {
      context_.loop.run_again(*upstream_, EPOLLIN);
      return;
    }
    if (may_splice()) {
      if (!splice_response()) return;
      continue;
    }
    bool eof = false;
    char* buffer = context_.loop.scratch();
    const auto n = receive(upstream_->fd(), buffer, EventLoop::kScratchBytes, eof);
    if (n < 0 || eof) {
      upstream_->readable = false;
      upstream_ended(n < 0);
      return;
    }
    if (n == 0 || (static_cast<std::size_t>(n) < EventLoop::kScratchBytes && !upstream_->ending)) {
      upstream_->readable = false;
    }
    if (n > 0) process_response({buffer, static_cast<std::size_t>(n)});
  }
}

bool HttpSession::may_splice() const {
  return x_.response_started && x_.response_body == http1::BodyKind::Length && output_.empty() &&
         !x_.no_splice && (pipe_ || x_.response_left >= kSpliceFrom);
}

// One round of a large plain body from socket to socket. False: nothing more to do for now.
bool HttpSession::splice_response() {
  if (!pipe_) pipe_ = context_.pipes.take();
  if (!pipe_) {
    x_.no_splice = true;
    return true;
  }
  if (pipe_->held() > 0 && !drain_pipe()) return false;
  bool eof = false;
  const auto n = pipe_->fill(upstream_->fd(), x_.response_left, eof);
  if (n < 0 || eof) {
    upstream_->readable = false;
    upstream_ended(n < 0);
    return false;
  }
  if (n == 0) {  // the pipe is empty, so it was the socket that had nothing
    upstream_->readable = false;
    return false;
  }
  const auto size = static_cast<std::uint64_t>(n);
  x_.response_left -= size;
  x_.bytes_out += size;
  context_.counters.bytes_out.add(size);
  return drain_pipe();
}

// False: the client takes no more, or the answer is complete, or the client is gone.
bool HttpSession::drain_pipe() {
  while (pipe_->held() > 0) {
    const auto n = pipe_->drain(fd_);
    if (n < 0) {
      client_lost();
      return false;
    }
    if (n == 0) {
      arm(context_.shared.config.timeouts.client);
      return false;
    }
  }
  arm(context_.shared.config.timeouts.server);
  if (x_.response_left > 0) return true;
  context_.pipes.give_back(std::move(pipe_));
  // Only what belonged to the body was taken, so the end of the socket has not been seen.
  if (upstream_->readable && is_quiet(upstream_->fd())) upstream_->readable = false;
  response_complete();
  return false;
}

void HttpSession::process_response(std::string_view data) {
  if (UpstreamUser::linked()) {
    // First byte of the answer.
    const Instant now = context_.loop.now();
    context_.pool.answered(upstream_->slot(), *this, now - sent_at_);
    x_.answered = now;
  }
  if (x_.response_started) {
    context_.out.clear();
    relay_body(data);
    return;
  }
  std::string& saved = upstream_->input;
  if (!saved.empty()) {
    saved.append(data);
    data = saved;
  }
  std::size_t used = 0;
  while (phase_ == Phase::Exchange && upstream_ != nullptr && !x_.response_started) {
    if (!response_head(data, used)) break;
  }
  if (phase_ != Phase::Exchange || upstream_ == nullptr || x_.response_started) return;
  // Not complete yet. Interim answers are used up.
  if (saved.empty()) {
    saved.assign(data.substr(used));
  } else {
    saved.erase(0, used);
  }
}

// One head at data[used...]; false if it is not complete. A final one starts the answer to the
// client, with what follows it.
bool HttpSession::response_head(std::string_view data, std::size_t& used) {
  const auto rest = data.substr(used);
  http1::Fault fault;
  const auto status = response_scanner_.scan(rest, context_.shared.head_limits, fault);
  if (status == http1::ScanStatus::NeedMore) return false;
  if (status == http1::ScanStatus::Fault ||
      !http1::parse_response_head(rest.substr(0, response_scanner_.end()),
                                  context_.shared.head_limits, x_.method, context_.response_head,
                                  fault)) {
    attempt_failed(Failure::BadResponse);
    return false;
  }
  // Some servers say 408 on a connection they are tired of; it crossed our request on the way.
  if (context_.response_head.status == 408 && context_.response_head.close && upstream_->reused &&
      http1::is_idempotent(x_.method)) {
    attempt_failed(Failure::Reset);
    return false;
  }
  const auto text = rest.substr(0, response_scanner_.end());
  used += text.size();
  response_scanner_.reset();
  if (context_.response_head.status < 200) return interim_response(text);
  begin_response();
  relay_body(data.substr(used));
  return true;
}

bool HttpSession::interim_response(std::string_view) {
  const int status = context_.response_head.status;
  if (status == 101 || ++x_.interim > kMaxInterim) {
    attempt_failed(Failure::BadResponse);
    return false;
  }
  arm(context_.shared.config.timeouts.server);
  if (status == 100) x_.hold_body = false;
  if (!x_.client_1_1) return true;
  context_.out.clear();
  http1::ReplyOptions options;
  options.keep_length = false;
  http1::append_response_head(context_.out, context_.response_head, options);
  return send_client(context_.out);
}

// Puts the head for the client into context_.out.
void HttpSession::begin_response() {
  const http1::ResponseHead& head = context_.response_head;
  x_.response_started = true;
  x_.status = head.status;
  x_.response_body = head.body;
  x_.response_left = head.content_length;
  x_.upstream_persistent = head.persistent() && head.body != http1::BodyKind::UntilClose;
  x_.hold_body = false;
  if (!x_.request_done) x_.close_after = true;  // answered before the body was read
  const bool open_ended =
      head.body == http1::BodyKind::UntilClose || head.body == http1::BodyKind::Chunked;
  if (open_ended) {
    x_.chunked_out = x_.client_1_1;
    if (!x_.client_1_1) x_.close_after = true;
    if (head.body == http1::BodyKind::Chunked) response_chunks_.reset();
  }
  Endpoint& endpoint = *x_.endpoint;
  if (head.status == 502 || head.status == 503 || head.status == 504) {
    endpoint.failures_total.fetch_add(1, std::memory_order_relaxed);
    context_.shared.report({EndpointFact::Kind::GatewayError, endpoint.key});
  } else if (head.status < 500) {
    endpoint.note_success(context_.loop.now());
    if (endpoint.troubled.load(std::memory_order_relaxed)) {
      context_.shared.report({EndpointFact::Kind::RequestSucceeded, endpoint.key});
    }
  }
  http1::ReplyOptions options;
  options.client_is_1_1 = x_.client_1_1;
  options.close = x_.close_after;
  options.chunked = x_.chunked_out;
  options.keep_length = head.status != 204 && !open_ended;
  context_.out.clear();
  http1::append_response_head(context_.out, head, options);
}

// Sends context_.out (the head, or nothing) and `data` in the client's framing with one write.
void HttpSession::relay_body(std::string_view data) {
  std::string& out = context_.out;
  bool complete = false;
  std::string_view plain;
  switch (x_.response_body) {
    case http1::BodyKind::None:
      complete = true;
      x_.extra_bytes = !data.empty();
      break;
    case http1::BodyKind::Length: {
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(x_.response_left, data.size()));
      plain = data.substr(0, size);
      x_.response_left -= size;
      complete = x_.response_left == 0;
      x_.extra_bytes = size < data.size();
      break;
    }
    case http1::BodyKind::Chunked:
      relay_chunks(data);
      return;
    case http1::BodyKind::UntilClose:
      if (x_.chunked_out && !data.empty()) {
        char size_line[18];
        out.append(size_line, http1::write_chunk_size(data.size(), size_line));
        out.append(data);
        out.append("\r\n");
      } else {
        plain = data;
      }
      break;
  }
  if (!out.empty() || !plain.empty()) {
    if (!send_client(out, plain)) return;
  }
  if (complete) {
    response_complete();
  } else {
    arm(output_.empty() ? context_.shared.config.timeouts.server
                        : context_.shared.config.timeouts.client);
  }
}

void HttpSession::relay_chunks(std::string_view data) {
  using Status = http1::ChunkDecoder::Status;
  std::string& out = context_.out;
  std::size_t used = 0;
  while (true) {
    const auto step = response_chunks_.next(data.substr(used));
    used += step.consumed;
    if (step.status == Status::Data) {
      if (x_.chunked_out) {
        char size_line[18];
        out.append(size_line, http1::write_chunk_size(step.data.size(), size_line));
        out.append(step.data);
        out.append("\r\n");
      } else {
        out.append(step.data);
      }
      continue;
    }
    if (step.status == Status::Done && x_.chunked_out) {
      out.append("0\r\n");
      out.append(response_chunks_.trailers());
      out.append("\r\n");
    }
    if (!out.empty() && !send_client(out)) return;
    if (step.status == Status::Done) {
      x_.extra_bytes = used < data.size();
      response_complete();
    } else if (step.status == Status::Fault) {
      context_.shared.report({EndpointFact::Kind::GatewayError, x_.endpoint->key});
      truncate_response('P');
    } else {
      arm(context_.shared.config.timeouts.server);
    }
    return;
  }
}

// FIN or reset from the endpoint.
void HttpSession::upstream_ended(bool reset) {
  if (!x_.response_started) {
    const bool some = upstream_ != nullptr && !upstream_->input.empty();
    attempt_failed(some ? Failure::BadResponse : Failure::Reset);
    return;
  }
  if (x_.response_body == http1::BodyKind::UntilClose && !reset) {
    x_.upstream_persistent = false;
    if (x_.chunked_out && !send_client("0\r\n\r\n")) return;
    response_complete();
    return;
  }
  context_.shared.report({EndpointFact::Kind::GatewayError, x_.endpoint->key});
  truncate_response('S');
}

void HttpSession::response_complete() {
  const bool reusable = x_.upstream_persistent && !x_.extra_bytes && x_.request_done &&
                        message_sent_ == message_.size();
  if (reusable && upstream_ != nullptr) {
    UpstreamUser::unlink();
    context_.pool.release(*upstream_);
    upstream_ = nullptr;
  }
  finish_exchange('-', '-');
}

// The answer cannot be completed: the client gets what there was and a reset, never a false end.
void HttpSession::truncate_response(char cause) {
  drop_upstream();
  log_exchange(cause, 'D');
  context_.counters.requests.add();
  context_.counters.errors.add();
  count_active(false);
  if (cause == 'c') {
    close_client(false);
    return;
  }
  phase_ = Phase::Cut;
  cut_progress_ = context_.loop.now();
  continue_cut();
}

// A reset drops what the kernel has not delivered, so it waits until nothing is left or the client
// stops reading. Acknowledgements make no event: the queue is looked at now and then.
void HttpSession::continue_cut() {
  std::uint64_t written = 0;
  const bool lost = output_.flush(fd_, written) == PendingBytes::Flush::Failed ||
                    (pipe_ && output_.empty() && pipe_->drain(fd_) < 0);
  const int before = stalled_at_;
  stalled_at_ = unacknowledged(fd_);
  const Instant now = context_.loop.now();
  if (stalled_at_ != before || written > 0) cut_progress_ = now;
  const bool stuck = now - cut_progress_ > context_.shared.config.timeouts.client;
  if (lost || stuck || (unsent() == 0 && stalled_at_ == 0)) {
    close_client(false);
  } else {
    context_.loop.set_deadline(*this, now + kCutLook);
  }
}

// False: the client is gone and this session over.
bool HttpSession::send_client(std::string_view first, std::string_view second) {
  std::uint64_t written = 0;
  const std::size_t size = first.size() + second.size();
  if (!output_.send(fd_, first, second, written)) {
    client_lost();
    return false;
  }
  x_.bytes_out += size;
  context_.counters.bytes_out.add(size);
  return true;
}

}  // namespace fyr::proxy
