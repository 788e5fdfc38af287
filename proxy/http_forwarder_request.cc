// HttpSession, the client's side: reading requests and their bodies.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "proxy/http1_write.h"
#include "proxy/http_forwarder.h"

namespace fyr::proxy {
namespace {

constexpr std::size_t kMaxBacklog = 64 * 1024;  // towards the endpoint; then reading pauses
constexpr std::size_t kMaxUnread = 64 * 1024;   // answers waiting; no further request is read then
constexpr std::size_t kMaxLinger = 64 * 1024;   // read and thrown away after the last answer

bool accepts_json(const http1::RequestHead& head) {
  for (const auto& field : head.fields) {
    if (field.name.size() == 6 && http1::iequals(field.name, "accept")) {
      return field.value.find("json") != std::string_view::npos;
    }
  }
  return false;
}

}  // namespace

void HttpSession::on_io(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    client_lost();
    return;
  }
  if (phase_ == Phase::Cut) {
    continue_cut();
    return;
  }
  if ((events & EPOLLRDHUP) != 0) client_fin_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && unsent() > 0) client_writable();
  if (phase_ != Phase::Closed) settle();
}

// The client takes bytes again.
void HttpSession::client_writable() {
  std::uint64_t written = 0;
  const auto result = output_.flush(fd_, written);
  if (result == PendingBytes::Flush::Failed) {
    client_lost();
    return;
  }
  if (phase_ == Phase::Exchange && written > 0) arm(context_.shared.config.timeouts.server);
  if (result == PendingBytes::Flush::Empty && phase_ == Phase::Linger) ::shutdown(fd_, SHUT_WR);
  if (pipe_ && output_.empty() && !drain_pipe()) return;
  if (phase_ == Phase::Exchange && upstream_ != nullptr && upstream_->readable) read_upstream();
}

// The connection to the client is gone: nobody is left to answer.
void HttpSession::client_lost() {
  if (phase_ == Phase::Linger) {  // our last bytes may still be on their way: no reset
    output_.release();
    close_client(true);
    return;
  }
  if (in_exchange() || phase_ == Phase::Head) {
    const char phase = !x_.request_done && phase_ != Phase::Head
                           ? 'D'
                           : (phase_ == Phase::Head ? 'R' : (x_.response_started ? 'D' : 'H'));
    if (phase_ == Phase::Connect || phase_ == Phase::RetryWait) {
      log_exchange('C', 'C');
    } else {
      log_exchange('C', phase);
    }
    context_.counters.requests.add();
  }
  close_client(false);
}

// Everything that became possible: called last by every entry point.
void HttpSession::settle() {
  if (settling_) return;
  settling_ = true;
  while (phase_ != Phase::Closed) {
    if (!input_.empty() && wants_input()) {
      const std::size_t before = input_.size();
      const std::size_t used = consume(input_);
      if (phase_ == Phase::Closed) break;
      input_.erase(0, used);
      if (input_.empty() && input_.capacity() > 2048) input_ = std::string();
      if (input_.size() != before) continue;
    }
    if (!readable_ || !wants_input()) break;
    read_client();
  }
  settling_ = false;
}

bool HttpSession::wants_input() const {
  switch (phase_) {
    case Phase::Idle:
    case Phase::Head:
      return output_.size() < kMaxUnread;
    case Phase::Linger:
      return true;
    case Phase::Connect:
    case Phase::RetryWait:
    case Phase::Exchange:
      return !x_.request_done && !x_.hold_body && backlog() < kMaxBacklog;
    case Phase::Cut:
    case Phase::Closed:
      return false;
  }
  return false;
}

void HttpSession::read_client() {
  bool eof = false;
  char* buffer = context_.loop.scratch();
  const auto n = receive(fd_, buffer, EventLoop::kScratchBytes, eof);
  if (n < 0) {
    client_lost();
    return;
  }
  if (eof) {
    readable_ = false;
    client_fin_ = true;
    client_finished();
    return;
  }
  // Edge-triggered: less than asked for means drained, unless the end is still to be read.
  if (n == 0 || (static_cast<std::size_t>(n) < EventLoop::kScratchBytes && !client_fin_)) {
    readable_ = false;
  }
  if (n > 0) take_input({buffer, static_cast<std::size_t>(n)});
}

void HttpSession::take_input(std::string_view bytes) {
  if (!input_.empty()) {
    input_.append(bytes);
    const std::size_t used = consume(input_);
    if (phase_ != Phase::Closed) input_.erase(0, used);
    return;
  }
  const std::size_t used = consume(bytes);
  if (phase_ != Phase::Closed && used < bytes.size()) input_.assign(bytes.substr(used));
}

// The client has closed its side, all it sent has been read.
void HttpSession::client_finished() {
  switch (phase_) {
    case Phase::Idle:
    case Phase::Linger:
      close_client(true);
      return;
    case Phase::Head:
      log_exchange('C', 'R');
      close_client(true);
      return;
    default:
      if (!x_.request_done) client_lost();  // a cut body is never passed off as whole
  }
}

// Uses as much of `data` as the state allows; the rest comes again.
std::size_t HttpSession::consume(std::string_view data) {
  std::size_t used = 0;
  while (phase_ != Phase::Closed) {
    const auto rest = data.substr(used);
    if (phase_ == Phase::Linger) {
      lingered_ += rest.size();
      if (lingered_ > kMaxLinger) close_client(false);
      return data.size();
    }
    if (phase_ == Phase::Idle || phase_ == Phase::Head) {
      if (rest.empty() || !read_head(rest, used)) return used;
      continue;
    }
    if (!x_.request_done && !x_.hold_body && !rest.empty() && backlog() < kMaxBacklog) {
      const std::size_t taken = absorb_body(rest);
      used += taken;
      if (phase_ == Phase::Idle || phase_ == Phase::Linger || phase_ == Phase::Closed) continue;
    }
    if (x_.attempt_due) {
      start_attempt();
    } else if (phase_ == Phase::Exchange && backlog() > 0) {
      send_message();
    }
    if (in_exchange() || phase_ == Phase::Cut) return used;
  }
  return used;
}

// A complete head at the start of `data` begins an exchange; `used` then grows by its size.
bool HttpSession::read_head(std::string_view data, std::size_t& used) {
  if (phase_ == Phase::Idle) {
    phase_ = Phase::Head;
    x_.began = context_.loop.now();
    x_.began_wall = context_.loop.wall();
    // The next deadline is set again when the head is complete, as it mostly is at once.
  }
  http1::Fault fault;
  const auto status = scanner_.scan(data, context_.shared.head_limits, fault);
  if (status == http1::ScanStatus::Fault) {
    used += data.size();
    refuse(fault, 'P', 'R');
    return true;
  }
  if (status == http1::ScanStatus::NeedMore) {
    // Absolute from the first byte: a trickle does not extend it.
    context_.loop.set_deadline(*this, x_.began + context_.shared.config.timeouts.request_header);
    return false;
  }
  const auto text = data.substr(scanner_.begin(), scanner_.end() - scanner_.begin());
  used += scanner_.end();
  begin_exchange(text);
  return true;
}

// Absent if the request lacks what the listener hashes on.
std::optional<std::uint64_t> HttpSession::hash_key(const http1::RequestHead& head) const {
  const ListenerConfig& config = context_.shared.config;
  if (config.balance == Balance::Source) return hash_of(address_text(peer_));
  switch (config.hash_on) {
    case HashOn::None:
      return {};
    case HashOn::SourceIp:
      return hash_of(address_text(peer_));
    case HashOn::Path:
      return hash_of(head.path.substr(0, head.path.find('?')));
    case HashOn::Header:
      for (const auto& field : head.fields) {
        if (http1::iequals(field.name, config.hash_name)) return hash_of(field.value);
      }
      return {};
    case HashOn::Cookie:
      for (const auto& field : head.fields) {
        if (!http1::iequals(field.name, "cookie")) continue;
        if (const auto value = http1::cookie(field.value, config.hash_name)) return hash_of(*value);
      }
      return {};
  }
  return {};
}

void HttpSession::begin_exchange(std::string_view text) {
  const ListenerConfig& config = context_.shared.config;
  http1::RequestHead& head = context_.request_head;
  http1::Fault fault;
  const bool good = http1::parse_request_head(text, context_.shared.head_limits, head, fault);
  if (context_.shared.log != nullptr) {
    request_line_.assign(text.substr(0, std::min(text.find("\r\n"), kMaxLoggedLine)));
  }
  x_.head_read = context_.loop.now();
  x_.method = head.method;
  x_.client_1_1 = head.minor > 0;
  x_.json_errors = good && accepts_json(head);
  if (!good) {
    refuse(fault, 'P', 'R');
    return;
  }
  phase_ = Phase::Connect;
  x_.client_persistent = head.persistent();
  x_.close_after = !x_.client_persistent;
  x_.body = head.body;
  x_.body_left = head.content_length;
  x_.request_done = head.body == http1::BodyKind::None ||
                    (head.body == http1::BodyKind::Length && head.content_length == 0);
  x_.hold_body = head.expect_continue && !x_.request_done;
  if (head.body == http1::BodyKind::Chunked) request_chunks_.reset();
  http1::ForwardOptions options;
  if (config.forwarded_for) options.client_address = peer_text_;
  if (config.via) {
    options.pseudonym = context_.shared.pseudonym;
    if (http1::count_via(head, options.pseudonym) >= 2) {
      refuse({508, "loop", "the request has passed here before"}, 'P', 'R');
      return;
    }
  }
  if (config.limits.max_body != 0 && head.content_length > config.limits.max_body) {
    refuse({413, "body_size", "the request body is too large"}, 'P', 'R');
    return;
  }
  x_.hash_key = hash_key(head);
  options.default_host = config.destination_name;
  message_.clear();
  message_sent_ = 0;
  http1::append_request_head(message_, head, options);
  head_size_ = message_.size();
  x_.attempt_due = true;
}

void HttpSession::append_body(std::string_view bytes) {
  message_.append(bytes);
  if (x_.replayable && message_.size() - head_size_ > context_.shared.config.retries.body_buffer) {
    x_.replayable = false;
    // The kernel's patience with unacknowledged bytes includes a full receive window, which a
    // slow reader of a large upload may well have.
    if (upstream_ != nullptr) {
      set_user_timeout(upstream_->fd(), context_.shared.config.timeouts.server);
      upstream_->long_timeout = true;
    }
  }
}

std::size_t HttpSession::absorb_body(std::string_view data) {
  if (x_.body == http1::BodyKind::Chunked) return absorb_chunks(data);
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(x_.body_left, data.size()));
  append_body(data.substr(0, size));
  x_.body_left -= size;
  x_.body_bytes += size;
  x_.request_done = x_.body_left == 0;
  return size;
}

// Re-frames chunk by chunk: extensions go, trailers that mean something elsewhere go.
std::size_t HttpSession::absorb_chunks(std::string_view data) {
  using Status = http1::ChunkDecoder::Status;
  std::size_t used = 0;
  while (true) {
    const auto step = request_chunks_.next(data.substr(used));
    used += step.consumed;
    if (step.status == Status::Data) {
      char size_line[18];
      append_body({size_line, http1::write_chunk_size(step.data.size(), size_line)});
      append_body(step.data);
      append_body("\r\n");
      x_.body_bytes += step.data.size();
      const auto limit = context_.shared.config.limits.max_body;
      if (limit != 0 && x_.body_bytes > limit) {
        used = data.size();
        if (x_.response_started) {
          truncate_response('P');
        } else {
          refuse({413, "body_size", "the request body is too large"}, 'P', 'R');
        }
        return used;
      }
      continue;
    }
    if (step.status == Status::Done) {
      append_body("0\r\n");
      append_body(request_chunks_.trailers());
      append_body("\r\n");
      x_.request_done = true;
    } else if (step.status == Status::Fault) {
      used = data.size();
      if (x_.response_started) {
        truncate_response('P');
      } else {
        refuse({400, "framing", step.text}, 'P', 'R');
      }
    }
    return used;
  }
}

}  // namespace fyr::proxy
