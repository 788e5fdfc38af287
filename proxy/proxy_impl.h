// What a Proxy is made of; for proxy.cc and status.cc only.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "proxy/control.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"

namespace fyr::proxy {

// The proxy's part of one io thread. Posted tasks hold it weakly.
struct ProxyThread {
  explicit ProxyThread(boost::asio::io_context& context) : loop(context) {}
  EventLoop loop;
  std::vector<std::unique_ptr<ListenerThread>> listeners;  // in the order of the configuration
};

enum class BindState : std::uint8_t { Closed, Open, Failed };

struct ProxyListener {
  std::shared_ptr<ListenerShared> shared;
  std::shared_ptr<ListenerControl> control;
  std::unique_ptr<EndpointWatch> watch;
  SocketAddress bind;
  std::atomic<BindState> state{BindState::Closed};
  Guarded<std::string> bind_error;
  Duration retry_wait{};
  io::Timer retry_timer;
};

struct Proxy::Impl : std::enable_shared_from_this<Proxy::Impl> {
  Impl(io::Runtime& the_runtime, EndpointSource& the_source, ProxyConfig the_config)
      : runtime(the_runtime), source(the_source), config(std::move(the_config)) {}

  Result<void> build();
  void fit_descriptors();
  Result<void> start();
  void stop();
  void open_listener(std::size_t index);  // start(), then the retry timer on thread 0
  void watch(std::size_t index);
  void post(int thread, std::function<void(ProxyThread&)> task);
  // Runs `task` on every io thread and waits for all.
  void on_all_threads(const std::function<void(int, ProxyThread&)>& task);
  std::string status_json() const;
  ProxyStats stats() const;

  io::Runtime& runtime;
  EndpointSource& source;
  const ProxyConfig config;
  std::atomic<std::uint32_t> process_connections{0};
  LogWriter log_writer;
  std::vector<std::shared_ptr<ProxyThread>> threads;
  std::vector<std::unique_ptr<ProxyListener>> listeners;
  bool started = false;
  std::atomic<bool> stopped{false};
};

}  // namespace fyr::proxy
