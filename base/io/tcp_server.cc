#include "base/io/tcp_server.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <future>
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/check.h"
#include "base/guarded.h"
#include "base/io/connector.h"
#include "base/log.h"
#include "base/metrics.h"

namespace fyr::io {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxUnanswered = 128;  // messages of one connection
constexpr std::size_t kMaxUnsent = 1 << 20;  // bytes of answers of one connection
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(100);

std::size_t read_length(const std::array<unsigned char, 4>& bytes, int count) {
  std::size_t length = 0;
  for (int i = 0; i < count; ++i) length = length << 8 | bytes[static_cast<std::size_t>(i)];
  return length;
}

std::string frame(const std::string& message, int length_bytes) {
  std::string out;
  out.reserve(message.size() + 4);
  if (length_bytes == 2) {
    append_be16(out, static_cast<std::uint16_t>(message.size()));
  } else {
    append_be32(out, static_cast<std::uint32_t>(message.size()));
  }
  return out += message;
}

class FrameConnection;

// Shared by the threads of one server.
struct FrameCore {
  FrameCore(Runtime& r, TcpFrameOptions o, TcpFrameServer::Receive f)
      : runtime(r), options(std::move(o)), receive(std::move(f)) {}
  Runtime& runtime;
  const TcpFrameOptions options;
  const TcpFrameServer::Receive receive;
  struct Counts {
    std::size_t all = 0;
    std::map<IpAddress, std::size_t> by_client;
    std::set<std::shared_ptr<FrameConnection>> open;
  };
  Guarded<Counts> counts;
  std::atomic<bool> stopped{false};
};

class FrameConnection : public std::enable_shared_from_this<FrameConnection> {
 public:
  FrameConnection(std::shared_ptr<FrameCore> core, int thread, StreamSocket socket, UdpPeer peer)
      : core_(std::move(core)),
        thread_(thread),
        context_(core_->runtime.context(thread)),
        socket_(std::move(socket)),
        timer_(context_),
        peer_(peer) {}

  int thread() const { return thread_; }

  void start() { read_header(); }

  void close() {
    if (closed_) return;
    closed_ = true;
    boost::system::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    core_->counts.with([this](FrameCore::Counts& counts) {
      --counts.all;
      const auto client = counts.by_client.find(peer_.address);
      if (--client->second == 0) counts.by_client.erase(client);
      counts.open.erase(shared_from_this());
    });
  }

 private:
  // The timer of a read that is over must not end a later one: turn_ tells them apart.
  void expect_within(Duration limit) {
    timer_.expires_after(limit);
    timer_.async_wait([self = shared_from_this(), turn = ++turn_](const auto& code) {
      if (!code && turn == self->turn_) self->close();
    });
  }

  void read_header() {
    if (closed_ || reading_) return;
    if (unanswered_ >= kMaxUnanswered) return;  // goes on with the next reply
    reading_ = true;
    expect_within(core_->options.idle_timeout);
    const auto size = static_cast<std::size_t>(core_->options.length_bytes);
    asio::async_read(socket_, asio::buffer(header_.data(), size),
                     [self = shared_from_this()](const auto& code, std::size_t) {
                       if (code) return self->close();
                       self->read_message();
                     });
  }

  void read_message() {
    if (closed_) return;
    const auto length = read_length(header_, core_->options.length_bytes);
    if (length == 0 || length > core_->options.max_message) {
      metrics::counter("fyr.tcp.bad_lengths").add();
      return close();
    }
    expect_within(core_->options.message_timeout);
    message_.clear();
    read_part(length);
  }

  // Memory grows with what has come, not with what was announced.
  void read_part(std::size_t length) {
    constexpr std::size_t kPart = 64 * 1024;
    const auto have = message_.size();
    message_.resize(std::min(length, have + kPart));
    asio::async_read(socket_, asio::buffer(message_.data() + have, message_.size() - have),
                     [self = shared_from_this(), length](const auto& code, std::size_t) {
                       if (code || self->closed_) return self->close();
                       if (self->message_.size() < length) return self->read_part(length);
                       self->receive();
                     });
  }

  void receive() {
    reading_ = false;
    ++unanswered_;
    const auto reply = [self = shared_from_this()](std::string message) {
      if (self->core_->runtime.current() == self->thread_) {
        return self->send(std::move(message));
      }
      asio::post(self->context_, [self, message = std::move(message)]() mutable {
        self->send(std::move(message));
      });
    };
    core_->receive(peer_, std::move(message_), reply);
    message_ = {};
    read_header();
  }

  void send(std::string message) {
    if (closed_) return;
    if (unanswered_ > 0) --unanswered_;
    if (!message.empty()) {
      unsent_bytes_ += message.size();
      if (unsent_bytes_ > kMaxUnsent + core_->options.max_message) return close();
      queue_.push_back(frame(message, core_->options.length_bytes));
      if (queue_.size() == 1) write_next();
    }
    read_header();
  }

  void write_next() {
    asio::async_write(socket_, asio::buffer(queue_.front()),
                      [self = shared_from_this()](const auto& code, std::size_t size) {
                        if (code || self->closed_) return self->close();
                        const auto header =
                            static_cast<std::size_t>(self->core_->options.length_bytes);
                        self->unsent_bytes_ -= size - header;
                        self->queue_.pop_front();
                        if (!self->queue_.empty()) self->write_next();
                      });
  }

  std::shared_ptr<FrameCore> core_;
  const int thread_;
  asio::io_context& context_;
  StreamSocket socket_;
  ThreadTimer timer_;
  const UdpPeer peer_;
  std::array<unsigned char, 4> header_{};
  std::string message_;
  std::deque<std::string> queue_;
  std::size_t unsent_bytes_ = 0;
  std::size_t unanswered_ = 0;
  std::uint64_t turn_ = 0;
  bool reading_ = false;
  bool closed_ = false;
};

class TcpFrameServerImpl final : public TcpFrameServer {
 public:
  TcpFrameServerImpl(Runtime& runtime, TcpFrameOptions options, Receive receive)
      : core_(std::make_shared<FrameCore>(runtime, std::move(options), std::move(receive))),
        acceptor_(std::make_shared<Acceptor>(runtime.context(0))) {}
  ~TcpFrameServerImpl() override { stop(); }

  Result<void> open() {
    const auto address = to_bind_address(core_->options.bind);
    if (!address) return address.error();
    constexpr int kBacklog = 1024;
    const auto fd = listen_on(*address, core_->options.bind.to_string(), false, kBacklog);
    if (!fd) return fd.error();
    bound_ = local_address(*fd);
    boost::system::error_code code;
    const asio::generic::stream_protocol protocol(address->storage.ss_family, 0);
    acceptor_->socket.assign(protocol, *fd, code);
    CHECK_MSG(!code, code.message());
    core_->runtime.post(0, [core = core_, acceptor = acceptor_] { accept(core, acceptor); });
    return {};
  }

  HostPort bound() const override { return bound_; }

  void stop() override {
    if (core_->stopped.exchange(true)) return;
    for (int thread = 0; thread < core_->runtime.size(); ++thread) {
      const auto close_all = [this, thread] {
        boost::system::error_code ignored;
        if (thread == 0) acceptor_->socket.close(ignored);
        if (thread == 0) acceptor_->timer.cancel();
        const auto open = core_->counts.with([](auto& counts) { return counts.open; });
        for (const auto& connection : open) {
          if (connection->thread() == thread) connection->close();
        }
      };
      if (!core_->runtime.running()) {
        close_all();
        continue;
      }
      CHECK_MSG(core_->runtime.current() == -1, "an io thread cannot wait for the others");
      std::promise<void> closed;
      core_->runtime.post(thread, [&] {
        close_all();
        closed.set_value();
      });
      closed.get_future().wait();
    }
  }

 private:
  struct Acceptor {
    explicit Acceptor(asio::io_context& context) : socket(context), timer(context) {}
    asio::basic_socket_acceptor<asio::generic::stream_protocol, asio::io_context::executor_type>
        socket;
    ThreadTimer timer;
  };

  static void accept(const std::shared_ptr<FrameCore>& core,
                     const std::shared_ptr<Acceptor>& acceptor) {
    if (core->stopped.load()) return;
    const int thread = core->runtime.next();
    acceptor->socket.async_accept(
        core->runtime.context(thread),
        [core, acceptor, thread](const boost::system::error_code& code, StreamSocket socket) {
          if (core->stopped.load() || code == asio::error::operation_aborted) return;
          if (code && code != asio::error::connection_aborted) {
            // Out of descriptors: the backlog would wake us again at once.
            acceptor->timer.expires_after(kPauseWithoutDescriptors);
            return acceptor->timer.async_wait([core, acceptor](const auto& cancelled) {
              if (!cancelled) accept(core, acceptor);
            });
          }
          if (!code) admit(core, thread, std::move(socket));
          accept(core, acceptor);
        });
  }

  static void admit(const std::shared_ptr<FrameCore>& core, int thread, StreamSocket socket) {
    SocketAddress address;
    address.length = sizeof address.storage;
    if (::getpeername(socket.native_handle(), address.get(), &address.length) != 0) return;
    const auto peer = to_peer(address.storage);
    const auto connection =
        std::make_shared<FrameConnection>(core, thread, std::move(socket), peer);
    const bool admitted = core->counts.with([&](FrameCore::Counts& counts) {
      if (counts.all >= core->options.max_connections) return false;
      auto& of_client = counts.by_client[peer.address];
      if (of_client >= core->options.max_connections_per_client) return false;
      ++of_client;
      ++counts.all;
      counts.open.insert(connection);
      return true;
    });
    if (!admitted) {
      metrics::counter("fyr.tcp.connections_refused").add();
      return;
    }
    asio::post(core->runtime.context(thread), [core, connection] {
      if (core->stopped.load()) return connection->close();
      connection->start();
    });
  }

  std::shared_ptr<FrameCore> core_;
  std::shared_ptr<Acceptor> acceptor_;
  HostPort bound_;
};

// ---- one question, one answer ------------------------------------------------------------------

class FrameCall : public std::enable_shared_from_this<FrameCall> {
 public:
  FrameCall(asio::io_context& context, HostPort target, int length_bytes, std::string message,
            std::function<void(Result<std::string>)> done)
      : socket_(context),
        timer_(context),
        shown_("call tcp " + target.to_string()),
        length_bytes_(length_bytes),
        out_(frame(message, length_bytes)),
        done_(std::move(done)) {}

  void start(asio::io_context& context, const HostPort& target, Instant deadline) {
    timer_.expires_after(std::max(deadline - now(), Duration::zero()));
    timer_.async_wait([self = shared_from_this()](const auto& code) {
      if (!code) self->finish(timeout_error(self->shown_));
    });
    connector_ = Connector::start(context, target, deadline,
                                  [self = shared_from_this()](Result<StreamSocket> socket) {
                                    if (!socket) return self->finish(socket.error());
                                    self->socket_ = std::move(*socket);
                                    self->write();
                                  });
  }

 private:
  void write() {
    asio::async_write(socket_, asio::buffer(out_),
                      [self = shared_from_this()](const auto& code, std::size_t) {
                        if (code) return self->finish(network_error(self->shown_, code));
                        self->read_header();
                      });
  }

  void read_header() {
    const auto size = static_cast<std::size_t>(length_bytes_);
    asio::async_read(socket_, asio::buffer(header_.data(), size),
                     [self = shared_from_this()](const auto& code, std::size_t) {
                       if (code) return self->finish(network_error(self->shown_, code));
                       self->read_message();
                     });
  }

  void read_message() {
    constexpr std::size_t kMaxAnswer = 64 << 20;
    const auto length = read_length(header_, length_bytes_);
    if (length > kMaxAnswer) {
      return finish(fail(ErrorCode::Corrupt, shown_ + ": answer is longer than 64 MiB"));
    }
    in_.resize(length);
    asio::async_read(socket_, asio::buffer(in_),
                     [self = shared_from_this()](const auto& code, std::size_t) {
                       if (code) return self->finish(network_error(self->shown_, code));
                       self->finish(std::move(self->in_));
                     });
  }

  void finish(Result<std::string> result) {
    const auto done = std::exchange(done_, nullptr);
    if (!done) return;
    if (const auto connector = connector_.lock()) connector->cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    done(std::move(result));
  }

  StreamSocket socket_;
  ThreadTimer timer_;
  const std::string shown_;
  const int length_bytes_;
  std::string out_;
  std::string in_;
  std::array<unsigned char, 4> header_{};
  std::weak_ptr<Connector> connector_;  // its own operations keep it; a strong one would be a ring
  std::function<void(Result<std::string>)> done_;
};

}  // namespace

Result<std::unique_ptr<TcpFrameServer>> TcpFrameServer::listen(Runtime& runtime,
                                                               TcpFrameOptions options,
                                                               Receive receive) {
  CHECK(options.length_bytes == 2 || options.length_bytes == 4);
  auto server =
      std::make_unique<TcpFrameServerImpl>(runtime, std::move(options), std::move(receive));
  if (auto opened = server->open(); !opened) return opened.error();
  return std::unique_ptr<TcpFrameServer>(std::move(server));
}

void tcp_frame_call(Runtime& runtime, int thread, HostPort target, int length_bytes,
                    std::string message, Duration timeout,
                    std::function<void(Result<std::string>)> done) {
  CHECK(length_bytes == 2 || length_bytes == 4);
  auto& context = runtime.context(thread);
  const auto deadline = now() + timeout;
  const auto call = std::make_shared<FrameCall>(context, target, length_bytes, std::move(message),
                                                std::move(done));
  runtime.post(thread,
               [&context, call, target, deadline] { call->start(context, target, deadline); });
}

}  // namespace fyr::io
