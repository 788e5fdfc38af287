#include "app/http_front.h"

#include "app/ui/page.h"
#include "base/io/http_router.h"
#include "base/json.h"

namespace fyr::app {

io::RouterOptions router_options(const Settings& settings) {
  io::RouterOptions options;
  for (const auto& [name, value] : settings.response_headers)
    options.response_headers.emplace_back(name, value);
  options.block_endpoints = settings.block_endpoints;
  options.default_acl_policy = settings.acl_default_policy;
  return options;
}

namespace {

void add_page(io::HttpRouter& router) {
  router.add("GET", "/ui/", [](const io::HttpCallPtr& call) {
    io::HttpResponse response;
    response.status = 200;
    response.headers = {{"Content-Type", "text/html; charset=utf-8"},
                        {"Cache-Control", "no-cache"},
                        {"Content-Security-Policy", std::string(ui_policy())},
                        {"X-Content-Type-Options", "nosniff"}};
    response.body = std::make_shared<const std::string>(ui_page());
    call->respond(std::move(response));
  });
  for (const auto* path : {"/", "/ui"}) {
    router.add("GET", path, [](const io::HttpCallPtr& call) {
      io::HttpResponse response;
      response.status = 301;
      response.headers = {{"Location", "/ui/"}, {"Content-Type", "text/html; charset=utf-8"}};
      response.body =
          std::make_shared<const std::string>("<a href=\"/ui/\">Moved Permanently</a>.\n");
      call->respond(std::move(response));
    });
  }
}

}  // namespace

struct HttpFront::Impl {
  explicit Impl(io::RouterOptions options) : own(std::move(options)) {}

  void handle(const std::shared_ptr<io::HttpExchange>& exchange) {
    const std::string& path = exchange->request().path;
    if (own.handle(exchange)) return;
    if (api && !agent::Agent::owns(path)) {
      api->handle(exchange);
    } else {
      agent->handle(exchange);
    }
  }

  io::HttpRouter own;  // what is answered here
  agent::Agent* agent = nullptr;
  server::Api* api = nullptr;
  std::unique_ptr<io::HttpServer> server;
};

HttpFront::HttpFront() = default;
HttpFront::~HttpFront() {
  stop();
}

Result<std::unique_ptr<HttpFront>> HttpFront::open(const Settings& settings, io::Runtime& runtime,
                                                   agent::Agent& agent, server::Api* api,
                                                   proxy::Proxy& proxy) {
  std::unique_ptr<HttpFront> self(new HttpFront);
  self->impl_ = std::make_unique<Impl>(router_options(settings));
  Impl* impl = self->impl_.get();
  impl->agent = &agent;
  impl->api = api;
  impl->own.add("GET", "/v1/agent/proxy/status",
                [&proxy](io::HttpCallPtr call) { call->json(proxy.status_json()); });

  if (settings.ui_enabled) add_page(impl->own);

  io::HttpServerOptions options;
  options.large_bodies = {"/v1/snapshot"};
  if (settings.http_address.starts_with("unix://")) {
    options.unix_sockets = {settings.http_address.substr(7)};
  } else if (settings.http_port > 0) {
    options.listen = {{settings.http_address, static_cast<std::uint16_t>(settings.http_port)}};
  } else {
    return self;
  }
  options.max_connections_per_client =
      settings.http_max_conns_per_client > 0
          ? static_cast<std::size_t>(settings.http_max_conns_per_client)
          : options.max_connections;
  auto listening = io::HttpServer::listen(
      runtime, std::move(options),
      [impl](std::shared_ptr<io::HttpExchange> exchange) { impl->handle(exchange); });
  if (!listening) return listening.error();
  impl->server = std::move(*listening);
  return self;
}

void HttpFront::stop() {
  if (impl_ && impl_->server) impl_->server->stop();
}

std::string debug_config_json(const Settings& s) {
  const auto address = [&](int port) {
    return "tcp://" + HostPort{s.advertise_address, static_cast<std::uint16_t>(port)}.to_string();
  };
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("AdvertiseAddrLAN").string(s.advertise_address);
  writer.key("BindAddr").string(s.bind_address);
  writer.key("Bootstrap").boolean(s.bootstrap);
  writer.key("BootstrapExpect").number(s.bootstrap_expect);
  writer.key("ClientAddrs").begin_array().string(s.client_address).end_array();
  writer.key("DNSDomain").string(s.domain);
  writer.key("DNSPort").number(s.dns_port);
  writer.key("DataDir").string(s.data_dir);
  writer.key("Datacenter").string(s.datacenter);
  writer.key("DevMode").boolean(s.dev);
  writer.key("EnableDebug").boolean(s.enable_debug);
  writer.key("HTTPPort").number(s.http_port);
  writer.key("Logging").begin_object().key("LogLevel").string(s.log_level).end_object();
  writer.key("NodeName").string(s.node_name);
  writer.key("SerfAdvertiseAddrLAN").string(address(s.serf_lan_port));
  writer.key("SerfPortLAN").number(s.serf_lan_port);
  writer.key("SerfPortWAN").number(s.serf_wan_port);
  writer.key("ServerMode").boolean(s.server);
  writer.key("ServerPort").number(s.server_port);
  writer.end_object();
  return out;
}

}  // namespace fyr::app
