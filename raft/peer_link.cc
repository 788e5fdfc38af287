#include "raft/peer_link.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "raft/grpc_frame.h"
#include "raft/stream_connection.h"

namespace fyr::raft {
namespace {

metrics::Counter& drops(StreamClass stream_class) {
  static metrics::Counter& control =
      metrics::counter("fyr.raft.queue_drops", {{"class", "control"}});
  static metrics::Counter& data = metrics::counter("fyr.raft.queue_drops", {{"class", "data"}});
  return stream_class == StreamClass::Control ? control : data;
}

}  // namespace

const char* method_of(StreamClass stream_class) {
  return stream_class == StreamClass::Control ? "/fyr.pb.RaftRpc/Control" : "/fyr.pb.RaftRpc/Data";
}

// Holds the call open until the link has abandoned it, so that writes may begin at any time.
//
// Never destroyed on a thread of gRPC: with the last channel of a process those threads end, and
// one of them would wait for itself.
class PeerLink::Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Stream(std::shared_ptr<PeerLink> link, const std::string& address,
         const GrpcTransportOptions& options)
      : link_(std::move(link)), stub_(connect(address, options)) {}

  void start(std::shared_ptr<Stream> self, StreamClass stream_class, grpc::ByteBuffer hello) {
    self_ = std::move(self);
    out.Swap(&hello);
    stub_.PrepareBidiStreamingCall(&context, method_of(stream_class), {}, this);
    AddHold();
    StartRead(&in);
    StartWrite(&out);
    StartCall();
  }
  void OnReadDone(bool ok) override { link_->on_read(*this, ok); }
  void OnWriteDone(bool ok) override { link_->on_write(ok); }
  void OnDone(const grpc::Status& status) override {
    const auto link = link_;
    link->on_done(status, std::move(self_));
  }

  grpc::ClientContext context;
  grpc::ByteBuffer in, out;

 private:
  const std::shared_ptr<PeerLink> link_;
  grpc::GenericStub stub_;
  std::shared_ptr<Stream> self_;  // until OnDone
};

PeerLink::PeerLink(TransportContext& context, NodeId peer, std::string address,
                   StreamClass stream_class, Events events)
    : context_(context),
      peer_(peer),
      class_(stream_class),
      events_(std::move(events)),
      address_(std::move(address)),
      queue_(stream_class == StreamClass::Control ? context.options.control
                                                  : context.options.data) {}

PeerLink::~PeerLink() = default;

void PeerLink::send(Message message) {
  bool lost = false;
  {
    std::lock_guard lock(mutex_);
    // Nothing is kept for a peer that cannot be reached: it would be stale by then.
    if (state_ != State::Open && state_ != State::Connecting) {
      drops(class_).add();
      return;
    }
    if (queue_.push(std::move(message))) return;
    drops(class_).add();
    lost = !std::exchange(overflowed_, true);
  }
  if (lost) events_.overflowed();
}

void PeerLink::flush() {
  std::unique_lock lock(mutex_);
  pump(lock);
}

void PeerLink::pump(std::unique_lock<std::mutex>& lock) {
  if (state_ != State::Open || writing_ || queue_.empty()) return;
  writing_ = true;
  const auto messages = queue_.take();
  if (queue_.empty()) overflowed_ = false;
  const auto stream = stream_;
  const std::uint64_t sequence = ++sequence_;
  lock.unlock();
  grpc::ByteBuffer frame = to_buffer(encode_messages(sequence, messages));
  lock.lock();
  if (state_ != State::Open || stream_ != stream) return;
  stream->out.Swap(&frame);
  stream->StartWrite(&stream->out);
}

void PeerLink::set_address(const std::string& address) {
  std::unique_lock lock(mutex_);
  if (address_ == address || state_ == State::Closed) return;
  address_ = address;
  failures_ = 0;
  if (state_ == State::Waiting && refused_.empty()) at_ = Instant::min();
  if (state_ == State::Open || state_ == State::Connecting) {
    stream_->context.TryCancel();
    abandon();
  }
  lock.unlock();
  events_.poke();
}

void PeerLink::hurry() {
  std::lock_guard lock(mutex_);
  if (state_ == State::Waiting && refused_.empty()) at_ = Instant::min();
}

std::optional<Instant> PeerLink::tick(Instant now) {
  std::lock_guard lock(mutex_);
  if (state_ == State::Waiting && at_ <= now) open(now);
  if (state_ == State::Connecting && at_ <= now) {
    stream_->context.TryCancel();
    abandon();
  }
  if (state_ == State::Waiting || state_ == State::Connecting) return at_;
  return std::nullopt;
}

// Under the lock.
void PeerLink::open(Instant now) {
  state_ = State::Connecting;
  at_ = now + context_.options.handshake_wait;
  refused_.clear();
  writing_ = true;  // the hello
  sequence_ = 1;
  old_.reset();
  auto stream = std::make_shared<Stream>(shared_from_this(), address_, context_.options);
  stream_ = stream;
  stream->start(stream, class_, to_buffer(encode_hello(sequence_, context_.hello(peer_))));
}

// Under the lock. No write begins after this, so the call may end; on_done() goes on.
void PeerLink::abandon() {
  state_ = State::Ending;
  stream_->RemoveHold();
}

void PeerLink::on_read(Stream& stream, bool ok) {
  std::unique_lock lock(mutex_);
  if (state_ != State::Connecting && state_ != State::Open) return;
  const bool welcome = ok && state_ == State::Connecting && take_answer(stream);
  if (!welcome) {
    if (ok) stream.context.TryCancel();
    abandon();
    return;
  }
  state_ = State::Open;
  failures_ = 0;
  stream.StartRead(&stream.in);  // sees the end of the stream
  lock.unlock();
  report(LinkState::Up, "");
  lock.lock();
  pump(lock);
}

// Under the lock. False: the peer or we refuse.
bool PeerLink::take_answer(Stream& stream) {
  const auto frame = from_buffer(stream.in, {});
  if (!frame || !frame->hello) {
    refused_ = "bad_frame";
    return false;
  }
  if (!frame->hello->refused.empty()) {
    refused_ = frame->hello->refused.substr(0, 40);
    return false;
  }
  const PeerIdentity self = context_.identity();
  refused_ = context_.guard.with(
      [&](PeerGuard& guard) { return guard.check_answer(self, peer_, *frame->hello); });
  if (refused_.empty()) return true;
  count_refusal(refused_);
  return false;
}

void PeerLink::on_write(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  // If it failed the read fails as well, or has already.
  if (ok) pump(lock);
}

void PeerLink::on_done(const grpc::Status& status, std::shared_ptr<Stream> stream) {
  std::unique_lock lock(mutex_);
  drops(class_).add(queue_.clear());
  overflowed_ = false;
  const bool adopting = refused_ == "adopting";
  Duration pause = context_.options.reconnect_min * (1 << std::min(failures_++, 10));
  pause = std::min(pause, context_.options.reconnect_max);
  // A node that has just adopted our cluster is asked again soon.
  if (!refused_.empty() && !adopting) pause = context_.options.refused_wait;
  const std::string why = refused_.empty() ? status.error_message()
                          : adopting       ? refused_
                                           : "handshake refused: " + refused_;
  lock.unlock();
  // Before the next stream can be opened, so that the changes stay in order.
  report(says_reset(status) ? LinkState::Reset : LinkState::Down, why);
  lock.lock();
  old_ = std::move(stream);
  stream_.reset();
  if (state_ != State::Closed) {
    state_ = State::Waiting;
    at_ = now() + pause;
    busy_ = true;
    lock.unlock();
    events_.poke();
    lock.lock();
    busy_ = false;
  }
  ended_.notify_all();
}

void PeerLink::report(LinkState change, const std::string& why) {
  const bool news = [&] {
    std::lock_guard lock(mutex_);
    return std::exchange(said_, why) != why;
  }();
  if (news && class_ == StreamClass::Control) {
    const std::string peer = std::to_string(peer_.value);
    if (change == LinkState::Up) {
      log::info("raft", "peer {}: connected", peer);
    } else if (why == "adopting") {
      log::info("raft", "peer {}: joins the cluster", peer);
    } else {
      log::warn("raft", "peer {}: {}", peer, why);
    }
  }
  events_.changed(change);
}

void PeerLink::close() {
  std::lock_guard lock(mutex_);
  if (state_ == State::Connecting || state_ == State::Open) {
    stream_->context.TryCancel();
    abandon();
  }
  state_ = State::Closed;
}

bool PeerLink::finished() {
  std::unique_lock lock(mutex_);
  if (state_ != State::Closed || stream_ || busy_) return false;
  const auto old = std::move(old_);
  lock.unlock();
  return true;
}

void PeerLink::await_finished() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return state_ == State::Closed && !stream_ && !busy_; });
  const auto old = std::move(old_);
  lock.unlock();
}

}  // namespace fyr::raft
