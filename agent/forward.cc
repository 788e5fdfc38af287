#include "agent/forward.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/bytes.h"
#include "base/guarded.h"

namespace fyr::agent {

namespace {

// Longer than the longest wait a server grants (10 min and a sixteenth).
constexpr Duration kTimeout = std::chrono::minutes(11);
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::milliseconds(500);

pb::HttpForward to_forward(const io::HttpRequest& request, const std::string& node_name) {
  pb::HttpForward out;
  out.set_method(request.method);
  out.set_path(request.path);
  out.set_query(request.query);
  out.set_body(request.body);
  out.set_remote_address(request.remote_address);
  const auto add = [&out](const std::string& name, const std::string& value) {
    pb::Pair& header = *out.add_headers();
    header.set_key(name);
    header.set_value(value);
  };
  for (const auto& [name, value] : request.headers) {
    if (!equals_ignoring_case(name, kNodeHeader)) add(name, value);
  }
  add(kNodeHeader, node_name);
  return out;
}

}  // namespace

struct Forwarder::Request {
  std::shared_ptr<io::HttpExchange> exchange;
  pb::HttpForward message;
  Instant give_up{};
  Duration pause = kFirstPause;
  bool is_read = false;
  io::Timer timer;
  struct State {
    bool abandoned = false;
    std::shared_ptr<AgentStub::Call> call;
  };
  Guarded<State> state;
};

Forwarder::Forwarder(io::Runtime& runtime, std::shared_ptr<AgentStub> stub,
                     std::shared_ptr<ChannelSource> servers, Duration hold, std::string node_name)
    : runtime_(runtime),
      stub_(std::move(stub)),
      servers_(std::move(servers)),
      hold_(hold),
      node_name_(std::move(node_name)) {}

void Forwarder::handle(std::shared_ptr<io::HttpExchange> exchange) {
  auto request = std::make_shared<Request>();
  request->message = to_forward(exchange->request(), node_name_);
  request->is_read = exchange->request().method == "GET" || exchange->request().method == "HEAD";
  request->give_up = now() + hold_;
  exchange->on_abandoned([weak = std::weak_ptr(request)] {
    const auto gone = weak.lock();
    if (!gone) return;
    const auto call = gone->state.with([](Request::State& state) {
      state.abandoned = true;
      return state.call;
    });
    if (call) call->cancel();
  });
  request->exchange = std::move(exchange);
  send(request);
}

void Forwarder::send(const std::shared_ptr<Request>& request) {
  auto call =
      stub_->forward(request->message, kTimeout,
                     [self = shared_from_this(), request](Result<pb::HttpForwardResponse> answer) {
                       self->answered(request, std::move(answer));
                     });
  if (!call) return;
  const bool abandoned = request->state.with([&](Request::State& state) {
    state.call = call;
    return state.abandoned;
  });
  if (abandoned) call->cancel();
}

void Forwarder::answered(const std::shared_ptr<Request>& request,
                         Result<pb::HttpForwardResponse> answer) {
  const bool abandoned = request->state.with([](Request::State& state) {
    state.call.reset();
    return state.abandoned;
  });
  if (abandoned) {
    request->exchange.reset();
    return;
  }
  if (answer) {
    io::HttpResponse response;
    response.status = answer->status();
    for (const pb::Pair& header : answer->headers()) {
      response.headers.emplace_back(header.key(), header.value());
    }
    response.body = std::make_shared<const std::string>(std::move(*answer->mutable_body()));
    request->exchange->respond(std::move(response));
    return;
  }
  const Error& error = answer.error();
  const bool unseen = servers_->addresses().empty();
  const bool again = error.code == ErrorCode::Unavailable && (request->is_read || unseen);
  if (again && now() + request->pause < request->give_up) {
    const Duration pause = request->pause;
    request->pause = std::min(2 * request->pause, kLongestPause);
    request->timer =
        runtime_.schedule(request->exchange->thread(), pause,
                          [self = shared_from_this(), request] { self->send(request); });
    return;
  }
  const std::string text = error.code == ErrorCode::Unavailable && (request->is_read || unseen)
                               ? "No cluster leader"
                               : "rpc error making call: " + error.message;
  request->exchange->respond(io::HttpResponse::text(500, text));
}

}  // namespace fyr::agent
