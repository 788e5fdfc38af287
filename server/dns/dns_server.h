// The DNS listener: UDP with one socket a thread (SO_REUSEPORT), TCP beside it on the same port.
//
// Queries whose names are known are answered inside the packet's callback, with its batch. Others
// wait for the NameSource, at most `fetch_timeout`, at most `max_pending` a thread; beyond either
// the client gets SERVFAIL.
//
// Threading: listen and stop from the main thread, reload from any, the rest on the io threads.
#pragma once

#include <memory>
#include <vector>

#include "base/error.h"
#include "base/io/runtime.h"
#include "base/net_address.h"
#include "base/time.h"
#include "server/dns/name_source.h"
#include "server/dns/settings.h"

namespace fyr::dns {

struct DnsServerOptions {
  std::vector<HostPort> listen;  // literal addresses; port 0 picks one free for both transports
  Settings settings;
  Duration fetch_timeout = std::chrono::seconds(2);
  std::size_t max_pending = 1024;
  std::size_t max_tcp_connections = 1024;
  std::size_t max_tcp_connections_per_client = 32;
};

class DnsServer {
 public:
  // Binds at once; an error names address and port or the setting. `names` must outlive the
  // server, and `runtime` must be running or started later.
  static Result<std::unique_ptr<DnsServer>> listen(io::Runtime& runtime, DnsServerOptions options,
                                                   NameSource& names);
  virtual ~DnsServer() = default;  // stops
  virtual std::vector<HostPort> bound() const = 0;
  virtual Result<void> reload(Settings settings) = 0;
  virtual void stop() = 0;
};

}  // namespace fyr::dns
