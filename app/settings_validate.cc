#include "app/settings_validate.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/id.h"
#include "base/log.h"
#include "base/net_address.h"

namespace fyr::app {
namespace {

std::string host_name() {
  char buffer[256] = {};
  if (gethostname(buffer, sizeof buffer - 1) != 0) return "localhost";
  return buffer;
}

std::vector<std::string> private_addresses() {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* it = list; it; it = it->ifa_next) {
    if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET) continue;
    IpAddress address;
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(it->ifa_addr);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&v4->sin_addr), 4, address.bytes.begin());
    if (address.is_private() && !address.is_loopback()) found.push_back(address.to_string());
  }
  freeifaddrs(list);
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  return found;
}

void finish_addresses(Settings& s, std::vector<std::string>& errors) {
  const auto literal = [&](const char* key, const std::string& value) {
    if (IpAddress::parse(value)) return true;
    errors.push_back(std::string(key) + ": \"" + value + "\" is not an IP address");
    return false;
  };
  const bool bind_good = literal("bind_addr", s.bind_address);
  const std::string client = s.client_address;
  if (!client.starts_with("unix://")) literal("client_addr", client);
  if (s.http_address.empty()) s.http_address = client;
  if (s.dns_address.empty()) s.dns_address = client;
  if (!s.http_address.starts_with("unix://")) literal("addresses.http", s.http_address);
  if (!s.dns_address.starts_with("unix://")) literal("addresses.dns", s.dns_address);
  if (!bind_good) return;
  if (!s.advertise_address.empty()) {
    if (const auto given = IpAddress::parse(s.advertise_address); !given || given->is_unspecified())
      errors.push_back("advertise_addr: \"" + s.advertise_address +
                       "\" is not an address others can reach");
    return;
  }
  if (!IpAddress::parse(s.bind_address)->is_unspecified()) {
    s.advertise_address = s.bind_address;
    return;
  }
  const auto candidates = private_addresses();
  if (candidates.size() == 1) {
    s.advertise_address = candidates.front();
    return;
  }
  std::string text = candidates.empty() ? "bind_addr: no private address found"
                                        : "bind_addr: several private addresses found (";
  for (std::size_t i = 0; i < candidates.size(); ++i) text += (i ? ", " : "") + candidates[i];
  if (!candidates.empty()) text += ")";
  errors.push_back(text + "; choose one with -bind or -advertise");
}

void finish_role(Settings& s, std::vector<std::string>& errors) {
  if (s.bootstrap && !s.server) errors.push_back("bootstrap: needs server mode (-server)");
  if (s.bootstrap_expect > 0 && !s.server)
    errors.push_back("bootstrap_expect: needs server mode (-server)");
  if (s.bootstrap && s.bootstrap_expect > 1)
    errors.push_back("bootstrap: cannot be combined with bootstrap_expect " +
                     std::to_string(s.bootstrap_expect));
  if (s.bootstrap_expect > 1)
    errors.push_back("bootstrap_expect: clusters of more than one server are not built yet; use 1");
  if (s.server && !s.start_join.empty() && !s.bootstrap && s.bootstrap_expect == 0)
    errors.push_back(
        "server: joining an existing cluster as a server is not built yet; use bootstrap_expect 1");
  if (s.bootstrap_expect == 1) s.bootstrap = true;
  if (!s.leave_on_terminate_given) s.leave_on_terminate = !s.server;
  if (!s.skip_leave_on_interrupt_given) s.skip_leave_on_interrupt = s.server;
  if (s.data_dir.empty() && !s.dev) errors.push_back("data_dir: must be given (-data-dir)");
}

void check_names(const Settings& s, std::vector<std::string>& errors) {
  const auto label = [](std::string_view text) {
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](unsigned char c) {
      return std::isalnum(c) || c == '-' || c == '_' || c == '.';
    });
  };
  if (!label(s.node_name))
    errors.push_back("node_name: \"" + s.node_name +
                     "\" must be 1 to 63 letters, digits, '-', '_' or '.'");
  if (!label(s.datacenter) || s.datacenter.find('.') != std::string::npos)
    errors.push_back("datacenter: \"" + s.datacenter +
                     "\" must be 1 to 63 letters, digits, '-' or '_'");
  if (!s.node_id.empty() && !is_uuid(s.node_id))
    errors.push_back("node_id: \"" + s.node_id + "\" is not a UUID");
  log::Level level;
  if (!log::parse_level(s.log_level, level))
    errors.push_back("log_level: \"" + s.log_level + "\" is none of TRACE, DEBUG, INFO, WARN, ERR");
}

void check_ports(const Settings& s, std::vector<std::string>& errors) {
  struct Use {
    const char* key;
    int port;
  };
  std::vector<Use> uses = {
      {"ports.http", s.http_port}, {"ports.dns", s.dns_port}, {"ports.serf_lan", s.serf_lan_port}};
  if (s.server) uses.push_back({"ports.server", s.server_port});
  if (s.serf_lan_port <= 0) errors.push_back("ports.serf_lan: must be on");
  if (s.server && s.server_port <= 0) errors.push_back("ports.server: must be on");
  for (std::size_t i = 0; i < uses.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (uses[i].port > 0 && uses[i].port == uses[j].port)
        errors.push_back(std::string(uses[i].key) + ": port " + std::to_string(uses[i].port) +
                         " is already taken by " + uses[j].key);
}

}  // namespace

void finish_settings(Settings& settings, std::vector<std::string>& errors) {
  if (settings.node_name.empty()) settings.node_name = host_name();
  if (settings.domain.empty()) settings.domain = "consul.";
  finish_addresses(settings, errors);
  finish_role(settings, errors);
  check_names(settings, errors);
  check_ports(settings, errors);
  if (settings.https_port > 0)
    settings.warnings.push_back("ports.https: HTTPS is not built yet; nothing listens there");
  if (!settings.recursors.empty())
    settings.warnings.push_back(
        "recursors: DNS recursion is not built yet; foreign names are refused");
  if (settings.acl_enabled)
    settings.warnings.push_back("acl.enabled: ACLs are not enforced by this version");
}

}  // namespace fyr::app
