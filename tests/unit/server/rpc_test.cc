// The gRPC services of a server that agents call.
#include <grpcpp/grpcpp.h>

#include <future>
#include <thread>

#include "agent.grpc.pb.h"
#include "server/rpc/rpc_server.h"
#include "tests/unit/server/temporary_folder.h"
#include "tests/unit/state/fixture.h"
#include "watch.grpc.pb.h"

namespace fyr::server {
namespace {

class Rpc : public testing::Test {
 protected:
  Rpc() { runtime_.start(); }
  ~Rpc() override {
    agent_.reset();
    watch_.reset();
    if (rpc_) rpc_->stop();
    if (server_) server_->stop();
    runtime_.stop();
  }

  // Without `bootstrap` the server knows no cluster and finds no leader.
  void open(bool bootstrap) {
    ServerOptions options;
    options.data_dir = folder_.path();
    options.node_name = "s1";
    options.rpc_address = "127.0.0.1:1";
    options.bootstrap = bootstrap;
    auto server = Server::open(std::move(options));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    RpcServerOptions rpc_options;
    rpc_options.listen = {{"127.0.0.1", 0}};
    auto rpc = RpcServer::listen(rpc_options, *server_, runtime_,
                                 [](const std::shared_ptr<io::HttpExchange>&) {});
    ASSERT_TRUE(rpc) << rpc.error().message;
    rpc_ = std::move(*rpc);
    agent_ = pb::AgentRpc::NewStub(rpc_->in_process_channel());
    watch_ = pb::WatchRpc::NewStub(rpc_->in_process_channel());
  }

  grpc::Status node_state() {
    grpc::ClientContext context;
    pb::NodeStateRequest request;
    request.set_node("n");
    pb::NodeStateResponse response;
    return agent_->NodeState(&context, request, &response);
  }
  grpc::Status find_nodes() {
    grpc::ClientContext context;
    pb::FindNodesRequest request;
    request.set_name("n");
    pb::FindNodesResponse response;
    return watch_->FindNodes(&context, request, &response);
  }
  // The status the stream ends with; the client goes after the first event.
  grpc::Status first_event() {
    grpc::ClientContext context;
    pb::WatchRequest request;
    request.set_service("web");
    const auto stream = watch_->WatchService(&context, request);
    pb::WatchEvent event;
    if (stream->Read(&event)) {
      context.TryCancel();
      while (stream->Read(&event)) {
      }
      stream->Finish();
      return grpc::Status::OK;
    }
    return stream->Finish();
  }

  io::Runtime runtime_{1};
  TemporaryFolder folder_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<pb::AgentRpc::Stub> agent_;
  std::unique_ptr<pb::WatchRpc::Stub> watch_;
};

TEST_F(Rpc, AServerThatHasNotCaughtUpSendsAgentsElsewhere) {
  open(false);
  EXPECT_FALSE(server_->caught_up());
  EXPECT_EQ(node_state().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(find_nodes().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(first_event().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(Rpc, AServerThatLeadsAnswersAgents) {
  open(true);
  // Asking is enough to make it find out.
  const Instant limit = now() + std::chrono::seconds(20);
  while (!server_->caught_up() && now() < limit) std::this_thread::yield();
  EXPECT_TRUE(node_state().ok());
  EXPECT_TRUE(find_nodes().ok());
  EXPECT_TRUE(first_event().ok());
}

// What is posted to the io threads names parts of the server: stop() must not return before it ran.
TEST_F(Rpc, StoppingWaitsForAThreadThatIsBusy) {
  open(true);
  std::promise<void> busy, go_on;
  runtime_.post(0, [&] {
    busy.set_value();
    go_on.get_future().wait();
  });
  busy.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { rpc_->stop(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::seconds(3)), std::future_status::timeout);
  go_on.set_value();
  stopped.get();
}

// The same rules as PUT /v1/catalog/register has; a bad item fails by itself.
TEST_F(Rpc, APushIsHeldToTheRulesOfTheCatalog) {
  open(true);
  const Instant limit = now() + std::chrono::seconds(20);
  while (!server_->try_read(Consistency::Default) && now() < limit) std::this_thread::yield();
  pb::PushRequest request;
  request.set_node("n");
  const auto add = [&](const pb::Command& command) {
    *request.add_items()->mutable_register_() = command.register_();
  };
  add(service_command("n", "web", "web", 80));
  add(service_command("n", "big", "big", 70000));
  add(service_command("n", "negative", "negative", -1));
  pb::Command odd = node_command("n");
  add_check(odd, "c", "unwell");
  add(odd);
  grpc::ClientContext context;
  pb::PushResponse response;
  ASSERT_TRUE(agent_->Push(&context, request, &response).ok());
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(response.results(0).code(), 0) << response.results(0).message();
  EXPECT_EQ(response.results(1).message(),
            "items: Service.Port: must be between 0 and 65535, not 70000");
  EXPECT_EQ(response.results(2).message(),
            "items: Service.Port: must be between 0 and 65535, not -1");
  EXPECT_EQ(response.results(3).message(),
            "items: Check.Status: must be passing, warning or critical, not \"unwell\"");
  server_->read([](const StateStore& store) {
    EXPECT_EQ(store.service_count(), 1u);
    EXPECT_EQ(store.check_count(), 0u);
  });
}

}  // namespace
}  // namespace fyr::server
