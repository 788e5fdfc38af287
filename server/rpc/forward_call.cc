#include "server/rpc/forward_call.h"

#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"
#include "server/rpc/status.h"

namespace fyr::server {

namespace {

constexpr std::size_t kMaxCollected = 64 * 1024 * 1024;

io::HttpRequest to_request(const pb::HttpForward& forward) {
  io::HttpRequest request;
  request.method = forward.method();
  request.path = forward.path();
  request.query = forward.query();
  request.body = forward.body();
  request.remote_address = forward.remote_address();
  for (const pb::Pair& header : forward.headers()) {
    request.headers.emplace_back(header.key(), header.value());
  }
  return request;
}

// Lives until both gRPC (OnDone) and the exchange have let go of it.
class Call final : public grpc::ServerUnaryReactor {
 public:
  Call(pb::HttpForwardResponse& response, io::Runtime& runtime, int thread,
       std::shared_ptr<std::atomic<std::size_t>> waiting)
      : response_(response), runtime_(runtime), thread_(thread), waiting_(std::move(waiting)) {
    waiting_->fetch_add(1);
  }
  ~Call() override { waiting_->fetch_sub(1); }

  void hold(std::shared_ptr<Call> self) { self_ = std::move(self); }

  void answer(const io::HttpResponse& head, std::string_view body) {
    const bool first = state_.with([&](State& state) {
      if (state.finished) return false;
      state.finished = true;
      state.abandoned = nullptr;
      return true;
    });
    if (!first) return;
    response_.set_status(head.status);
    for (const auto& [name, value] : head.headers) {
      pb::Pair& header = *response_.add_headers();
      header.set_key(name);
      header.set_value(value);
    }
    response_.set_body(body.data(), body.size());
    Finish(grpc::Status::OK);
  }

  void on_abandoned(std::function<void()> callback) {
    const bool late = state_.with([&](State& state) {
      if (state.cancelled) return true;
      if (!state.finished) state.abandoned = std::move(callback);
      return false;
    });
    if (late) runtime_.post(thread_, std::move(callback));
  }

  bool gone() {
    return state_.with([](State& state) { return state.finished; });
  }

  void OnCancel() override {
    std::function<void()> abandoned;
    const bool first = state_.with([&](State& state) {
      state.cancelled = true;
      abandoned = std::move(state.abandoned);
      state.abandoned = nullptr;
      return !std::exchange(state.finished, true);
    });
    if (abandoned) runtime_.post(thread_, std::move(abandoned));
    if (first) Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the agent gave up"));
  }

  void OnDone() override { self_.reset(); }

 private:
  struct State {
    bool finished = false;
    bool cancelled = false;
    std::function<void()> abandoned;
  };

  pb::HttpForwardResponse& response_;
  io::Runtime& runtime_;
  const int thread_;
  const std::shared_ptr<std::atomic<std::size_t>> waiting_;
  Guarded<State> state_;
  std::shared_ptr<Call> self_;
};

class RpcExchange final : public io::HttpExchange {
 public:
  RpcExchange(std::shared_ptr<Call> call, io::HttpRequest request, int thread)
      : call_(std::move(call)), request_(std::move(request)), thread_(thread) {}
  ~RpcExchange() override {
    if (!answered_) call_->answer(io::HttpResponse::text(500, ""), "");
  }

  const io::HttpRequest& request() const override { return request_; }
  int thread() const override { return thread_; }
  void respond(io::HttpResponse response) override {
    if (std::exchange(answered_, true)) return;
    call_->answer(response, response.body ? std::string_view(*response.body) : std::string_view());
  }
  void on_abandoned(std::function<void()> callback) override {
    call_->on_abandoned(std::move(callback));
  }
  void begin_stream(io::HttpResponse head) override { head_ = std::move(head); }
  bool write_chunk(std::string data) override {
    if (call_->gone() || collected_.size() + data.size() > kMaxCollected) return false;
    collected_ += data;
    return true;
  }
  void end_stream() override {
    if (std::exchange(answered_, true)) return;
    call_->answer(head_, collected_);
  }

 private:
  const std::shared_ptr<Call> call_;
  const io::HttpRequest request_;
  const int thread_;
  bool answered_ = false;
  io::HttpResponse head_;
  std::string collected_;
};

}  // namespace

ForwardCalls::ForwardCalls(io::Runtime& runtime, io::HttpHandler handler, std::size_t limit)
    : runtime_(runtime), handler_(std::move(handler)), limit_(limit) {
  made_.store(true, std::memory_order_release);
}

grpc::ServerUnaryReactor* ForwardCalls::start(const pb::HttpForward& request,
                                              pb::HttpForwardResponse& response) {
  CHECK(made_.load(std::memory_order_acquire));
  const int thread = runtime_.next();
  auto call = std::make_shared<Call>(response, runtime_, thread, waiting_);
  call->hold(call);
  if (waiting_->load() > limit_) {
    call->answer(io::HttpResponse::text(429, ""), "too many requests wait on this server");
    return call.get();
  }
  auto exchange = std::make_shared<RpcExchange>(call, to_request(request), thread);
  runtime_.post(thread, [handler = &handler_, exchange = std::move(exchange)]() mutable {
    (*handler)(std::move(exchange));
  });
  return call.get();
}

}  // namespace fyr::server
