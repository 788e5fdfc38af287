// A proxy and nothing else, for the bench: one io thread, static endpoints.
//   proxy_main LISTEN_PORT http|tcp LOG|none ENDPOINT...     ENDPOINT: "127.0.0.1:9001"
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/net_address.h"
#include "proxy/proxy.h"

namespace {

class NoSource final : public fyr::proxy::EndpointSource {
 public:
  std::unique_ptr<fyr::proxy::EndpointWatch> watch(
      const std::string&, std::function<void(fyr::proxy::EndpointUpdate)>) override {
    return nullptr;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s PORT http|tcp LOG|none ENDPOINT...\n", argv[0]);
    return 64;
  }
  fyr::proxy::ListenerConfig listener;
  listener.name = "web";
  listener.destination_name = "web";
  listener.destination_type = fyr::proxy::DestinationType::Static;
  listener.local_bind_port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  if (argv[2] == std::string("tcp")) {
    listener.protocol = fyr::proxy::Protocol::Tcp;
    listener.health_check.type = fyr::proxy::CheckType::Tcp;
  }
  if (argv[3] != std::string("none")) {
    listener.access_log = {fyr::proxy::LogTarget::File, argv[3]};
  }
  for (int i = 4; i < argc; ++i) {
    const auto where = fyr::parse_host_port(argv[i]);
    if (!where) return 64;
    listener.endpoints.push_back({argv[i], where->host, where->port, 1});
  }
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  const char* threads = std::getenv("P_THREADS");
  fyr::io::Runtime runtime(threads != nullptr ? std::max(1, std::atoi(threads)) : 1);
  runtime.start();
  NoSource source;
  fyr::proxy::ProxyConfig config;
  config.listeners.push_back(listener);
  auto proxy = fyr::proxy::Proxy::create(runtime, source, config);
  if (!proxy || !(*proxy)->start()) {
    std::fprintf(stderr, "%s\n", proxy ? "start failed" : proxy.error().message.c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&stop, &signal);
  std::printf("%s\n", (*proxy)->status_json().c_str());
  (*proxy)->stop();
  runtime.stop();
}
