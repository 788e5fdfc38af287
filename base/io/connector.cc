#include "base/io/connector.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

namespace fyr::io {

namespace asio = boost::asio;

Error network_error(const std::string& what, const boost::system::error_code& code) {
  const bool timed_out = code == asio::error::timed_out;
  return fail(timed_out ? ErrorCode::Timeout : ErrorCode::Unavailable,
              what + ": " + code.message());
}

Error timeout_error(const std::string& what) {
  return fail(ErrorCode::Timeout, what + ": timed out");
}

Connector::Connector(asio::io_context& context)
    : context_(context), resolver_(context), timer_(context), socket_(context) {}

std::shared_ptr<Connector> Connector::start(asio::io_context& context, const HostPort& target,
                                            Instant deadline, Done done) {
  auto connector = std::make_shared<Connector>(context);
  connector->target_ = target;
  connector->deadline_ = deadline;
  connector->done_ = std::move(done);
  connector->run();
  return connector;
}

void Connector::cancel() {
  done_ = nullptr;
  boost::system::error_code ignored;
  resolver_.cancel();
  timer_.cancel();
  socket_.close(ignored);
}

void Connector::run() {
  if (target_.host.starts_with('/')) {
    shown_ = "connect unix " + target_.host;
    const auto address = to_unix_address(target_.host);
    if (!address) return finish(address.error());
    addresses_.push_back(*address);
    return try_next();
  }
  shown_ = "connect tcp " + target_.to_string();
  if (const auto literal = IpAddress::parse(target_.host)) {
    addresses_.push_back(to_socket_address(*literal, target_.port));
    return try_next();
  }
  resolve();
}

void Connector::resolve() {
  timer_.expires_after(std::max(deadline_ - now(), Duration::zero()));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& code) {
    if (code || !self->done_ || !self->addresses_.empty()) return;
    self->resolver_.cancel();
    self->finish(timeout_error(self->shown_ + ": resolving the name"));
  });
  resolver_.async_resolve(
      target_.host, std::to_string(target_.port),
      [self = shared_from_this()](const boost::system::error_code& code, const auto& results) {
        if (!self->done_) return;
        self->timer_.cancel();
        if (code) return self->finish(network_error(self->shown_, code));
        for (const auto& entry : results) {
          SocketAddress address;
          const auto endpoint = entry.endpoint();
          address.length = static_cast<socklen_t>(endpoint.size());
          std::memcpy(&address.storage, endpoint.data(), endpoint.size());
          self->addresses_.push_back(address);
        }
        self->try_next();
      });
}

// Each address gets an even share of the time that is left, so that one which swallows packets
// does not cost the others their turn.
void Connector::try_next() {
  if (next_ == addresses_.size()) return finish(network_error(shown_, last_error_));
  const auto left = deadline_ - now();
  if (left <= Duration::zero()) return finish(timeout_error(shown_));
  const auto& address = addresses_[next_++];
  const auto tries = static_cast<Duration::rep>(addresses_.size() - next_ + 1);

  timed_out_ = false;
  timer_.expires_after(left / tries);
  timer_.async_wait([self = shared_from_this(), turn = next_](const auto& code) {
    if (code || !self->done_ || turn != self->next_ || !self->socket_.is_open()) return;
    self->timed_out_ = true;
    boost::system::error_code ignored;
    self->socket_.close(ignored);
  });
  socket_ = StreamSocket(context_);
  const asio::generic::stream_protocol::endpoint endpoint(address.get(), address.length);
  socket_.async_connect(endpoint,
                        [self = shared_from_this()](const boost::system::error_code& code) {
                          self->on_connected(code);
                        });
}

void Connector::on_connected(const boost::system::error_code& code) {
  if (!done_) return;
  timer_.cancel();
  if (!code) {
    const int on = 1;
    if (!target_.host.starts_with('/')) {
      ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return finish(std::move(socket_));
  }
  last_error_ = timed_out_ ? boost::system::error_code(asio::error::timed_out) : code;
  boost::system::error_code ignored;
  socket_.close(ignored);
  try_next();
}

void Connector::finish(Result<StreamSocket> result) {
  const auto done = std::exchange(done_, nullptr);
  if (done) done(std::move(result));
}

}  // namespace fyr::io
