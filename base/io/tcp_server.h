// Framed TCP for DNS and gossip: messages with a length prefix of two or four bytes.
//
// Threading: callbacks run on the connection's io thread; reply may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/io/runtime.h"
#include "base/io/udp_server.h"

namespace fyr::io {

struct TcpFrameOptions {
  HostPort bind;
  int length_bytes = 2;  // 2 or 4, big-endian
  std::size_t max_message = 65535;
  std::size_t max_connections = 1024;
  std::size_t max_connections_per_client = 32;
  Duration idle_timeout = std::chrono::seconds(10);
  Duration message_timeout = std::chrono::seconds(20);  // for one message to arrive whole
};

class TcpFrameServer {
 public:
  using Reply = std::function<void(std::string message)>;
  using Receive = std::function<void(const UdpPeer& from, std::string message, Reply reply)>;
  static Result<std::unique_ptr<TcpFrameServer>> listen(Runtime& runtime, TcpFrameOptions options,
                                                        Receive receive);
  virtual ~TcpFrameServer() = default;
  virtual HostPort bound() const = 0;
  virtual void stop() = 0;
};

// Sends one message, waits for one answer, closes. `done` runs on io thread `thread`.
void tcp_frame_call(Runtime& runtime, int thread, HostPort target, int length_bytes,
                    std::string message, Duration timeout,
                    std::function<void(Result<std::string>)> done);

}  // namespace fyr::io
