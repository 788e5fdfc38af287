// A client of the leader against a real server with its RPC listener.
#include "server/rpc/leader_client.h"

#include <gtest/gtest.h>

#include <future>

#include "server/rpc/rpc_server.h"
#include "tests/unit/server/temporary_folder.h"

namespace fyr::server {
namespace {

using namespace std::chrono_literals;

template <class T>
Result<T> await(const std::function<void(std::function<void(Result<T>)>)>& start) {
  auto answer = std::make_shared<std::promise<Result<T>>>();
  auto future = answer->get_future();
  start([answer](Result<T> result) { answer->set_value(std::move(result)); });
  if (future.wait_for(20s) != std::future_status::ready) {
    return fail(ErrorCode::Internal, "no answer in the time of the test");
  }
  return future.get();
}

class LeaderClientTest : public testing::Test {
 protected:
  void SetUp() override {
    runtime_.start();
    ServerOptions options;
    options.data_dir = folder_.path();
    options.node_name = "s1";
    options.rpc_address = "127.0.0.1:1";
    options.bootstrap = true;
    auto opened = Server::open(std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    server_ = std::move(*opened);
    RpcServerOptions rpc;
    rpc.listen = {{"127.0.0.1", 0}};
    auto listening = RpcServer::listen(std::move(rpc), *server_, runtime_, nullptr);
    ASSERT_TRUE(listening) << listening.error().message;
    rpc_ = std::move(*listening);
    address_ = rpc_->bound()[0].to_string();
    const auto leads = await<ReadStamp>(
        [&](auto done) { server_->wait_read(Consistency::Default, std::move(done)); });
    ASSERT_TRUE(leads) << leads.error().message;
    client_ = make_leader_client();
  }
  void TearDown() override {
    client_->stop();
    rpc_->stop();
    server_->stop();
    runtime_.stop();
  }

  static pb::Command put(const std::string& key, const std::string& value,
                         pb::KvWrite::Verb verb = pb::KvWrite::SET) {
    pb::Command command;
    command.mutable_kv()->set_verb(verb);
    command.mutable_kv()->mutable_pair()->set_key(key);
    command.mutable_kv()->mutable_pair()->set_value(value);
    return command;
  }

  Result<ApplyResult> apply(const pb::Command& command) {
    return await<ApplyResult>(
        [&](auto done) { client_->apply(address_, command, std::move(done)); });
  }
  // Until the channel is up a request is refused without being sent.
  Result<ApplyResult> apply_when_connected(const pb::Command& command) {
    const Instant end = now() + 20s;
    auto result = apply(command);
    while (!result && result.error().code == ErrorCode::NoLeader && now() < end) {
      std::this_thread::yield();
      result = apply(command);
    }
    return result;
  }

  TemporaryFolder folder_;
  io::Runtime runtime_{1};
  std::unique_ptr<Server> server_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<LeaderClient> client_;
  std::string address_;
};

TEST_F(LeaderClientTest, ACommandRunsAtTheLeaderAndItsResultComesBack) {
  const auto result = apply_when_connected(put("a", "1"));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->done);
  EXPECT_GT(result->index, 0u);
  EXPECT_EQ(server_->read([](const StateStore& store) { return store.kv("a")->value(); }), "1");
}

TEST_F(LeaderClientTest, ALostCompareAndSetIsAResultNotAnError) {
  ASSERT_TRUE(apply_when_connected(put("a", "1")));
  const auto lost = apply(put("a", "2", pb::KvWrite::CAS));
  ASSERT_TRUE(lost) << lost.error().message;
  EXPECT_FALSE(lost->done);
}

TEST_F(LeaderClientTest, ARefusedCommandComesBackWithItsReason) {
  ASSERT_TRUE(apply_when_connected(put("a", "1")));
  pb::Command command;
  command.mutable_session_create()->mutable_session()->set_node("nobody");
  const auto refused = apply(command);
  ASSERT_TRUE(refused) << refused.error().message;
  ASSERT_TRUE(refused->error);
  EXPECT_FALSE(refused->error->message.empty());
}

TEST_F(LeaderClientTest, ARequestThatWasNotSentIsKnownNotToHaveHappened) {
  rpc_->stop();
  EXPECT_EQ(apply(put("a", "1")).error().code, ErrorCode::NoLeader);
  client_->stop();
  EXPECT_EQ(apply(put("a", "1")).error().code, ErrorCode::Stopped);
}

TEST_F(LeaderClientTest, RenewingANonexistentSessionIsNotFound) {
  ASSERT_TRUE(apply_when_connected(put("a", "1")));
  const auto renewed = await<SessionRow>(
      [&](auto done) { client_->renew_session(address_, "nothing", std::move(done)); });
  ASSERT_FALSE(renewed);
  EXPECT_EQ(renewed.error().code, ErrorCode::NotFound);
}

}  // namespace
}  // namespace fyr::server
