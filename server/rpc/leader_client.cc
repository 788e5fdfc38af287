#include "server/rpc/leader_client.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <type_traits>
#include <utility>

#include "agent.grpc.pb.h"
#include "server.grpc.pb.h"
#include "server/rpc/command_result.h"

namespace fyr::server {

namespace {

// More addresses than servers a cluster may have: forgotten all at once, which is rare.
constexpr std::size_t kMaxChannels = 32;
constexpr int kMaxMessage = 64 * 1024 * 1024;

std::shared_ptr<grpc::Channel> make_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // tidy: insecure: server to server TLS comes with the ACL and TLS part
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

pb::HttpForward to_wire(const io::HttpRequest& request) {
  pb::HttpForward out;
  out.set_method(request.method);
  out.set_path(request.path);
  out.set_query(request.query);
  out.set_body(request.body);
  out.set_remote_address(request.remote_address);
  for (const auto& [name, value] : request.headers) {
    pb::Pair& header = *out.add_headers();
    header.set_key(name);
    header.set_value(value);
  }
  return out;
}

class GrpcLeaderClient final : public LeaderClient {
 public:
  ~GrpcLeaderClient() override { stop(); }

  void follow(const std::string& address) override {
    if (const auto channel = channel_to(address)) channel->GetState(true);
    std::lock_guard lock(mutex_);
    for (const auto& [context, to] : under_way_) {
      if (!to.empty() && to != address) context->TryCancel();
    }
  }

  void apply(const std::string& address, const pb::Command& command,
             std::function<void(Result<ApplyResult>)> done) override {
    auto call = std::make_shared<Call<pb::ServerRpc, pb::ApplyRequest, pb::ApplyResponse>>();
    call->request.set_command(command.SerializeAsString());
    call->done = [done](Result<pb::ApplyResponse> answer) {
      if (!answer) return done(std::move(answer.error()));
      if (answer->code() != 0) return done(error_from_wire(answer->code(), answer->message()));
      done(decode_result(answer->result()));
    };
    start(address, call, [](auto& stub, auto& c, auto finished) {
      stub.async()->Apply(&c.context, &c.request, &c.response, std::move(finished));
    });
  }

  void renew_session(const std::string& address, const std::string& id,
                     std::function<void(Result<SessionRow>)> done) override {
    auto call =
        std::make_shared<Call<pb::ServerRpc, pb::RenewSessionRequest, pb::RenewSessionResponse>>();
    call->request.set_id(id);
    call->done = [done](Result<pb::RenewSessionResponse> answer) {
      if (!answer) return done(std::move(answer.error()));
      if (answer->code() != 0) return done(error_from_wire(answer->code(), answer->message()));
      done(std::make_shared<const pb::Session>(std::move(*answer->mutable_session())));
    };
    start(address, call, [](auto& stub, auto& c, auto finished) {
      stub.async()->RenewSession(&c.context, &c.request, &c.response, std::move(finished));
    });
  }

  void forward(const std::string& address, const io::HttpRequest& request,
               std::function<void(Result<io::HttpResponse>)> done) override {
    auto call = std::make_shared<Call<pb::AgentRpc, pb::HttpForward, pb::HttpForwardResponse>>();
    call->request = to_wire(request);
    call->done = [done](Result<pb::HttpForwardResponse> answer) {
      if (!answer) return done(std::move(answer.error()));
      io::HttpResponse response;
      response.status = answer->status();
      for (const pb::Pair& header : answer->headers()) {
        response.headers.emplace_back(header.key(), header.value());
      }
      response.body = std::make_shared<const std::string>(std::move(*answer->mutable_body()));
      done(std::move(response));
    };
    start(address, call, [](auto& stub, auto& c, auto finished) {
      stub.async()->Forward(&c.context, &c.request, &c.response, std::move(finished));
    });
  }

  void ask_consent(const std::string& address, raft::NodeId founder, raft::NodeId to,
                   std::function<void(Result<bool>)> done) override {
    auto call = std::make_shared<Call<pb::ServerRpc, pb::ConsentRequest, pb::ConsentResponse>>();
    call->request.set_founder(founder.value);
    call->request.set_to(to.value);
    call->done = [done](Result<pb::ConsentResponse> answer) {
      if (!answer) return done(std::move(answer.error()));
      done(answer->granted());
    };
    start(address, call, [](auto& stub, auto& c, auto finished) {
      stub.async()->Consent(&c.context, &c.request, &c.response, std::move(finished));
    });
  }

  void stop() override {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    for (const auto& [context, to] : under_way_) context->TryCancel();
    idle_.wait(lock, [this] { return under_way_.empty(); });
    channels_.clear();
  }

 private:
  template <class Service, class Request, class Response>
  struct Call {
    using Rpc = Service;
    grpc::ClientContext context;
    Request request;
    Response response;
    std::unique_ptr<typename Service::Stub> stub;
    std::function<void(Result<Response>)> done;
  };

  std::shared_ptr<grpc::Channel> channel_to(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (stopped_ || address.empty()) return nullptr;
    if (channels_.size() >= kMaxChannels && !channels_.contains(address)) channels_.clear();
    auto& channel = channels_[address];
    if (!channel) channel = make_channel(address);
    return channel;
  }

  template <class C, class Start>
  void start(const std::string& address, const std::shared_ptr<C>& call, Start&& begin) {
    const auto channel = channel_to(address);
    if (!channel) return call->done(fail(ErrorCode::Stopped, "stopping"));
    // A request on a channel that is not connected might be sent or not; this one is not.
    if (channel->GetState(true) != GRPC_CHANNEL_READY) {
      return call->done(fail(ErrorCode::NoLeader, address + ": not connected yet"));
    }
    call->stub = C::Rpc::NewStub(channel);
    call->context.set_deadline(std::chrono::system_clock::now() + kLeaderTimeout);
    {
      std::lock_guard lock(mutex_);
      // An operator's request may be what moves the leadership: it is not cut off by that.
      const bool stays = std::is_same_v<typename C::Rpc, pb::AgentRpc>;
      under_way_.emplace(&call->context, stays ? std::string() : address);
    }
    begin(*call->stub, *call, [this, call, address](const grpc::Status& status) {
      if (status.ok()) {
        call->done(std::move(call->response));
      } else {
        call->done(fail(ErrorCode::CommitUnknown,
                        "no answer from " + address + ": " + status.error_message()));
      }
      std::lock_guard lock(mutex_);
      under_way_.erase(&call->context);
      if (under_way_.empty()) idle_.notify_all();
    });
  }

  std::mutex mutex_;
  std::condition_variable idle_;
  bool stopped_ = false;                                            // guarded by mutex_
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;  // guarded by mutex_
  std::map<grpc::ClientContext*, std::string> under_way_;           // guarded by mutex_; with the
  // address, empty if a change of the leader does not end it
};

}  // namespace

std::unique_ptr<LeaderClient> make_leader_client() {
  return std::make_unique<GrpcLeaderClient>();
}

}  // namespace fyr::server
