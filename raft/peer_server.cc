#include "raft/peer_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "raft.grpc.pb.h"
#include "raft/grpc_frame.h"
#include "raft/thread_name.h"

namespace fyr::raft {
namespace {
enum class Kind { Control, Data, Snapshot };
using Service = pb::RaftRpc::WithRawCallbackMethod_Control<pb::RaftRpc::WithRawCallbackMethod_Data<
    pb::RaftRpc::WithRawCallbackMethod_Snapshot<pb::RaftRpc::Service>>>;
using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

grpc::Status status_of(std::string_view word) {
  return {grpc::StatusCode::FAILED_PRECONDITION, std::string(word)};
}
}  // namespace

class PeerServer::Impl final : public Service {
 public:
  Impl(TransportContext& c, Visit v) : context(c), visit(std::move(v)) {}

  Reactor* Control(grpc::CallbackServerContext* call) override {
    return accept(*call, Kind::Control);
  }
  Reactor* Data(grpc::CallbackServerContext* call) override { return accept(*call, Kind::Data); }
  Reactor* Snapshot(grpc::CallbackServerContext* call) override {
    return accept(*call, Kind::Snapshot);
  }

  Reactor* accept(grpc::CallbackServerContext& call, Kind kind);
  void add_reading(std::shared_ptr<Stream> stream, SnapshotRequest request);
  void read_snapshots();
  void gone(const Stream* stream);
  // The stream has said who it is: an older one of the same peer and kind ends.
  void named(const std::shared_ptr<Stream>& stream);

  TransportContext& context;
  const Visit visit;

  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex.
  std::vector<std::shared_ptr<Stream>> streams;
  bool stopped = false;
  SnapshotSource* source = nullptr;
  std::deque<std::pair<std::shared_ptr<Stream>, SnapshotRequest>> readings;  // one a stream
  std::thread reader;
};

class PeerServer::Stream final : public Reactor {
 public:
  Stream(Impl& server, grpc::CallbackServerContext& call, Kind k)
      : kind(k), opened(now()), server_(server), call_(call) {}

  // `self` keeps it until gRPC is done with it.
  void start(std::shared_ptr<Stream> self) {
    self_ = std::move(self);
    StartRead(&in_);
  }
  // A frame on its way to the peer is cut off, unless `patient`.
  void end(const grpc::Status& status, bool patient = false);
  bool is_named() {
    std::lock_guard lock(mutex_);
    return greeted_;
  }
  void answer(const SnapshotRequest& request, Result<SnapshotSource::Part> part);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { end(grpc::Status::CANCELLED); }
  void OnDone() override;

  const Kind kind;
  const Instant opened;
  NodeId peer{};  // once named

 private:
  bool greet(const Hello& hello);
  void refuse(std::string_view word);
  void take(Frame frame);
  void write(FramePieces pieces);
  void bad_frame(const Error& error);

  Impl& server_;
  grpc::CallbackServerContext& call_;
  std::shared_ptr<Stream> self_;
  grpc::ByteBuffer in_;
  StreamEnds ends_;
  std::string address_;
  std::uint64_t received_ = 0;  // frames
  std::uint64_t sent_ = 0;
  std::mutex mutex_;
  // All guarded by mutex_.
  bool greeted_ = false;
  bool ended_ = false;    // nothing begins any more
  bool writing_ = false;  // out_ is on its way
  grpc::ByteBuffer out_;
  std::deque<grpc::ByteBuffer> next_;       // at most two: the hello and one chunk
  std::optional<grpc::Status> last_words_;  // once the write is done
};

// ---- one stream ---------------------------------------------------------------------------

void PeerServer::Stream::end(const grpc::Status& status, bool patient) {
  std::lock_guard lock(mutex_);
  if (!ended_) {
    ended_ = true;
    if (!writing_) return Finish(status);
    last_words_ = status;
  }
  // A peer that does not read must not keep us when we stop or it comes back.
  if (writing_ && !patient) call_.TryCancel();
}

void PeerServer::Stream::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (last_words_) return Finish(*last_words_);
  if (ended_) return;
  if (!ok) {
    ended_ = true;
    return Finish(grpc::Status::CANCELLED);
  }
  if (next_.empty()) return;
  out_.Swap(&next_.front());
  next_.pop_front();
  writing_ = true;
  StartWrite(&out_);
}

void PeerServer::Stream::write(FramePieces pieces) {
  grpc::ByteBuffer frame = to_buffer(std::move(pieces));
  std::lock_guard lock(mutex_);
  if (ended_) return;
  if (writing_) {
    // The peer can answer before gRPC has told us that our own write is done.
    next_.emplace_back().Swap(&frame);
    return;
  }
  out_.Swap(&frame);
  writing_ = true;
  StartWrite(&out_);
}

void PeerServer::Stream::OnReadDone(bool ok) {
  if (!ok) return end(grpc::Status::OK);
  auto frame = from_buffer(in_, ends_);
  in_.Clear();
  if (!frame) return bad_frame(frame.error());
  if (frame->sequence != ++received_) {
    return bad_frame(fail(ErrorCode::Corrupt, "frame: out of sequence"));
  }
  if (peer == NodeId{}) {
    if (!frame->hello) return bad_frame(fail(ErrorCode::Corrupt, "frame: no handshake"));
    if (!greet(*frame->hello)) return;
  } else {
    take(std::move(*frame));
  }
  std::lock_guard lock(mutex_);
  if (!ended_) StartRead(&in_);
}

// False: refused.
bool PeerServer::Stream::greet(const Hello& hello) {
  TransportContext& context = server_.context;
  const PeerIdentity self = context.identity();
  if (self.node == NodeId{}) {
    end({grpc::StatusCode::UNAVAILABLE, "not started"});
    return false;
  }
  const std::string_view word =
      context.guard.with([&](PeerGuard& guard) { return guard.check_opening(self, hello, now()); });
  if (!word.empty()) {
    refuse(word);
    if (word == "adopting") {
      context.receiver.adopted(hello.self.cluster, hello.self.recovery_epoch);
    }
    return false;
  }
  peer = hello.self.node;
  ends_ = {peer, self.node, hello.self.incarnation};
  address_ = hello.address;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    greeted_ = true;
  }
  write(encode_hello(++sent_, context.hello(peer)));
  server_.named(self_);
  server_.visit(peer, address_, 1);
  return true;
}

void PeerServer::Stream::refuse(std::string_view word) {
  count_refusal(word);
  Hello answer = server_.context.hello({});
  answer.refused = word;
  std::lock_guard lock(mutex_);
  if (ended_) return;
  ended_ = true;
  out_ = to_buffer(encode_hello(++sent_, answer));
  writing_ = true;
  StartWriteAndFinish(&out_, {}, status_of(word));
}

void PeerServer::Stream::take(Frame frame) {
  if (kind != Kind::Snapshot) {
    if (!frame.messages.empty()) server_.context.receiver.messages(std::move(frame.messages));
  } else if (frame.snapshot_request) {
    server_.add_reading(self_, std::move(*frame.snapshot_request));
  }
}

void PeerServer::Stream::bad_frame(const Error& error) {
  metrics::counter("fyr.raft.bad_frames").add();
  const bool paused = peer != NodeId{} && server_.context.guard.with([&](PeerGuard& guard) {
    return guard.bad_frame(peer, now());
  });
  log::warn("raft", "peer {}: {}{}", peer.value, error.message,
            paused ? ": not listening to it for 30 s" : "");
  end({grpc::StatusCode::DATA_LOSS, error.message}, /*patient=*/true);
}

void PeerServer::Stream::answer(const SnapshotRequest& request, Result<SnapshotSource::Part> part) {
  SnapshotChunk chunk;
  if (part) {
    chunk.file_size = part->file_size;
    chunk.data = std::make_shared<const std::string>(std::move(part->bytes));
  } else {
    chunk.error = request.id + ": " + part.error().message;
  }
  write(encode_snapshot_chunk(++sent_, std::move(chunk)));
}

void PeerServer::Stream::OnDone() {
  if (peer != NodeId{}) server_.visit(peer, address_, -1);
  const auto keep = std::move(self_);
  server_.gone(this);
}

// ---- all of them --------------------------------------------------------------------------

Reactor* PeerServer::Impl::accept(grpc::CallbackServerContext& call, Kind kind) {
  auto stream = std::make_shared<Stream>(*this, call, kind);
  bool full = false;
  {
    std::lock_guard lock(mutex);
    full = stopped || streams.size() >= context.options.max_inbound;
    // Also one that is refused at once: stop() waits for it.
    streams.push_back(stream);
  }
  stream->start(stream);
  if (full) stream->end({grpc::StatusCode::UNAVAILABLE, "stopping, or too many streams"});
  return stream.get();
}

void PeerServer::Impl::named(const std::shared_ptr<Stream>& stream) {
  std::vector<std::shared_ptr<Stream>> older;
  {
    std::lock_guard lock(mutex);
    for (const auto& other : streams) {
      if (other != stream && other->kind == stream->kind && other->is_named() &&
          other->peer == stream->peer) {
        older.push_back(other);
      }
    }
  }
  for (const auto& other : older) {
    other->end({grpc::StatusCode::ABORTED, "a newer stream took over"});
  }
}

void PeerServer::Impl::gone(const Stream* stream) {
  std::lock_guard lock(mutex);
  std::erase_if(streams, [&](const auto& other) { return other.get() == stream; });
  changed.notify_all();
}

void PeerServer::Impl::add_reading(std::shared_ptr<Stream> stream, SnapshotRequest request) {
  {
    std::lock_guard lock(mutex);
    if (stopped) return;
    // The next request comes after the answer to this one; a peer that does not wait loses it.
    const bool waits = std::any_of(readings.begin(), readings.end(),
                                   [&](const auto& other) { return other.first == stream; });
    if (waits) return;
    readings.emplace_back(std::move(stream), std::move(request));
    if (!reader.joinable()) reader = std::thread([this] { read_snapshots(); });
  }
  changed.notify_all();
}

void PeerServer::Impl::read_snapshots() {
  name_this_thread("raft-snap-out");
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return stopped || !readings.empty(); });
    if (stopped) return;
    const auto [stream, request] = std::move(readings.front());
    readings.pop_front();
    SnapshotSource* const from = source;
    lock.unlock();
    const std::size_t most =
        std::min<std::size_t>(request.max_bytes, context.options.snapshot_chunk);
    stream->answer(request, from ? from->read(request.id, request.file, request.offset, most)
                                 : Result<SnapshotSource::Part>(
                                       fail(ErrorCode::NotFound, "there are no snapshots here")));
    lock.lock();
  }
}

PeerServer::PeerServer(TransportContext& context, Visit visit)
    : impl_(std::make_unique<Impl>(context, std::move(visit))) {}

PeerServer::~PeerServer() {
  stop();
}

grpc::Service& PeerServer::service() {
  return *impl_;
}

void PeerServer::serve_snapshots(SnapshotSource* source) {
  std::lock_guard lock(impl_->mutex);
  impl_->source = source;
}

std::optional<Instant> PeerServer::tick(Instant now) {
  std::vector<std::shared_ptr<Stream>> late;
  std::optional<Instant> next;
  {
    std::lock_guard lock(impl_->mutex);
    for (const auto& stream : impl_->streams) {
      if (stream->is_named()) continue;
      const Instant until = stream->opened + impl_->context.options.handshake_wait;
      if (until <= now) {
        late.push_back(stream);
      } else {
        next = next ? std::min(*next, until) : until;
      }
    }
  }
  for (const auto& stream : late) {
    stream->end({grpc::StatusCode::DEADLINE_EXCEEDED, "no handshake"});
  }
  return next;
}

void PeerServer::stop() {
  std::vector<std::shared_ptr<Stream>> all;
  std::thread reader;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopped = true;
    all = impl_->streams;
    impl_->readings.clear();
    reader.swap(impl_->reader);
  }
  impl_->changed.notify_all();
  if (reader.joinable()) reader.join();
  for (const auto& stream : all) stream->end({grpc::StatusCode::UNAVAILABLE, "stopping"});
  all.clear();
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->streams.empty(); });
}

}  // namespace fyr::raft
