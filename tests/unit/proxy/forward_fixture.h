// Real loopback sockets around a real proxy: scripted endpoints, blocking clients, a source of
// endpoint lists the test pushes into.
//
// Every blocking call has a deadline (kPatience), so a broken proxy fails a test instead of hanging
// it. Endpoints answer from threads of their own; what they saw is awaited, not slept for.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/io/runtime.h"
#include "proxy/proxy.h"

namespace fyr::proxy::test {

inline constexpr std::chrono::seconds kPatience{10};

// A blocking socket.
class Stream {
 public:
  Stream() = default;
  explicit Stream(int fd);
  Stream(Stream&& other) noexcept
      : fd_(other.fd_), buffer_(std::move(other.buffer_)), mutex_(std::move(other.mutex_)) {
    other.fd_ = -1;
    other.mutex_ = std::make_unique<std::mutex>();
  }
  Stream& operator=(Stream&& other) noexcept;
  ~Stream() { close(); }
  static Stream connect(std::uint16_t port);

  bool send(std::string_view bytes);  // all of it
  // Up to and including `mark`; what was read so far if the stream ends before.
  std::string read_until(std::string_view mark);
  std::string read_exactly(std::size_t size);
  std::string read_to_end();
  // True if the next thing is an orderly end; false on bytes or a reset.
  bool at_end();
  bool was_reset() const { return reset_; }
  bool readable_within(std::chrono::milliseconds wait);
  void shutdown_write();
  void close();
  void reset();  // closes with RST
  // From another thread than the one that reads and writes:
  void interrupt();  // ends both directions
  void drop();       // as if the process were killed
  int fd() const { return fd_; }
  void small_receive_buffer(int size = 4096);

 private:
  bool fill();
  int fd_ = -1;
  bool reset_ = false;
  std::string buffer_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // closing against the above
};

struct Reply {
  int status = 0;  // 0: no answer
  std::string head;
  std::string body;
  std::string field(const std::string& name) const;  // "" if absent
};

class Client {
 public:
  explicit Client(std::uint16_t port) : stream(Stream::connect(port)) {}
  // Complete answer of one request, whatever its framing.
  Reply request(std::string_view text, bool head_only = false);
  Reply read_reply(bool head_only = false);
  Reply get(const std::string& path = "/") {
    return request("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
  }
  Stream stream;
};

// One request an endpoint has received.
struct Seen {
  std::string head;
  std::string body;
  std::string line() const { return head.substr(0, head.find("\r\n")); }
  bool has(const std::string& text) const { return head.find(text) != std::string::npos; }
};

// An endpoint whose behaviour a test scripts. The default answers every request with 200 and its
// name, keep-alive; /health always gets 200 while `healthy`.
class Backend {
 public:
  using Script = std::function<void(Backend&, Stream&, const Seen&)>;  // after one request
  using Raw = std::function<void(Backend&, Stream&)>;                  // owns the whole connection

  explicit Backend(std::string the_name = "b", int backlog = 64);
  ~Backend();
  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void on_request(Script script);  // health checks are answered before it is asked
  void on_connection(Raw raw);
  void stop_listening();  // further connections are refused
  void reset_all();       // as the kernel does when the process is killed
  void kill() {
    stop_listening();
    reset_all();
  }

  std::vector<Seen> seen();
  std::size_t count();  // requests, without health checks
  int connections() const { return connections_; }
  bool await_count(std::size_t n);

  const std::string name;
  std::atomic<bool> healthy{true};
  std::atomic<bool> frozen{false};  // reads, never answers, not even checks

  static std::string ok(const std::string& body, const std::string& fields = "");

 private:
  void accept_loop();
  void serve(std::shared_ptr<Stream> stream);

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  std::vector<std::weak_ptr<Stream>> open_;
  std::vector<Seen> seen_;
  Script script_;
  Raw raw_;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
};

class FakeSource final : public EndpointSource {
 public:
  std::unique_ptr<EndpointWatch> watch(const std::string& service,
                                       std::function<void(EndpointUpdate)> on_update) override;
  void push(EndpointUpdate update);
  std::optional<EndpointUpdate> first;  // delivered from inside watch()

 private:
  std::mutex mutex_;
  std::vector<std::function<void(EndpointUpdate)>> listeners_;
};

EndpointInfo endpoint_of(const Backend& backend);

// A proxy on two io threads. Short timeouts: a test that waits for one lasts some 100 ms.
class ForwardTest : public ::testing::Test {
 protected:
  ForwardTest();
  ~ForwardTest() override;

  // One http listener with static endpoints; change `listener` before.
  void start(std::vector<Backend*> backends);
  void start_with_source();
  std::uint16_t port() const { return listener.local_bind_port; }
  bool await_status(const std::string& text);  // until the status page contains it

  ListenerConfig listener;
  std::string site;  // of the agent
  std::vector<ListenerConfig> more_listeners;
  FakeSource source;
  io::Runtime runtime{2};
  std::unique_ptr<Proxy> proxy;
};

std::uint16_t free_port();
bool await(const std::function<bool()>& condition);
std::string post_of(const std::string& body, const std::string& fields = "");

}  // namespace fyr::proxy::test
