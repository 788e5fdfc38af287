// The ring between forwarding and the log file: order, limits, and what happens when it is full.
#include "proxy/log_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace fyr::proxy {
namespace {

class LogWriting : public ::testing::Test {
 protected:
  LogWriting() {
    path = ::testing::TempDir() + "fyr_log_writer_" + std::to_string(::getpid()) + ".log";
    std::remove(path.c_str());
    config.name = "web";
    config.destination_name = "svc";
    config.access_log = {LogTarget::File, path};
  }
  ~LogWriting() override { std::remove(path.c_str()); }

  bool push(LogRing& ring, const LogSink* sink, int number, std::size_t padding = 0) {
    const std::string line = "GET /" + std::to_string(number) + std::string(padding, 'x');
    LogEntry entry;
    entry.sink = sink;
    entry.client = to_socket_address(*IpAddress::parse("10.0.0.1"), 99);
    entry.record.endpoint = "e";
    entry.record.request_line = line;
    return ring.push(entry);
  }
  int lines_in_order() {
    std::ifstream file(path);
    int expected = 0;
    for (std::string line; std::getline(file, line); ++expected) {
      EXPECT_TRUE(line.starts_with("10.0.0.1:99 [")) << line;
      EXPECT_NE(line.find("\"GET /" + std::to_string(expected)), std::string::npos) << line;
    }
    return expected;
  }

  std::string path;
  ListenerConfig config;
};

TEST_F(LogWriting, LinesKeepTheirOrderAcrossTheEndOfTheRing) {
  LogWriter writer;
  const auto sink = writer.open(config);
  ASSERT_TRUE(sink);
  LogRing* ring = writer.add_ring();
  writer.start();
  int pushed = 0;
  while (pushed < 20000) {
    if (push(*ring, *sink, pushed, static_cast<std::size_t>(pushed % 700))) {
      ++pushed;
    } else {
      std::this_thread::yield();
    }
    writer.wake();
  }
  writer.stop();
  EXPECT_EQ(lines_in_order(), 20000);
}

TEST_F(LogWriting, FullRingDropsAndCountsInsteadOfWaiting) {
  LogWriter writer;
  const auto sink = writer.open(config);
  LogRing* ring = writer.add_ring();  // nobody empties it
  int accepted = 0;
  while (push(*ring, *sink, accepted)) ++accepted;
  EXPECT_GT(accepted, 1000);
  EXPECT_EQ(writer.dropped(), 1u);
  writer.start();
  writer.stop();
  EXPECT_EQ(lines_in_order(), accepted);
}

TEST_F(LogWriting, FullDiskLosesLinesOnly) {
  config.access_log.path = "/dev/full";
  LogWriter writer;
  const auto sink = writer.open(config);
  ASSERT_TRUE(sink);
  LogRing* ring = writer.add_ring();
  for (int i = 0; i < 10; ++i) push(*ring, *sink, i);
  writer.start();
  writer.stop();
  EXPECT_EQ(writer.dropped(), 10u);
}

}  // namespace
}  // namespace fyr::proxy
