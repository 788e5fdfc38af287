#include "raft/snapshot_pull.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/metrics.h"
#include "raft/grpc_frame.h"
#include "raft/stream_connection.h"
#include "raft/thread_name.h"

namespace fyr::raft {
namespace {

constexpr Duration kRetry = std::chrono::milliseconds(500);

// A stream with blocking calls: one frame there, one frame back.
class Exchange {
 public:
  Exchange(const std::string& address, const GrpcTransportOptions& options)
      : call_(address, options) {
    call_.start();
  }
  ~Exchange() { call_.end(); }

  // None: the stream broke, or nothing came in time.
  std::optional<Frame> ask(FramePieces pieces, Duration patience) {
    return call_.ask(to_buffer(std::move(pieces)), patience);
  }
  void cancel() { call_.cancel(); }

 private:
  class Call final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    Call(const std::string& address, const GrpcTransportOptions& options)
        : stub_(connect(address, options)) {}

    void start() {
      stub_.PrepareBidiStreamingCall(&context_, "/fyr.pb.RaftRpc/Snapshot", {}, this);
      AddHold();
      StartCall();
    }
    std::optional<Frame> ask(grpc::ByteBuffer frame, Duration patience) {
      std::unique_lock lock(mutex_);
      if (failed_) return std::nullopt;
      out_.Swap(&frame);
      pending_ = 2;
      StartRead(&in_);
      StartWrite(&out_);
      changed_.wait_for(lock, patience, [&] { return pending_ == 0 || failed_; });
      if (failed_ || pending_ > 0) return std::nullopt;
      auto answer = from_buffer(in_, {});
      if (!answer || answer->sequence != ++received_) return std::nullopt;
      return std::move(*answer);
    }
    void cancel() {
      {
        std::lock_guard lock(mutex_);
        failed_ = true;
      }
      changed_.notify_all();
      context_.TryCancel();
    }
    // Waits until gRPC is done with it.
    void end() {
      cancel();
      RemoveHold();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return done_; });
    }
    void OnReadDone(bool ok) override { step(ok); }
    void OnWriteDone(bool ok) override { step(ok); }
    void OnDone(const grpc::Status&) override {
      std::lock_guard lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }

   private:
    void step(bool ok) {
      std::lock_guard lock(mutex_);
      --pending_;
      failed_ = failed_ || !ok;
      changed_.notify_all();
    }
    grpc::ClientContext context_;
    grpc::GenericStub stub_;
    std::mutex mutex_;
    std::condition_variable changed_;
    // All guarded by mutex_.
    grpc::ByteBuffer in_, out_;
    int pending_ = 0;  // of the read and the write
    bool failed_ = false;
    bool done_ = false;
    std::uint64_t received_ = 0;
  };
  Call call_;
};

}  // namespace

class SnapshotPull::Impl {
 public:
  Impl(TransportContext& context, FetchSnapshot request, std::string address,
       std::shared_ptr<SnapshotSink> sink, std::function<void(Result<void>)> done)
      : context_(context),
        request_(std::move(request)),
        address_(std::move(address)),
        sink_(std::move(sink)),
        done_(std::move(done)),
        thread_([this] { run(); }) {}
  ~Impl() {
    cancel();
    thread_.join();
  }

  void cancel() {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (exchange_) exchange_->cancel();
    changed_.notify_all();
  }

 private:
  void run() {
    name_this_thread("raft-snap-in");
    auto result = pull();
    sink_.reset();
    done_(std::move(result));
  }
  Result<void> pull();
  Result<bool> pull_some(Exchange& exchange);
  bool greet(Exchange& exchange);
  bool pause(Duration length);  // false: cancelled
  void throttle(std::size_t bytes);

  TransportContext& context_;
  const FetchSnapshot request_;
  const std::string address_;
  std::shared_ptr<SnapshotSink> sink_;
  const std::function<void(Result<void>)> done_;
  // Its thread only.
  std::uint64_t sequence_ = 0;
  Instant progress_ = now();  // the last one
  Instant allowed_ = now();   // when the next part may be asked for
  std::string trouble_ = "no connection";

  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;        // guarded by mutex_
  Exchange* exchange_ = nullptr;  // guarded by mutex_
  std::thread thread_;
};

bool SnapshotPull::Impl::pause(Duration length) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, length, [&] { return cancelled_; });
}

// At most the allowed bytes a second, on average of a few parts.
void SnapshotPull::Impl::throttle(std::size_t bytes) {
  const auto rate = context_.options.snapshot_bytes_per_second;
  const Instant at = now();
  allowed_ =
      std::max(allowed_, at) + Duration(bytes * 1'000'000'000ull / std::max<std::size_t>(rate, 1));
  const Duration ahead = allowed_ - at;
  if (ahead > std::chrono::milliseconds(20)) pause(ahead);
}

bool SnapshotPull::Impl::greet(Exchange& exchange) {
  sequence_ = 1;
  const auto answer = exchange.ask(encode_hello(sequence_, context_.hello(request_.from)),
                                   context_.options.handshake_wait);
  if (!answer || !answer->hello) {
    trouble_ = "no connection";
    return false;
  }
  const PeerIdentity self = context_.identity();
  std::string word = answer->hello->refused;
  if (word.empty()) {
    word = context_.guard.with([&](PeerGuard& guard) {
      return std::string(guard.check_answer(self, request_.from, *answer->hello));
    });
  }
  if (!word.empty()) trouble_ = "handshake refused: " + word;
  return word.empty();
}

// True: everything is there; false: the stream broke.
Result<bool> SnapshotPull::Impl::pull_some(Exchange& exchange) {
  if (!greet(exchange)) return false;
  while (true) {
    auto wanted = sink_->next();
    if (!wanted) return wanted.error();
    if (!*wanted) return true;
    SnapshotSink::Part part = std::move(**wanted);
    part.max_bytes = std::min(part.max_bytes, context_.options.snapshot_chunk);
    auto answer = exchange.ask(
        encode_snapshot_request(++sequence_, {request_.snapshot.id, part.file, part.offset,
                                              static_cast<std::uint32_t>(part.max_bytes)}),
        context_.options.snapshot_patience);
    if (!answer || !answer->snapshot_chunk) {
      trouble_ = "the connection broke";
      return false;
    }
    SnapshotChunk& chunk = *answer->snapshot_chunk;
    if (!chunk.error.empty()) return fail(ErrorCode::NotFound, chunk.error);
    const std::size_t size = chunk.data->size();
    if (auto put = sink_->put(part, {std::string(*chunk.data), chunk.file_size}); !put) {
      if (put.error().code != ErrorCode::Corrupt) return put.error();
      metrics::counter("fyr.raft.snapshot_chunk_retries").add();
      trouble_ = put.error().message;
      return false;
    }
    progress_ = now();
    throttle(size);
  }
}

Result<void> SnapshotPull::Impl::pull() {
  while (true) {
    Exchange exchange(address_, context_.options);
    {
      std::lock_guard lock(mutex_);
      if (cancelled_) return fail(ErrorCode::Stopped, "not wanted any more");
      exchange_ = &exchange;
    }
    const auto complete = pull_some(exchange);
    {
      std::lock_guard lock(mutex_);
      exchange_ = nullptr;
      if (cancelled_) return fail(ErrorCode::Stopped, "not wanted any more");
    }
    if (!complete) return complete.error();
    if (*complete) return {};
    if (now() - progress_ > context_.options.snapshot_patience) {
      return fail(ErrorCode::Unavailable, "snapshot of " + address_ + ": " + trouble_);
    }
    if (!pause(kRetry)) return fail(ErrorCode::Stopped, "not wanted any more");
  }
}

SnapshotPull::SnapshotPull(TransportContext& context, FetchSnapshot request, std::string address,
                           std::shared_ptr<SnapshotSink> sink,
                           std::function<void(Result<void>)> done)
    : impl_(std::make_unique<Impl>(context, std::move(request), std::move(address), std::move(sink),
                                   std::move(done))) {}

SnapshotPull::~SnapshotPull() = default;

void SnapshotPull::cancel() {
  impl_->cancel();
}

}  // namespace fyr::raft
