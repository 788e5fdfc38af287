#include "base/io/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <future>
#include <system_error>

#include "base/check.h"
#include "base/io/http_connection.h"
#include "base/io/socket_address.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::io {
namespace {

namespace asio = boost::asio;
using http::ServerCore;
using http::Shard;
using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerTurn = 64;
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(100);

// Accepted sockets inherit these, which saves a system call each per connection.
void set_tcp_options(int fd) {
  const int on = 1;
  const int idle_seconds = 15;
  const int probes = 6;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

// One listening socket on one thread. Hands each accepted descriptor to `take`.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Take = std::function<void(int fd, const UdpPeer& peer, int family)>;
  Listener(Runtime& runtime, int thread, int fd, Take take)
      : runtime_(runtime),
        thread_(thread),
        descriptor_(runtime.context(thread), fd),
        take_(std::move(take)) {}

  int thread() const { return thread_; }

  void wait() {
    descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& code) {
                             if (!code && self->descriptor_.is_open()) self->accept_some();
                           });
  }

  void close() {
    boost::system::error_code ignored;
    descriptor_.close(ignored);
    pause_.cancel();
  }

 private:
  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      SocketAddress peer;
      peer.length = sizeof peer.storage;
      const int fd = ::accept4(descriptor_.native_handle(), peer.get(), &peer.length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        take_(fd, to_peer(peer.storage), peer.storage.ss_family);
        continue;
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        return pause(errno);
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      // ECONNABORTED and what the network can do to a connection before it is accepted: go on.
    }
    wait();
  }

  // The connection stays in the backlog and would wake us at once, again and again.
  void pause(int error) {
    metrics::counter("fyr.http.accept_pauses").add();
    if (!complained_)
      log::warn("http", "cannot accept connections: {}", std::generic_category().message(error));
    complained_ = true;
    pause_ = runtime_.schedule(thread_, kPauseWithoutDescriptors, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->descriptor_.is_open()) self->wait();
    });
  }

  Runtime& runtime_;
  const int thread_;
  Descriptor descriptor_;
  Take take_;
  Timer pause_;
  bool complained_ = false;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(Runtime& runtime, HttpServerOptions options, HttpHandler handler)
      : runtime_(runtime),
        core_(std::make_shared<ServerCore>(runtime, std::move(options), std::move(handler))) {
    for (int i = 0; i < runtime.size(); ++i) shards_.push_back(std::make_shared<Shard>(core_, i));
  }
  ~HttpServerImpl() override { stop(); }

  Result<void> open() {
    for (const auto& where : core_->options.listen) {
      if (auto opened = open_tcp(where); !opened) return opened.error();
    }
    for (const auto& path : core_->options.unix_sockets) {
      if (auto opened = open_unix(path); !opened) return opened.error();
    }
    for (const auto& listener : listeners_) {
      runtime_.post(listener->thread(), [listener] { listener->wait(); });
    }
    return {};
  }

  std::vector<HostPort> bound() const override { return bound_; }

  void stop() override {
    if (stopped_) return;
    stopped_ = true;
    for (const auto& path : unix_paths_) ::unlink(path.c_str());
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      const auto close_all = [this, i] {
        for (const auto& listener : listeners_) {
          if (listener->thread() == static_cast<int>(i)) listener->close();
        }
        shards_[i]->stop();
      };
      if (!runtime_.running()) {
        close_all();
        continue;
      }
      CHECK_MSG(runtime_.current() == -1, "an io thread cannot wait for the others");
      std::promise<void> closed;
      runtime_.post(static_cast<int>(i), [&] {
        close_all();
        closed.set_value();
      });
      closed.get_future().wait();
    }
    listeners_.clear();
  }

 private:
  void add_listener(int thread, int fd, Listener::Take take) {
    listeners_.push_back(std::make_shared<Listener>(runtime_, thread, fd, std::move(take)));
  }

  // SO_REUSEPORT would let a second process share our port unnoticed. A socket without it cannot
  // be bound beside a listening one, so try that first.
  static Result<void> probe(const SocketAddress& address, const std::string& shown) {
    const auto fd = listen_on(address, shown, false, 1);
    if (!fd) return fd.error();
    ::close(*fd);
    return {};
  }

  Result<void> open_tcp(const HostPort& where) {
    auto address = to_bind_address(where);
    if (!address) return address.error();
    const auto shown = where.to_string();
    if (where.port != 0) {
      if (auto free = probe(*address, shown); !free) return free.error();
    }
    HostPort actual = where;
    for (int thread = 0; thread < runtime_.size(); ++thread) {
      const auto fd = listen_on(*address, shown, true, kBacklog);
      if (!fd) return fd.error();
      set_tcp_options(*fd);
      if (thread == 0) {
        actual = local_address(*fd);
        address = to_bind_address(actual);
        if (!address) return address.error();
      }
      add_listener(thread, *fd,
                   [shard = shards_[static_cast<std::size_t>(thread)]](
                       int accepted, const UdpPeer& peer, int family) {
                     shard->adopt(accepted, peer, family);
                   });
    }
    bound_.push_back(actual);
    return {};
  }

  Result<void> open_unix(const std::string& path) {
    const auto address = to_unix_address(path);
    if (!address) return address.error();
    if (auto cleared = clear_stale(*address, path); !cleared) return cleared.error();
    const auto fd = listen_on(*address, path, false, kBacklog);
    if (!fd) return fd.error();
    unix_paths_.push_back(path);
    add_listener(0, *fd, [this, shards = shards_](int accepted, const UdpPeer& peer, int family) {
      const auto& shard = shards[static_cast<std::size_t>(runtime_.next())];
      asio::post(shard->context(),
                 [shard, accepted, peer, family] { shard->adopt(accepted, peer, family); });
    });
    return {};
  }

  // A socket file nobody answers on is left from a process that was killed.
  static Result<void> clear_stale(const SocketAddress& address, const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode)) return bind_error("unix", path, EEXIST);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return bind_error("unix", path, errno);
    const bool alive = ::connect(fd, address.get(), address.length) == 0;
    ::close(fd);
    if (alive) return bind_error("unix", path, EADDRINUSE);
    if (::unlink(path.c_str()) != 0) return bind_error("unix", path, errno);
    return {};
  }

  Runtime& runtime_;
  std::shared_ptr<ServerCore> core_;
  std::vector<std::shared_ptr<Shard>> shards_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<HostPort> bound_;
  std::vector<std::string> unix_paths_;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Runtime& runtime, HttpServerOptions options,
                                                       HttpHandler handler) {
  auto server = std::make_unique<HttpServerImpl>(runtime, std::move(options), std::move(handler));
  if (auto opened = server->open(); !opened) return opened.error();
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace fyr::io
