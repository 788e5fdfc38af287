#include "tests/unit/proxy/forward_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fyr::proxy::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::string lower(std::string text) {
  for (auto& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string find_field(const std::string& head, const std::string& name) {
  const auto at = lower(head).find("\r\n" + lower(name) + ":");
  if (at == std::string::npos) return "";
  auto begin = at + 2 + name.size() + 1;
  while (begin < head.size() && head[begin] == ' ') ++begin;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

// The body after `head` according to its framing.
std::string read_body(Stream& stream, const std::string& head, bool until_close) {
  if (lower(find_field(head, "Transfer-Encoding")) == "chunked") {
    std::string body;
    while (true) {
      const std::string line = stream.read_until("\r\n");
      if (line.size() < 3) return body;
      const auto size = std::stoul(line, nullptr, 16);
      if (size == 0) break;
      body += stream.read_exactly(size);
      stream.read_until("\r\n");
    }
    while (stream.read_until("\r\n").size() > 2) {
    }
    return body;
  }
  const std::string length = find_field(head, "Content-Length");
  if (!length.empty()) return stream.read_exactly(std::stoul(length));
  return until_close ? stream.read_to_end() : std::string();
}

}  // namespace

// ---- Stream -------------------------------------------------------------------------------------

Stream::Stream(int fd) : fd_(fd) {
  const timeval patience{kPatience.count(), 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.fd_;
    other.fd_ = -1;
    buffer_ = std::move(other.buffer_);
  }
  return *this;
}

Stream Stream::connect(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ADD_FAILURE() << "connect to port " << port << ": " << std::strerror(errno);
  }
  return Stream(fd);
}

bool Stream::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool Stream::fill() {
  char bytes[65536];
  const auto n = ::recv(fd_, bytes, sizeof bytes, 0);
  if (n < 0 && errno == ECONNRESET) reset_ = true;
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<std::size_t>(n));
  return true;
}

std::string Stream::read_until(std::string_view mark) {
  while (true) {
    const auto at = buffer_.find(mark);
    if (at != std::string::npos) {
      std::string out = buffer_.substr(0, at + mark.size());
      buffer_.erase(0, at + mark.size());
      return out;
    }
    if (!fill()) return std::move(buffer_);
  }
}

std::string Stream::read_exactly(std::size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  std::string out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return out;
}

std::string Stream::read_to_end() {
  while (fill()) {
  }
  return std::move(buffer_);
}

bool Stream::at_end() {
  if (!buffer_.empty()) return false;
  char byte;
  const auto n = ::recv(fd_, &byte, 1, 0);
  if (n < 0 && errno == ECONNRESET) reset_ = true;
  return n == 0;
}

bool Stream::readable_within(std::chrono::milliseconds wait) {
  pollfd entry{fd_, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(wait.count())) == 1;
}

void Stream::shutdown_write() {
  ::shutdown(fd_, SHUT_WR);
}

void Stream::small_receive_buffer(int size) {
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

void Stream::close() {
  std::lock_guard lock(*mutex_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Stream::interrupt() {
  std::lock_guard lock(*mutex_);
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

// The descriptor stays for the thread that reads it; dissolving the association resets.
void Stream::drop() {
  std::lock_guard lock(*mutex_);
  if (fd_ < 0) return;
  sockaddr unspecified{};
  unspecified.sa_family = AF_UNSPEC;
  ::connect(fd_, &unspecified, sizeof unspecified);
  ::shutdown(fd_, SHUT_RDWR);
}

void Stream::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

// ---- Client -------------------------------------------------------------------------------------

std::string Reply::field(const std::string& name) const {
  return find_field(head, name);
}

Reply Client::request(std::string_view text, bool head_only) {
  if (!stream.send(text)) return {};
  return read_reply(head_only);
}

Reply Client::read_reply(bool head_only) {
  Reply reply;
  reply.head = stream.read_until("\r\n\r\n");
  if (reply.head.size() < 12) return {};
  reply.status = std::atoi(reply.head.substr(9, 3).c_str());
  const bool bodiless =
      head_only || reply.status < 200 || reply.status == 204 || reply.status == 304;
  if (!bodiless) reply.body = read_body(stream, reply.head, true);
  return reply;
}

// ---- Backend ------------------------------------------------------------------------------------

Backend::Backend(std::string the_name, int backlog) : name(std::move(the_name)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener_, backlog), 0);
  socklen_t length = sizeof address;
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

Backend::~Backend() {
  stop_listening();
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& weak : open_) {
      if (const auto stream = weak.lock()) stream->interrupt();
    }
    threads.swap(threads_);
    changed_.notify_all();
  }
  for (auto& thread : threads) thread.join();
}

void Backend::stop_listening() {
  if (listener_ < 0) return;
  ::shutdown(listener_, SHUT_RDWR);  // wakes accept()
  acceptor_.join();
  ::close(listener_);
  listener_ = -1;
}

void Backend::reset_all() {
  std::lock_guard lock(mutex_);
  for (const auto& weak : open_) {
    if (const auto stream = weak.lock()) stream->drop();
  }
}

void Backend::on_request(Script script) {
  std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

void Backend::on_connection(Raw raw) {
  std::lock_guard lock(mutex_);
  raw_ = std::move(raw);
}

void Backend::accept_loop() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    auto stream = std::make_shared<Stream>(fd);
    std::lock_guard lock(mutex_);
    open_.push_back(stream);
    threads_.emplace_back([this, stream] { serve(stream); });
  }
}

void Backend::serve(std::shared_ptr<Stream> stream) {
  Raw raw;
  {
    std::lock_guard lock(mutex_);
    raw = raw_;
  }
  if (raw) {
    raw(*this, *stream);
    return;
  }
  while (!stopping_) {
    Seen request;
    request.head = stream->read_until("\r\n\r\n");
    if (!request.head.ends_with("\r\n\r\n")) return;
    if (frozen) continue;
    if (request.line().starts_with("GET /health ")) {
      stream->send(healthy ? ok("well") : "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n");
      continue;
    }
    if (!request.has("100-continue")) request.body = read_body(*stream, request.head, false);
    Script script;
    {
      std::lock_guard lock(mutex_);
      seen_.push_back(request);
      script = script_;
      changed_.notify_all();
    }
    if (script) {
      script(*this, *stream, request);
      if (stream->fd() < 0) return;
    } else {
      stream->send(ok(name));
    }
  }
}

std::vector<Seen> Backend::seen() {
  std::lock_guard lock(mutex_);
  return seen_;
}

std::size_t Backend::count() {
  std::lock_guard lock(mutex_);
  return seen_.size();
}

bool Backend::await_count(std::size_t n) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return seen_.size() >= n; });
}

std::string Backend::ok(const std::string& body, const std::string& fields) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields +
         "\r\n" + body;
}

// ---- FakeSource ---------------------------------------------------------------------------------

namespace {
class FakeWatch final : public EndpointWatch {
 public:
  explicit FakeWatch(std::function<void()> the_end) : end(std::move(the_end)) {}
  ~FakeWatch() override { end(); }
  std::function<void()> end;
};
}  // namespace

std::unique_ptr<EndpointWatch> FakeSource::watch(const std::string&,
                                                 std::function<void(EndpointUpdate)> on_update) {
  std::lock_guard lock(mutex_);
  if (first) on_update(*first);
  listeners_.push_back(std::move(on_update));
  return std::make_unique<FakeWatch>([this] {
    std::lock_guard guard(mutex_);
    listeners_.clear();
  });
}

void FakeSource::push(EndpointUpdate update) {
  std::lock_guard lock(mutex_);
  for (const auto& listener : listeners_) listener(update);
}

EndpointInfo endpoint_of(const Backend& backend) {
  EndpointInfo info;
  info.id = "node/" + backend.name;
  info.node = "node";
  info.address = "127.0.0.1";
  info.port = backend.port();
  return info;
}

// ---- ForwardTest --------------------------------------------------------------------------------

ForwardTest::ForwardTest() {
  listener.name = "web";
  listener.destination_name = "svc";
  listener.destination_type = DestinationType::Static;
  listener.local_bind_port = free_port();
  listener.timeouts.client = std::chrono::seconds(2);
  listener.timeouts.server = std::chrono::seconds(2);
  runtime.start();
}

ForwardTest::~ForwardTest() {
  if (proxy) proxy->stop();
  proxy.reset();
  runtime.stop();
}

void ForwardTest::start(std::vector<Backend*> backends) {
  for (const auto* backend : backends) {
    listener.endpoints.push_back({backend->name, "127.0.0.1", backend->port(), 1});
  }
  start_with_source();
}

void ForwardTest::start_with_source() {
  ProxyConfig config;
  config.node_name = "node1";
  config.site = site;
  config.listeners.push_back(listener);
  for (const auto& other : more_listeners) config.listeners.push_back(other);
  auto created = Proxy::create(runtime, source, config);
  ASSERT_TRUE(created) << created.error().message;
  proxy = std::move(*created);
  const auto started = proxy->start();
  ASSERT_TRUE(started) << started.error().message;
}

bool ForwardTest::await_status(const std::string& text) {
  return await([&] { return proxy->status_json().find(text) != std::string::npos; });
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  ::close(fd);
  return ntohs(address.sin_port);
}

// For states that have no event to wait for: looks every millisecond.
bool await(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

std::string post_of(const std::string& body, const std::string& fields) {
  return "POST /p HTTP/1.1\r\nHost: test\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace fyr::proxy::test
