#include "agent/agent_stub.h"

#include <grpcpp/grpcpp.h>

#include "agent.grpc.pb.h"
#include "agent/rpc_calls.h"

namespace fyr::agent {

namespace {

constexpr auto kSyncTimeout = std::chrono::seconds(10);

template <class Request, class Response>
class UnaryCall final : public AgentStub::Call {
 public:
  grpc::ClientContext context;
  Request request;
  Response response;
  std::unique_ptr<pb::AgentRpc::Stub> stub;
  void cancel() override { context.TryCancel(); }
};

}  // namespace

struct AgentStub::Impl {
  std::shared_ptr<ChannelSource> servers;
  const std::shared_ptr<RpcCalls> calls = std::make_shared<RpcCalls>();

  template <class Request, class Response, class Start>
  static std::shared_ptr<Call> call(const std::shared_ptr<Impl>& self, Request request,
                                    Duration timeout, Start start,
                                    std::function<void(Result<Response>)> done) {
    ServerChannel server = self->servers->pick();
    if (!server.channel) {
      done(fail(ErrorCode::Unavailable, "No known Consul servers"));
      return nullptr;
    }
    auto call = std::make_shared<UnaryCall<Request, Response>>();
    call->request = std::move(request);
    call->stub = pb::AgentRpc::NewStub(server.channel);
    call->context.set_deadline(std::chrono::system_clock::now() + timeout);
    if (!self->calls->add(&call->context)) {
      done(fail(ErrorCode::Stopped, "agent is stopping"));
      return nullptr;
    }
    start(*call->stub->async(), *call,
          [self = std::shared_ptr(self), call, server,
           done = std::move(done)](const grpc::Status& status) mutable {
            if (status.ok()) {
              done(std::move(call->response));
            } else {
              if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
                self->servers->failed(server);
              }
              done(from_status(status));
            }
            // Whoever stops us may go on when nothing of this is left.
            const auto calls = self->calls;
            calls->remove(&call->context);
            done = nullptr;
            call.reset();
            server = {};
            self.reset();
            calls->gone();
          });
    return call;
  }
};

AgentStub::AgentStub(std::shared_ptr<ChannelSource> servers) : impl_(std::make_shared<Impl>()) {
  impl_->servers = std::move(servers);
  (void)process_calls();
}

AgentStub::~AgentStub() {
  stop();
}

void AgentStub::stop() {
  impl_->calls->stop();
}

void AgentStub::push(pb::PushRequest request, std::function<void(Result<pb::PushResponse>)> done) {
  Impl::call<pb::PushRequest, pb::PushResponse>(
      impl_, std::move(request), kSyncTimeout,
      [](auto& stub, auto& call, auto ended) {
        stub.Push(&call.context, &call.request, &call.response, std::move(ended));
      },
      std::move(done));
}

void AgentStub::node_state(pb::NodeStateRequest request,
                           std::function<void(Result<pb::NodeStateResponse>)> done) {
  Impl::call<pb::NodeStateRequest, pb::NodeStateResponse>(
      impl_, std::move(request), kSyncTimeout,
      [](auto& stub, auto& call, auto ended) {
        stub.NodeState(&call.context, &call.request, &call.response, std::move(ended));
      },
      std::move(done));
}

std::shared_ptr<AgentStub::Call> AgentStub::forward(
    pb::HttpForward request, Duration timeout,
    std::function<void(Result<pb::HttpForwardResponse>)> done) {
  return Impl::call<pb::HttpForward, pb::HttpForwardResponse>(
      impl_, std::move(request), timeout,
      [](auto& stub, auto& call, auto ended) {
        stub.Forward(&call.context, &call.request, &call.response, std::move(ended));
      },
      std::move(done));
}

}  // namespace fyr::agent
