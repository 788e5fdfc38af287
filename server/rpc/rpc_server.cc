#include "server/rpc/rpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>

#include "server/rpc/agent_rpc.h"
#include "server/rpc/server_rpc.h"
#include "server/rpc/watch_rpc.h"

namespace fyr::server {

namespace {

constexpr int kMaxMessage = 64 * 1024 * 1024;
constexpr int kMaxThreads = 8;
constexpr auto kGrace = std::chrono::seconds(1);

}  // namespace

struct RpcServer::Impl {
  std::unique_ptr<grpc::Service> agent, servers;
  std::unique_ptr<WatchRpc> watch;
  std::unique_ptr<grpc::Server> server;
  std::vector<HostPort> bound;
};

RpcServer::RpcServer() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<RpcServer>> RpcServer::listen(RpcServerOptions options, Server& server,
                                                     io::Runtime& runtime,
                                                     io::HttpHandler forward) {
  std::unique_ptr<RpcServer> self(new RpcServer);
  Impl& impl = *self->impl_;
  AgentRpcOptions agent_options;
  agent_options.node_name = options.node_name;
  impl.agent = make_agent_rpc(std::move(agent_options), server, runtime, std::move(forward));
  impl.servers = make_server_rpc(server, runtime);
  WatchRpcOptions watch_options;
  watch_options.max_streams = options.max_streams;
  watch_options.heartbeat = options.heartbeat;
  impl.watch = std::make_unique<WatchRpc>(watch_options, server, runtime);

  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("fyr-rpc");
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  // Two processes on one port would take turns silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Agents probe idle connections, so that a server that vanished is noticed.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  std::vector<int> ports(options.listen.size(), 0);
  std::string wanted;
  for (std::size_t i = 0; i < options.listen.size(); ++i) {
    builder.AddListeningPort(options.listen[i].to_string(), grpc::InsecureServerCredentials(),
                             &ports[i]);
    wanted += (i == 0 ? "" : ", ") + options.listen[i].to_string();
  }
  builder.RegisterService(impl.agent.get());
  builder.RegisterService(impl.servers.get());
  builder.RegisterService(&impl.watch->service());
  for (grpc::Service* more : options.more) builder.RegisterService(more);
  impl.server = builder.BuildAndStart();
  if (!impl.server) {
    return fail(ErrorCode::Unavailable, "ports.server: cannot listen on " + wanted);
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i] == 0) {
      return fail(ErrorCode::Unavailable,
                  "ports.server: cannot listen on " + options.listen[i].to_string());
    }
    impl.bound.push_back({options.listen[i].host, static_cast<std::uint16_t>(ports[i])});
  }
  return self;
}

RpcServer::~RpcServer() {
  stop();
}

void RpcServer::stop() {
  if (!impl_->server) return;
  impl_->watch->stop();
  impl_->server->Shutdown(std::chrono::system_clock::now() + kGrace);
  impl_->server->Wait();
  impl_->watch->drain();
  impl_->server.reset();
}

std::vector<HostPort> RpcServer::bound() const {
  return impl_->bound;
}

std::shared_ptr<grpc::Channel> RpcServer::in_process_channel() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return impl_->server->InProcessChannel(arguments);
}

}  // namespace fyr::server
