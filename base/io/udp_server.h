// UDP sockets for DNS and gossip: one bound socket drained with recvmmsg, answered with sendmmsg.
//
// Threading: `receive` runs on the given io thread for each packet; send() from any thread, at
// once on that thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/io/runtime.h"
#include "base/net_address.h"

namespace fyr::io {

struct UdpPeer {
  IpAddress address;
  std::uint16_t port = 0;
  bool operator==(const UdpPeer&) const = default;
};

class UdpSocket {
 public:
  // The handler may append an answer to `reply`; if it is not empty it is sent to the peer with
  // the batch. `reply` is empty on entry and reused between calls.
  using Receive =
      std::function<void(const UdpPeer& from, std::string_view packet, std::string& reply)>;

  struct Options {
    HostPort bind;            // literal address; port 0 picks one
    bool reuse_port = false;  // one socket a thread
    std::size_t max_packet = 4096;
  };
  static Result<std::unique_ptr<UdpSocket>> open(Runtime& runtime, int thread, Options options,
                                                 Receive receive);
  virtual ~UdpSocket() = default;  // on the io thread or after the runtime stopped
  virtual HostPort bound() const = 0;
  virtual void send(const UdpPeer& to,
                    std::string_view packet) = 0;  // dropped when the buffer is full
};

}  // namespace fyr::io
