#include "base/io/tcp_server.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/unit/base/raw_client.h"

namespace fyr::io {
namespace {

using namespace std::chrono_literals;

TcpFrameOptions loopback(int length_bytes = 2) {
  TcpFrameOptions options;
  options.bind = {"127.0.0.1", 0};
  options.length_bytes = length_bytes;
  return options;
}

void echo(const UdpPeer&, std::string message, TcpFrameServer::Reply reply) {
  reply("re: " + message);
}

TEST(TcpFrameServer, AnswersFramesOnOneConnection) {
  Runtime runtime(2);
  const auto server = TcpFrameServer::listen(runtime, loopback(), echo);
  ASSERT_TRUE(server) << server.error().message;
  runtime.start();
  RawClient client((*server)->bound());
  client.send(std::string("\0\1a\0\2bc", 7));
  EXPECT_EQ(client.read_bytes(7), std::string("\0\5re: a", 7));
  EXPECT_EQ(client.read_bytes(8), std::string("\0\6re: bc", 8));
}

TEST(TcpFrameServer, ClosesOnLengthsThatCannotBe) {
  Runtime runtime(1);
  auto options = loopback(4);
  options.max_message = 1000;
  const auto server = TcpFrameServer::listen(runtime, options, echo);
  ASSERT_TRUE(server);
  runtime.start();
  RawClient empty((*server)->bound());
  empty.send(std::string("\0\0\0\0", 4));
  EXPECT_TRUE(empty.sees_end());
  RawClient large((*server)->bound());
  large.send(std::string("\0\0\3\xe9", 4));
  EXPECT_TRUE(large.sees_end());
}

TEST(TcpFrameServer, ClosesIdleAndSlowConnections) {
  Runtime runtime(1);
  auto options = loopback();
  options.idle_timeout = 50ms;
  options.message_timeout = 50ms;
  const auto server = TcpFrameServer::listen(runtime, options, echo);
  ASSERT_TRUE(server);
  runtime.start();
  RawClient idle((*server)->bound());
  RawClient slow((*server)->bound());
  slow.send(std::string("\0\5ab", 4));
  EXPECT_TRUE(idle.sees_end());
  EXPECT_TRUE(slow.sees_end());
}

TEST(TcpFrameServer, LimitsConnectionsPerClient) {
  Runtime runtime(1);
  auto options = loopback();
  options.max_connections_per_client = 1;
  const auto server = TcpFrameServer::listen(runtime, options, echo);
  ASSERT_TRUE(server);
  runtime.start();
  RawClient first((*server)->bound());
  first.send(std::string("\0\1a", 3));
  EXPECT_EQ(first.read_bytes(7).size(), 7u);
  RawClient second((*server)->bound());
  second.send(std::string("\0\1a", 3));
  EXPECT_TRUE(second.sees_end());
}

TEST(TcpFrameServer, ReplyMayComeLateFromAnotherThread) {
  Runtime runtime(2);
  std::promise<TcpFrameServer::Reply> waiting;
  const auto server = TcpFrameServer::listen(
      runtime, loopback(), [&](const UdpPeer&, std::string, TcpFrameServer::Reply reply) {
        waiting.set_value(std::move(reply));
      });
  ASSERT_TRUE(server);
  runtime.start();
  RawClient client((*server)->bound());
  client.send(std::string("\0\1a", 3));
  waiting.get_future().get()("late");
  EXPECT_EQ(client.read_bytes(6), std::string("\0\4late", 6));
}

TEST(TcpFrameServer, StopsWhileBusy) {
  Runtime runtime(2);
  std::promise<TcpFrameServer::Reply> waiting;
  const auto server = TcpFrameServer::listen(
      runtime, loopback(), [&](const UdpPeer&, std::string, TcpFrameServer::Reply reply) {
        waiting.set_value(std::move(reply));
      });
  ASSERT_TRUE(server);
  runtime.start();
  RawClient client((*server)->bound());
  client.send(std::string("\0\1a", 3));
  const auto reply = waiting.get_future().get();
  (*server)->stop();
  EXPECT_TRUE(client.sees_end());
  reply("to nobody");
}

Result<std::string> call(Runtime& runtime, const HostPort& where, std::string message,
                         Duration timeout = 10s) {
  std::promise<Result<std::string>> answer;
  tcp_frame_call(runtime, 0, where, 4, std::move(message), timeout,
                 [&](Result<std::string> result) { answer.set_value(std::move(result)); });
  return answer.get_future().get();
}

TEST(TcpFrameCall, BringsOneAnswer) {
  Runtime runtime(1);
  auto options = loopback(4);
  options.max_message = 1 << 20;
  const auto server = TcpFrameServer::listen(runtime, options, echo);
  ASSERT_TRUE(server);
  runtime.start();
  EXPECT_EQ(*call(runtime, (*server)->bound(), "x"), "re: x");
  const std::string big(1'000'000, 'x');
  EXPECT_EQ(*call(runtime, (*server)->bound(), big), "re: " + big);
}

TEST(TcpFrameCall, FailsWhenNobodyListensOrAnswers) {
  Runtime runtime(1);
  HostPort gone;
  {
    const auto server = TcpFrameServer::listen(runtime, loopback(4), echo);
    ASSERT_TRUE(server);
    gone = (*server)->bound();
  }
  const auto silent = TcpFrameServer::listen(
      runtime, loopback(4), [](const UdpPeer&, std::string, TcpFrameServer::Reply) {});
  ASSERT_TRUE(silent);
  runtime.start();
  const auto refused = call(runtime, gone, "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Unavailable);
  const auto late = call(runtime, (*silent)->bound(), "x", 50ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::Timeout);
}

}  // namespace
}  // namespace fyr::io
