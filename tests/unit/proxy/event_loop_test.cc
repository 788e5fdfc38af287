// The event loop on a real epoll set.
#include "proxy/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/io/runtime.h"
#include "tests/unit/proxy/forward_fixture.h"

namespace fyr::proxy::test {
namespace {

class Ready final : public IoHandler {
 public:
  explicit Ready(std::atomic<int>& called)
      : called_(called), fd_(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Ready() { ::close(fd_); }
  int fd() const { return fd_; }
  void on_io(std::uint32_t events) override { called_ += (events & EPOLLIN) != 0 ? 1 : 0; }

 private:
  std::atomic<int>& called_;
  int fd_;
};

// More descriptors than one call to the kernel hands out: the rest must not wait until something
// else happens.
TEST(EventLoop, ManyDescriptorsReadyAtOnceAreAllServed) {
  constexpr int kMany = 3000;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  io::Runtime runtime{1};
  EventLoop loop(runtime.context(0));
  std::atomic<int> called{0};
  std::vector<std::unique_ptr<Ready>> handlers;
  for (int i = 0; i < kMany; ++i) handlers.push_back(std::make_unique<Ready>(called));
  runtime.start();
  runtime.post(0, [&] {
    ASSERT_TRUE(loop.open());
    for (const auto& handler : handlers) {
      ASSERT_TRUE(loop.add(handler->fd(), *handler, EventLoop::kEdge));
    }
  });
  EXPECT_TRUE(await([&] { return called == kMany; })) << called;
  runtime.post(0, [&] { loop.close(); });
  runtime.stop();
}

}  // namespace
}  // namespace fyr::proxy::test
