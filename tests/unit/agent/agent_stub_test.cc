// The end of calls whose channel nobody else holds.
#include "agent/agent_stub.h"

#include <gtest/gtest.h>

#include <future>

#include "agent/checks/probes.h"
#include "agent/server_picker.h"
#include "agent/watch_client.h"

namespace fyr::agent {
namespace {

using namespace std::chrono_literals;

// A new channel for every call, kept by the call alone: its end is the end of the channel, and
// without a server in the process of gRPC's callback threads, were they not held.
class ForgetfulSource final : public ChannelSource {
 public:
  ServerChannel pick() override {
    ServerPickerOptions options;
    options.addresses = {"127.0.0.1:1"};
    return ServerPicker::make(options, nullptr)->pick();
  }
  void failed(const ServerChannel&) override {}
  void on_change(std::function<void()>) override {}
  std::vector<std::string> addresses() const override { return {}; }
};

TEST(AgentStub, ACallMayBeTheLastToHoldItsChannel) {
  AgentStub stub(std::make_shared<ForgetfulSource>());
  for (int i = 0; i < 50; ++i) {
    std::promise<ErrorCode> ended;
    stub.push({}, [&](const Result<pb::PushResponse>& answer) {
      ended.set_value(answer ? ErrorCode::Internal : answer.error().code);
    });
    auto future = ended.get_future();
    ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(future.get(), ErrorCode::Unavailable);
  }
  stub.stop();
}

TEST(AgentStub, WhenItHasStoppedNothingOfTheCallersIsHeld) {
  for (int i = 0; i < 50; ++i) {
    auto source = std::make_shared<ForgetfulSource>();
    auto held = std::make_shared<int>(0);
    std::weak_ptr<int> seen = held;
    std::weak_ptr<ForgetfulSource> source_seen = source;
    {
      AgentStub stub(std::move(source));
      stub.push({}, [held](const Result<pb::PushResponse>&) {});
      held.reset();
      stub.stop();
      EXPECT_TRUE(seen.expired());
    }
    EXPECT_TRUE(source_seen.expired());
  }
}

TEST(WatchClient, AStreamMayBeTheLastToHoldItsChannel) {
  for (int i = 0; i < 4; ++i) {
    io::Runtime runtime(2);
    runtime.start();
    WatchClientOptions options;
    options.first_answer = 1ms;
    options.backoff_min = 1ms;
    options.backoff_max = 2ms;
    WatchClient client(runtime, 0, 1, std::make_shared<ForgetfulSource>(), options);
    std::promise<void> failed;
    (void)client.get("web", [&](const Result<ViewPtr>&) { failed.set_value(); });
    std::promise<void> found;
    client.find_nodes("n1", "", [&](const Result<std::vector<pb::Node>>&) { found.set_value(); });
    EXPECT_EQ(found.get_future().wait_for(10s), std::future_status::ready);
    EXPECT_EQ(failed.get_future().wait_for(10s), std::future_status::ready);
    client.stop();
    runtime.stop();
  }
}

TEST(GrpcProbe, EndsWhileItsAnswerIsOnTheWay) {
  pb::CheckDefinition definition;
  definition.set_grpc("127.0.0.1:1");
  ProbeRequest request;
  request.kind = CheckKind::Grpc;
  request.timeout = 5s;
  request.definition = &definition;
  for (int i = 0; i < 50; ++i) {
    io::Runtime runtime(1);
    runtime.start();
    std::promise<CheckStatus> told;
    std::unique_ptr<Probe> probe, abandoned;
    std::promise<void> started;
    runtime.post(0, [&] {
      probe = start_probe(runtime, 0, request,
                          [&](const CheckResult& result) { told.set_value(result.status); });
      abandoned = start_probe(runtime, 0, request, [](const CheckResult&) { FAIL(); });
      abandoned.reset();
      started.set_value();
    });
    started.get_future().wait();
    auto future = told.get_future();
    ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(future.get(), CheckStatus::Critical);
    std::promise<void> ended;
    runtime.post(0, [&] {
      probe.reset();
      ended.set_value();
    });
    ended.get_future().wait();
    runtime.stop();
  }
}

}  // namespace
}  // namespace fyr::agent
