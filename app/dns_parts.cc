#include "app/dns_parts.h"

#include "app/name_source_agent.h"
#include "app/name_source_server.h"
#include "server/dns/dns_server.h"

namespace fyr::app {
namespace {

std::chrono::seconds whole_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration);
}

dns::Settings dns_settings(const Settings& s) {
  dns::Settings out;
  out.datacenter = s.datacenter;
  out.domain = s.domain;
  out.alt_domain = s.alt_domain;
  out.node_ttl = whole_seconds(s.dns.node_ttl);
  for (const auto& [name, ttl] : s.dns.service_ttl) out.service_ttl[name] = whole_seconds(ttl);
  out.only_passing = s.dns.only_passing;
  out.node_meta_txt = s.dns.node_meta_txt;
  out.enable_truncate = s.dns.enable_truncate;
  out.disable_compression = s.dns.disable_compression;
  out.a_record_limit = s.dns.a_record_limit;
  out.udp_answer_limit = s.dns.udp_answer_limit;
  out.soa.refresh = static_cast<std::uint32_t>(s.dns.soa.refresh);
  out.soa.retry = static_cast<std::uint32_t>(s.dns.soa.retry);
  out.soa.expire = static_cast<std::uint32_t>(s.dns.soa.expire);
  out.soa.min_ttl = static_cast<std::uint32_t>(s.dns.soa.min_ttl);
  return out;
}

}  // namespace

struct DnsParts::Impl {
  dns::Settings initial;
  std::unique_ptr<dns::NameSource> names;
  std::unique_ptr<dns::DnsServer> server;
};

DnsParts::DnsParts() : impl_(std::make_unique<Impl>()) {}
DnsParts::~DnsParts() {
  stop();
}

Result<std::unique_ptr<DnsParts>> DnsParts::open(const Settings& settings, io::Runtime& runtime,
                                                 server::Server* server, agent::Agent& agent,
                                                 agent::Membership& membership) {
  std::unique_ptr<DnsParts> self(new DnsParts);
  if (settings.dns_port <= 0 || settings.dns_address.starts_with("unix://")) return self;
  Impl& impl = *self->impl_;
  impl.names = server ? make_state_name_source(*server, runtime)
                      : make_agent_name_source(
                            agent.watch(), runtime, membership,
                            [&agent](std::string path, std::string query, auto done) {
                              agent.ask_server(std::move(path), std::move(query), std::move(done));
                            });
  dns::DnsServerOptions options;
  options.listen = {{settings.dns_address, static_cast<std::uint16_t>(settings.dns_port)}};
  options.settings = impl.initial = dns_settings(settings);
  auto listening = dns::DnsServer::listen(runtime, std::move(options), *impl.names);
  if (!listening) return listening.error();
  impl.server = std::move(*listening);
  return self;
}

Result<void> DnsParts::reload(const Settings& settings) {
  if (!impl_->server) return {};
  dns::Settings next = dns_settings(settings);
  next.datacenter = impl_->initial.datacenter;
  next.domain = impl_->initial.domain;
  next.alt_domain = impl_->initial.alt_domain;
  return impl_->server->reload(std::move(next));
}

void DnsParts::stop() {
  if (impl_->server) impl_->server->stop();
}

}  // namespace fyr::app
