#include "base/io/http_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "base/metrics.h"

namespace fyr::io::http {
namespace {

constexpr std::size_t kScratchBytes = 64 * 1024;
constexpr std::size_t kCopiedBody = 4096;    // smaller bodies join their head
constexpr std::size_t kMaxKept = 64 * 1024;  // requests behind an unanswered one
constexpr std::size_t kMaxDrained = 256 * 1024;
constexpr std::size_t kReservedBody = 256 * 1024;
constexpr std::size_t kMaxParts = 256;  // of one sendmsg
constexpr auto kStallTimeout = std::chrono::seconds(30);
constexpr auto kLingerTimeout = std::chrono::seconds(2);
constexpr auto kBodyGrace = std::chrono::seconds(30);
constexpr std::uint64_t kSlowestBody = 32 * 1024;  // bytes a second, beyond the grace
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// Bytes taken; 0 if the socket is full, -1 if it is broken.
ssize_t send_parts(int fd, iovec* parts, std::size_t count) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  const auto n = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return n < 0 && would_block(errno) ? 0 : n;
}

iovec part_of(std::string_view text) {
  return {const_cast<char*>(text.data()), text.size()};
}

}  // namespace

void Gather::clear() {
  if (text.capacity() > 1 << 20) text = {};
  text.clear();
  pieces.clear();
  run = 0;
}

void Gather::add_body(const std::shared_ptr<const std::string>& body) {
  if (body->size() <= kCopiedBody) {
    text += *body;
    return;
  }
  end_run();
  pieces.push_back({0, body->size(), body});
}

void Gather::end_run() {
  if (run < text.size()) pieces.push_back({run, text.size(), nullptr});
  run = text.size();
}

// NOLINTNEXTLINE(*-member-init): reads land in landing_ before anybody looks at it
Connection::Connection(std::shared_ptr<Shard> shard, Socket socket, const UdpPeer& peer,
                       bool is_unix)
    : shard_(std::move(shard)), socket_(std::move(socket)), peer_(peer), deadline_(Instant::max()) {
  if (!is_unix) client_ = shard_->core().client(peer.address);
}

void Connection::start() {
  update_deadline();
  arm_read();
}

void Connection::close() {
  if (closed_) return;
  const auto self = shared_from_this();  // the shard may hold the last reference
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (incoming_) release(*incoming_->exchange->slot());
  incoming_.reset();
  abandon_waiting();
  while (!slots_.empty()) drop_slot();
  unsent_.clear();
  shard_->remove(*this);
}

// Tells every handler that still works for this client. Callbacks may answer or drop exchanges, so
// they run on copies.
void Connection::abandon_waiting() {
  std::vector<std::function<void()>> callbacks;
  for (const auto& slot : slots_) {
    slot->gone.store(true);
    if (slot->abandoned) callbacks.push_back(std::exchange(slot->abandoned, nullptr));
  }
  for (const auto& callback : callbacks) callback();
}

void Connection::release(Slot& slot) {
  if (slot.counted) client_->requests.fetch_sub(1, std::memory_order_relaxed);
  slot.counted = false;
}

void Connection::drop_slot() {
  release(*slots_.front());
  slots_.front()->gone.store(true);
  slots_.erase(slots_.begin());
}

// ---- deadlines ---------------------------------------------------------------------------------

// A request in progress has none: its handler decides how long it may wait.
void Connection::update_deadline() {
  if (lingering_ || writing_) return;  // set where that began, or made progress
  const auto& options = shard_->core().options;
  if (incoming_) {
    deadline_ = incoming_->deadline;
  } else if (!slots_.empty()) {
    deadline_ = Instant::max();
  } else if (head_started_) {
    deadline_ = head_began_ + options.head_timeout;
  } else {
    deadline_ = shard_->tick() + options.idle_timeout;
  }
}

void Connection::check_deadline(Instant now) {
  if (closed_ || now < deadline_) return;
  if (lingering_ || writing_ || !(incoming_ || head_started_)) return close();
  metrics::counter("fyr.http.timeouts").add();
  refuse(408, "the request did not arrive in time");
  pump({});
}

// ---- reading -----------------------------------------------------------------------------------

// Reading goes on while a request waits, so that a client that leaves is noticed; it pauses when
// the client sends much more than it may have in progress.
void Connection::arm_read() {
  if (reading_ || closed_ || end_of_input_) return;
  if (kept_.size() >= kMaxKept && !may_parse()) return;
  reading_ = true;
  socket_.async_read_some(
      asio::buffer(landing_),
      [self = shared_from_this()](const boost::system::error_code& code, std::size_t size) {
        self->reading_ = false;
        self->on_read(code, size);
      });
}

void Connection::on_read(const boost::system::error_code& code, std::size_t size) {
  if (closed_) return;
  if (code == asio::error::eof) return on_end_of_input();
  if (code) return close();
  if (last_request_) {
    drained_ += size;
    return drained_ > kMaxDrained ? close() : arm_read();
  }
  if (size < landing_.size()) return pump({landing_.data(), size});
  // More is waiting: join it in the thread's large buffer.
  auto& input = shard_->input;
  input.resize(kScratchBytes);
  std::copy(landing_.begin(), landing_.end(), input.begin());
  const auto more =
      ::recv(socket_.native_handle(), input.data() + size, input.size() - size, MSG_DONTWAIT);
  // An end or an error comes again with the next read.
  if (more > 0) size += static_cast<std::size_t>(more);
  pump({input.data(), size});
}

// The client sends no more; it may still read, so requests in progress are answered.
void Connection::on_end_of_input() {
  end_of_input_ = true;
  if (lingering_ || (slots_.empty() && !writing_)) return close();
  abandon_waiting();
  pump({});
}

// Everything that can happen now: requests are parsed and handled, answers that are ready go out
// together, and that may make room for more requests.
void Connection::pump(std::string_view fresh) {
  if (closed_ || pumping_) return;
  const auto self = shared_from_this();
  pumping_ = true;
  if (!kept_.empty()) {
    kept_ += fresh;
    fresh = kept_;
  }
  for (;;) {
    const auto rest = parse(fresh);
    const auto waiting = slots_.size();
    const bool advanced = rest.size() < fresh.size();
    if (rest.empty()) {
      kept_ = {};  // gives its memory back
    } else if (advanced || kept_.empty()) {
      kept_ = std::string(rest);
    }
    flush();
    if (closed_) return;
    fresh = kept_;
    if (kept_.empty() || !may_parse() || (!advanced && slots_.size() == waiting)) break;
  }
  pumping_ = false;
  if (end_of_input_ && slots_.empty() && !writing_) return close();
  update_deadline();
  arm_read();
}

bool Connection::may_parse() const {
  return !closed_ && !writing_ && !last_request_ &&
         slots_.size() < shard_->core().options.max_pipelined;
}

std::string_view Connection::parse(std::string_view data) {
  while (!data.empty() && may_parse()) {
    if (!(incoming_ ? take_body(data) : take_head(data))) break;
  }
  if (last_request_ && !closed_) {
    drained_ += data.size();
    data = {};
  }
  return data;
}

bool Connection::take_head(std::string_view& data) {
  // Empty lines before a request line are to be ignored (RFC 9112 section 2.2).
  if (scanned_ == 0) {
    while (data.starts_with("\r\n")) data.remove_prefix(2);
  }
  const auto max_head = shard_->core().options.max_head_bytes;
  const auto length = find_head_end(data, scanned_);
  if (length > max_head || (length == 0 && data.size() > max_head)) {
    refuse(431, "the request's head is too large");
    return false;
  }
  if (length == 0) {
    if (!data.empty() && !head_started_) {
      head_started_ = true;
      head_began_ = shard_->tick();
    }
    return false;
  }
  head_started_ = false;
  scanned_ = 0;
  const auto head = data.substr(0, length);
  data.remove_prefix(length);
  accept_head(head);
  return true;
}

void Connection::accept_head(std::string_view head) {
  const auto& options = shard_->core().options;
  const auto slot = std::make_shared<Slot>();
  const auto exchange = std::make_shared<Exchange>(shared_from_this(), slot);
  auto& request = exchange->mutable_request();
  HttpFraming framing;
  if (const auto fault = parse_request_head(head, request, framing)) {
    return refuse(fault.status, fault.reason);
  }
  const bool is_large =
      std::ranges::find(options.large_bodies, request.path) != options.large_bodies.end();
  const std::size_t limit = is_large ? options.max_large_body_bytes : options.max_body_bytes;
  if (framing.content_length.value_or(0) > limit) {
    return refuse(413, "the request's body is too large");
  }
  slot->head_only = request.method == "HEAD";
  slot->http10 = framing.http10;
  if (client_) {
    request.remote_address = peer_.address.to_string();
    request.remote_port = peer_.port;
    slot->counted = true;
    if (client_->requests.fetch_add(1, std::memory_order_relaxed) >=
        options.max_connections_per_client) {
      release(*slot);
      metrics::counter("fyr.http.client_limit_hits").add();
      return refuse(429, "too many requests of your address are in progress");
    }
  }
  const auto length = framing.content_length.value_or(0);
  if (length == 0 && !framing.chunked) return dispatch(exchange, framing.keep_alive);
  request.body.reserve(std::min<std::size_t>(length, kReservedBody));
  incoming_ = std::make_unique<Incoming>();
  incoming_->exchange = exchange;
  incoming_->framing = framing;
  incoming_->missing = length;
  incoming_->limit = limit;
  incoming_->continue_owed = framing.expect_continue;
  const auto most = framing.chunked ? limit : length;
  incoming_->deadline = shard_->tick() + kBodyGrace + std::chrono::seconds(most / kSlowestBody);
}

bool Connection::take_body(std::string_view& data) {
  auto& body = incoming_->exchange->mutable_request().body;
  bool complete = false;
  if (incoming_->framing.chunked) {
    const auto state = incoming_->chunks.feed(data, body);
    if (state == ChunkedDecoder::State::Bad) {
      refuse(400, "malformed chunked body");
      return false;
    }
    if (body.size() > incoming_->limit) {
      refuse(413, "the request's body is too large");
      return false;
    }
    complete = state == ChunkedDecoder::State::Done;
  } else {
    const auto take =
        static_cast<std::size_t>(std::min<std::uint64_t>(incoming_->missing, data.size()));
    body.append(data.substr(0, take));
    data.remove_prefix(take);
    incoming_->missing -= take;
    complete = incoming_->missing == 0;
  }
  incoming_->continue_owed = false;  // it did not wait for our word
  if (complete) {
    const auto done = std::move(incoming_);
    dispatch(done->exchange, done->framing.keep_alive);
  }
  return true;
}

void Connection::dispatch(const std::shared_ptr<Exchange>& exchange, bool keep_alive) {
  const auto& slot = exchange->slot();
  slot->dispatched = true;
  slot->close = !keep_alive;
  last_request_ = !keep_alive;
  slots_.push_back(slot);
  try {
    shard_->core().handler(exchange);
  } catch (const std::exception& exception) {
    log::error("http", "{} {}: exception in the handler: {}", exchange->request().method,
               exchange->request().path, exception.what());
    if (!slot->ready) deliver(*slot, HttpResponse::text(500, "internal error"));
  }
}

// Answers in turn, then ends the connection: what follows on it cannot be trusted.
void Connection::refuse(int status, std::string_view reason) {
  if (incoming_) release(*incoming_->exchange->slot());
  incoming_.reset();
  auto slot = std::make_shared<Slot>();
  slot->ready = true;
  slot->close = true;
  slot->response = HttpResponse::text(status, std::string(reason) + "\n");
  slots_.push_back(std::move(slot));
  head_started_ = false;
  last_request_ = true;
  refused_ = true;
}

// ---- answers -----------------------------------------------------------------------------------

void Connection::deliver(Slot& slot, HttpResponse response) {
  if (closed_ || slot.ready) return;
  slot.response = std::move(response);
  slot.ready = true;
  const auto abandoned = std::exchange(slot.abandoned, nullptr);
  pump({});
}

void Connection::watch(Slot& slot, std::function<void()> abandoned) {
  if (slot.gone.load()) return abandoned();
  if (!slot.ready || slot.streaming) slot.abandoned = std::move(abandoned);
}

void Connection::begin_stream(Slot& slot, HttpResponse head) {
  if (closed_ || slot.ready) return;
  slot.streaming = true;
  slot.response = std::move(head);
  slot.ready = true;
  if (slot.http10) {
    slot.close = true;
    last_request_ = true;
  }
  pump({});
}

void Connection::add_chunk(Slot& slot, std::string data) {
  if (closed_ || slot.ended) return;
  slot.chunks.push_back(std::move(data));
  pump({});
}

// A stream that was dropped half way must not look complete.
void Connection::end_stream(Slot& slot, bool whole) {
  if (closed_ || slot.ended) return;
  if (!whole) return close();
  slot.ended = true;
  const auto abandoned = std::exchange(slot.abandoned, nullptr);
  pump({});
}

void Connection::flush() {
  if (closed_ || writing_ || closing_) return;
  auto& gather = shard_->gather;
  gather.clear();
  while (!slots_.empty() && slots_.front()->ready && !closing_) {
    auto& slot = *slots_.front();
    const bool whole = slot.streaming ? encode_stream(slot, gather) : encode(slot, gather);
    if (!whole) break;
    closing_ = slot.close;
    drop_slot();
  }
  if (incoming_ && incoming_->continue_owed && slots_.empty()) {
    incoming_->continue_owed = false;
    gather.text += kContinue;
  }
  gather.end_run();
  if (!gather.pieces.empty()) send(gather);
  if (!closed_ && !writing_) finish_output();
}

bool Connection::encode(Slot& slot, Gather& gather) {
  const auto& response = slot.response;
  const bool has_body = status_has_body(response.status);
  ResponseFraming framing;
  // A HEAD answer without a body may carry a Content-Length of its own.
  if (has_body && (response.body || !slot.head_only)) {
    framing.content_length = response.body ? response.body->size() : 0;
  }
  framing.close = slot.close;
  framing.say_keep_alive = slot.http10 && !slot.close;
  append_response_head(gather.text, response, framing, shard_->date());
  if (has_body && response.body && !slot.head_only) gather.add_body(response.body);
  return true;
}

bool Connection::encode_stream(Slot& slot, Gather& gather) {
  const bool chunked = !slot.http10;
  if (!slot.head_sent) {
    slot.head_sent = true;
    ResponseFraming framing;
    framing.chunked = chunked;
    framing.close = slot.close;
    append_response_head(gather.text, slot.response, framing, shard_->date());
  }
  std::size_t taken = 0;
  for (const auto& chunk : slot.chunks) {
    taken += chunk.size();
    if (slot.head_only || chunk.empty()) continue;
    if (chunked) {
      char size[24];
      const auto length = std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
      gather.text.append(size, static_cast<std::size_t>(length));
    }
    gather.text += chunk;
    if (chunked) gather.text += "\r\n";
  }
  slot.chunks.clear();
  slot.waiting.fetch_sub(taken);
  if (slot.ended && chunked && !slot.head_only) gather.text += "0\r\n\r\n";
  return slot.ended;
}

void Connection::send(Gather& gather) {
  std::array<iovec, kMaxParts> parts;  // NOLINT(*-member-init): only the first `count` are read
  std::size_t count = 0;
  const auto view_of = [&gather](const Gather::Piece& piece) {
    return piece.shared
               ? std::string_view(*piece.shared)
               : std::string_view(gather.text).substr(piece.begin, piece.end - piece.begin);
  };
  for (const auto& piece : gather.pieces) {
    if (count == kMaxParts) break;
    parts[count++] = part_of(view_of(piece));
  }
  auto sent = send_parts(socket_.native_handle(), parts.data(), count);
  if (sent < 0) return close();
  auto left = static_cast<std::size_t>(sent);
  for (const auto& piece : gather.pieces) {
    const auto text = view_of(piece);
    const auto skip = std::min(left, text.size());
    left -= skip;
    if (skip == text.size()) continue;
    if (piece.shared) {
      unsent_.push_back({{}, piece.shared, skip});
    } else {
      unsent_.push_back({std::string(text.substr(skip)), nullptr, 0});
    }
  }
  if (!unsent_.empty()) wait_writable();
}

void Connection::wait_writable() {
  writing_ = true;
  deadline_ = shard_->tick() + kStallTimeout;
  socket_.async_wait(Socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& code) {
                       if (self->closed_) return;
                       if (code) return self->close();
                       self->send_unsent();
                     });
}

void Connection::send_unsent() {
  std::array<iovec, kMaxParts> parts;  // NOLINT(*-member-init): only the first `count` are read
  std::size_t count = 0;
  for (const auto& unsent : unsent_) {
    if (count == kMaxParts) break;
    parts[count++] = part_of(unsent.rest());
  }
  const auto sent = send_parts(socket_.native_handle(), parts.data(), count);
  if (sent < 0) return close();
  auto left = static_cast<std::size_t>(sent);
  auto first = unsent_.begin();
  for (; first != unsent_.end(); ++first) {
    const auto size = first->rest().size();
    if (left < size) break;
    left -= size;
  }
  if (first != unsent_.end()) first->offset += left;
  unsent_.erase(unsent_.begin(), first);
  if (!unsent_.empty()) return wait_writable();
  unsent_ = {};
  writing_ = false;
  finish_output();
  pump({});
}

// A client that may still be sending must be able to read our answer before the connection is
// reset: close our side, throw away what comes, and give it a moment.
void Connection::finish_output() {
  if (!closing_ || lingering_ || closed_) return;
  if (end_of_input_ || (!refused_ && drained_ == 0)) return close();
  lingering_ = true;
  deadline_ = shard_->tick() + kLingerTimeout;
  ::shutdown(socket_.native_handle(), SHUT_WR);
  arm_read();
}

}  // namespace fyr::io::http
