// The local forwarding proxy: listeners in front of services, fed by an EndpointSource.
//
// One io thread owns a client connection and the upstream connections it uses from accept to
// close; every io thread has its own listening socket (SO_REUSEPORT) and its own upstream pool.
// Endpoint lists, health and ejection of a listener belong to one io thread (its home), which
// publishes verdicts to the others.
//
// Order of calls: create, start, ..., stop (or the destructor), all from the main thread, while
// the runtime runs; stop() before Runtime::stop(). status_json() and stats() from any thread
// between create and destruction; they never wait for an io thread.
//
// A listener whose port is taken does not fail start(): its state is bind_failed, it is retried
// (1 s to 30 s), the others serve. create() fails only for a configuration that contradicts itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/io/runtime.h"
#include "proxy/config.h"
#include "proxy/endpoint_source.h"

namespace fyr::proxy {

struct ProxyStats {
  std::uint64_t connections_total = 0;
  std::uint64_t connections = 0;  // open now
  std::uint64_t requests_total = 0;
  std::uint64_t retries_total = 0;  // nothing had been sent
  std::uint64_t replays_total = 0;  // sent, no answer byte, sent again elsewhere
  std::uint64_t errors_total = 0;   // answers made by the proxy itself
  std::uint64_t ejections_total = 0;
  std::uint64_t log_dropped_total = 0;
  std::uint64_t bytes_in = 0;   // client to endpoint
  std::uint64_t bytes_out = 0;  // endpoint to client
};

class Proxy {
 public:
  // `source` must outlive the proxy. Opens nothing yet.
  static Result<std::unique_ptr<Proxy>> create(io::Runtime& runtime, EndpointSource& source,
                                               ProxyConfig config);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Opens the listeners and begins watching. Returns when every listener is bound or has failed
  // its first attempt.
  Result<void> start();
  // Closes listeners and connections; returns when no thread works for the proxy any more.
  void stop();

  // {"listeners":[{"name",...,"endpoints":[...]}]}: the body of /v1/agent/proxy/status.
  std::string status_json() const;
  ProxyStats stats() const;

 private:
  struct Impl;
  explicit Proxy(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with posted tasks
};

}  // namespace fyr::proxy
