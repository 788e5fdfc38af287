// A connected stream socket, or the reason why there is none, before a deadline: names are resolved
// and every address of both families is tried in turn. Only for the files of this folder.
//
// Threading: one io thread. done runs once there, unless cancelled.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io/socket_address.h"
#include "base/time.h"

namespace fyr::io {

using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                      boost::asio::io_context::executor_type>;
using ThreadTimer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>;

class Connector : public std::enable_shared_from_this<Connector> {
 public:
  using Done = std::function<void(Result<StreamSocket>)>;

  // `host`: a literal, a name, or "/path" of a unix socket.
  static std::shared_ptr<Connector> start(boost::asio::io_context& context, const HostPort& target,
                                          Instant deadline, Done done);
  explicit Connector(boost::asio::io_context& context);
  void cancel();

 private:
  using Resolver =
      boost::asio::ip::basic_resolver<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;
  void run();
  void resolve();
  void try_next();
  void on_connected(const boost::system::error_code& code);
  void finish(Result<StreamSocket> result);

  boost::asio::io_context& context_;
  HostPort target_;
  std::string shown_;
  Instant deadline_;
  Done done_;
  Resolver resolver_;
  ThreadTimer timer_;
  StreamSocket socket_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_ = 0;
  bool timed_out_ = false;
  boost::system::error_code last_error_;
};

// "connect tcp 127.0.0.1:80: Connection refused", with the code a caller can act on.
Error network_error(const std::string& what, const boost::system::error_code& code);
Error timeout_error(const std::string& what);

}  // namespace fyr::io
