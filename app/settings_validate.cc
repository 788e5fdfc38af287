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

class Report {
 public:
  Report(const SettingSources& sources, std::vector<std::string>& errors)
      : sources_(sources), errors_(errors) {}
  // "FILE: key: message", "-flag: key: message", or only "key: message" for a default.
  void add(const std::string& key, const std::string& message) {
    const auto source = sources_.find(key);
    const std::string where = source == sources_.end() ? "" : source->second + ": ";
    errors_.push_back(where + key + ": " + message);
  }

 private:
  const SettingSources& sources_;
  std::vector<std::string>& errors_;
};

std::string quote(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string host_name() {
  char buffer[256] = {};
  if (gethostname(buffer, sizeof buffer - 1) != 0) return "localhost";
  return buffer;
}

// "" if `value` is a literal address, else what is wrong with it.
std::string literal_problem(const std::string& value) {
  if (IpAddress::parse(value)) return {};
  if (value.find("{{") != std::string::npos)
    return quote(value) + ": address templates are not supported; give the address itself";
  if (trim(value).find(' ') != std::string_view::npos)
    return quote(value) + ": several addresses are not supported; give one";
  return quote(value) + " is not an IP address";
}

void check_client_addresses(Settings& s, Report& report) {
  if (s.http_address.empty()) s.http_address = s.client_address;
  if (s.dns_address.empty()) s.dns_address = s.client_address;
  const auto check = [&](const char* key, const std::string& value) {
    if (value.starts_with("unix://")) return;
    if (const auto problem = literal_problem(value); !problem.empty()) report.add(key, problem);
  };
  check("client_addr", s.client_address);
  if (s.http_address != s.client_address) check("addresses.http", s.http_address);
  if (s.dns_address != s.client_address) check("addresses.dns", s.dns_address);
}

// The address others reach us at: given, or the one we bind, or the only private one there is.
void finish_advertise(Settings& s, const std::vector<std::string>& candidates, Report& report) {
  if (const auto problem = literal_problem(s.bind_address); !problem.empty())
    return report.add("bind_addr", problem);
  if (!s.advertise_address.empty()) {
    if (const auto given = IpAddress::parse(s.advertise_address); !given || given->is_unspecified())
      report.add("advertise_addr",
                 quote(s.advertise_address) + " is not an IP address others can reach");
    return;
  }
  if (!IpAddress::parse(s.bind_address)->is_unspecified()) {
    s.advertise_address = s.bind_address;
    return;
  }
  if (candidates.size() == 1) {
    s.advertise_address = candidates.front();
    return;
  }
  std::string text =
      candidates.empty() ? "no private address found" : "several private addresses found (";
  for (std::size_t i = 0; i < candidates.size(); ++i) text += (i ? ", " : "") + candidates[i];
  if (!candidates.empty()) text += ")";
  report.add("bind_addr", text + "; choose one with -bind or -advertise");
}

void finish_role(Settings& s, Report& report) {
  if (s.bootstrap && !s.server) report.add("bootstrap", "needs server mode (-server)");
  if (s.bootstrap_expect > 0 && !s.server)
    report.add("bootstrap_expect", "needs server mode (-server)");
  if (s.bootstrap && s.bootstrap_expect > 1)
    report.add("bootstrap",
               "cannot be combined with bootstrap_expect " + std::to_string(s.bootstrap_expect));
  if (s.witness && !s.server) report.add("witness", "needs server mode (-server)");
  if (s.read_replica && !s.server) report.add("read_replica", "needs server mode (-server)");
  if (s.witness && s.read_replica) report.add("witness", "cannot be combined with read_replica");
  if ((s.witness || s.read_replica) && (s.bootstrap || s.bootstrap_expect == 1))
    report.add(s.witness ? "witness" : "read_replica", "cannot be the only server of a cluster");
  if (s.bootstrap_expect == 1) s.bootstrap = true;
  if (!s.leave_on_terminate_given) s.leave_on_terminate = !s.server;
  if (!s.skip_leave_on_interrupt_given) s.skip_leave_on_interrupt = s.server;
  if (s.data_dir.empty() && !s.dev) report.add("data_dir", "must be given (-data-dir)");
}

void check_joins(const Settings& s, Report& report) {
  const auto check = [&](const char* key, const std::vector<std::string>& addresses) {
    for (const auto& address : addresses) {
      if (address.find("provider=") != std::string::npos) {
        report.add(key, quote(address) + ": cloud providers are not supported; give an address");
      } else if (auto parsed = parse_host_port(address, 1); !parsed) {
        report.add(key, parsed.error().message);
      }
    }
  };
  check("start_join", s.start_join);
  check("retry_join", s.retry_join);
}

bool made_of(std::string_view text, std::string_view others) {
  return std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) || others.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

void check_names(Settings& s, Report& report) {
  const auto label = [](std::string_view text, std::string_view others) {
    return !text.empty() && text.size() <= 63 && made_of(text, others);
  };
  if (!label(s.node_name, "-_."))
    report.add("node_name",
               quote(s.node_name) + " must be 1 to 63 letters, digits, '-', '_' or '.'");
  if (!label(s.datacenter, "-_"))
    report.add("datacenter", quote(s.datacenter) + " must be 1 to 63 letters, digits, '-' or '_'");
  if (!s.node_id.empty() && !is_uuid(s.node_id))
    report.add("node_id", quote(s.node_id) + " is not a UUID");
  s.node_id = to_lower(s.node_id);
  log::Level level{};
  if (!log::parse_level(s.log_level, level))
    report.add("log_level", quote(s.log_level) + " is none of TRACE, DEBUG, INFO, WARN, ERR");
  if (s.acl_default_policy != "allow" && s.acl_default_policy != "deny")
    report.add("acl.default_policy", quote(s.acl_default_policy) + " is neither allow nor deny");
}

// Consul's limits on node metadata.
void check_node_meta(const Settings& s, Report& report) {
  constexpr std::size_t kMaxPairs = 64, kMaxKey = 128, kMaxValue = 512;
  if (s.node_meta.size() > kMaxPairs) report.add("node_meta", "more than 64 pairs");
  for (const auto& [key, value] : s.node_meta) {
    if (key.empty() || key.size() > kMaxKey || !made_of(key, "-_"))
      report.add("node_meta", quote(key) + ": a key must be 1 to 128 letters, digits, '-' or '_'");
    if (key.starts_with("consul-"))
      report.add("node_meta", quote(key) + ": keys starting with consul- are reserved");
    if (value.size() > kMaxValue) report.add("node_meta." + key, "longer than 512 bytes");
  }
}

void check_ports(const Settings& s, Report& report) {
  struct Use {
    const char* key;
    int port;
  };
  std::vector<Use> uses = {
      {"ports.http", s.http_port}, {"ports.dns", s.dns_port}, {"ports.serf_lan", s.serf_lan_port}};
  if (s.server) uses.push_back({"ports.server", s.server_port});
  if (s.serf_lan_port <= 0) report.add("ports.serf_lan", "must be on");
  if (s.server && s.server_port <= 0) report.add("ports.server", "must be on");
  for (std::size_t i = 0; i < uses.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (uses[i].port > 0 && uses[i].port == uses[j].port)
        report.add(uses[i].key,
                   "port " + std::to_string(uses[i].port) + " is already taken by " + uses[j].key);
}

void finish_times(Settings& s, Report& report) {
  if (s.default_query_time <= Duration::zero())
    report.add("default_query_time", "must be more than 0s");
  if (s.max_query_time <= Duration::zero()) report.add("max_query_time", "must be more than 0s");
  if (s.snapshot_interval != Duration::zero()) {
    if (!s.server) report.add("snapshot_schedule.interval", "needs server mode (-server)");
    if (s.snapshot_interval < std::chrono::seconds(1))
      report.add("snapshot_schedule.interval", "must be 0s or at least 1s");
  }
  if (!s.snapshot_path.empty() && !s.snapshot_path.starts_with('/'))
    report.add("snapshot_schedule.path", quote(s.snapshot_path) + " is not an absolute path");
  s.default_query_time = std::min(s.default_query_time, s.max_query_time);
}

}  // namespace

std::vector<std::string> private_addresses() {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* it = list; it; it = it->ifa_next) {
    if (!it->ifa_addr || it->ifa_addr->sa_family != AF_INET) continue;
    IpAddress address;
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(it->ifa_addr);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&v4->sin_addr), 4, address.bytes.begin());
    const bool link_local = address.bytes[0] == 169 && address.bytes[1] == 254;
    if (address.is_private() && !address.is_loopback() && !link_local)
      found.push_back(address.to_string());
  }
  freeifaddrs(list);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

void finish_settings(Settings& settings, const SettingSources& sources,
                     const std::vector<std::string>& addresses, std::vector<std::string>& errors) {
  Report report(sources, errors);
  if (settings.node_name.empty()) settings.node_name = host_name();
  if (settings.domain.empty()) settings.domain = "consul.";
  check_client_addresses(settings, report);
  finish_advertise(settings, addresses, report);
  finish_role(settings, report);
  check_joins(settings, report);
  check_names(settings, report);
  check_node_meta(settings, report);
  check_ports(settings, report);
  finish_times(settings, report);
  if (settings.https_port > 0)
    settings.warnings.push_back("ports.https: HTTPS is not built yet; nothing listens there");
  if (!settings.recursors.empty())
    settings.warnings.push_back(
        "recursors: DNS recursion is not built yet; foreign names are refused");
  if (settings.acl_enabled)
    settings.warnings.push_back("acl.enabled: ACLs are not enforced by this version");
}

}  // namespace fyr::app
