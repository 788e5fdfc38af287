#include "proxy/config.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/net_address.h"
#include "proxy/config_reader.h"

namespace fyr::proxy {
namespace {

void read_timeouts(Reader& reader, TimeoutConfig& out) {
  reader.duration("connect", out.connect);
  reader.duration("client", out.client);
  reader.duration("server", out.server);
  reader.duration("request_header", out.request_header);
  reader.duration("keepalive", out.keepalive);
  reader.duration("half_close", out.half_close);
  reader.duration("tunnel", out.tunnel);
  reader.duration("request", out.request, true);
}

void read_retries(Reader& reader, RetryConfig& out) {
  reader.number("attempts", out.attempts, 0, 20);
  // "always" is what the key is called in the reference; true and false say the same.
  if (const auto* value = reader.find("redispatch")) {
    if (value->is_bool()) {
      out.redispatch = value->get_bool();
    } else if (value->is_string() && value->get_string() == "always") {
      out.redispatch = true;
    } else if (value->is_string() && value->get_string() == "never") {
      out.redispatch = false;
    } else {
      reader.error("redispatch", "must be true, false, \"always\" or \"never\"");
    }
  }
  reader.number("body_buffer", out.body_buffer, 0, 1 << 20);
  reader.object("budget", [&](Reader& budget) {
    double ratio = out.budget_ratio;
    if (budget.read("ratio", ratio)) {
      if (ratio < 0 || ratio > 1) {
        budget.error("ratio", "must be between 0 and 1");
      } else {
        out.budget_ratio = ratio;
      }
    }
    budget.number("min_per_sec", out.budget_min_per_sec, 0, 100000);
    budget.duration("window", out.budget_window);
  });
}

void read_limits(Reader& reader, LimitConfig& out) {
  reader.number("maxconn", out.maxconn, 1, 1000000);
  reader.number("endpoint_max_connections", out.endpoint_max_connections, 0, 1000000);
  reader.number("request_line", out.request_line, 256, 64 * 1024);
  reader.number("header_bytes", out.header_bytes, 1024, 256 * 1024);
  reader.number("header_count", out.header_count, 10, 1000);
  reader.number("max_body", out.max_body, 0, std::int64_t{1} << 50);
}

void read_health_check(Reader& reader, HealthCheckConfig& out) {
  reader.choice<CheckType>(
      "type", out.type,
      {{"http", CheckType::Http}, {"tcp", CheckType::Tcp}, {"none", CheckType::None}});
  reader.read("path", out.path);
  if (out.path.empty() || out.path.front() != '/' ||
      std::any_of(out.path.begin(), out.path.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) {
    reader.error("path", "must start with / and have no blanks");
  }
  reader.duration("interval", out.interval);
  reader.duration("timeout", out.timeout);
  reader.duration("fast_interval", out.fast_interval);
  reader.number("rise", out.rise, 1, 100);
  reader.number("fall", out.fall, 1, 100);
  std::string expect;
  if (!reader.read("expect", expect)) return;
  int low = 0;
  int high = 0;
  const auto dash = expect.find('-');
  const auto to_status = [](std::string_view text) {
    if (text.size() != 3 || text.find_first_not_of("0123456789") != std::string_view::npos) {
      return -1;
    }
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  };
  low = to_status(std::string_view(expect).substr(0, dash));
  high = dash == std::string::npos ? low : to_status(std::string_view(expect).substr(dash + 1));
  if (low < 100 || high > 599 || low > high) {
    reader.error("expect", "must be a status or a range such as 200-399");
    return;
  }
  out.expect_low = low;
  out.expect_high = high;
}

void read_outlier(Reader& reader, OutlierConfig& out) {
  reader.number("connect", out.connect, 1, 1000);
  reader.number("gateway", out.gateway, 1, 1000);
  reader.duration("base", out.base);
  reader.duration("max", out.max);
  reader.number("max_percent", out.max_percent, 0, 100);
}

void read_access_log(Reader& reader, AccessLogConfig& out) {
  reader.choice<LogTarget>(
      "target", out.target,
      {{"file", LogTarget::File}, {"stdout", LogTarget::Stdout}, {"none", LogTarget::None}});
  reader.read("path", out.path);
  std::string format = "httplog";
  reader.choice<std::string>("format", format, {{"httplog", "httplog"}});
  if (out.target == LogTarget::File && out.path.empty()) {
    reader.error("path", "is required for target file");
  }
  if (out.target != LogTarget::File && !out.path.empty()) {
    reader.error("path", "is only for target file");
  }
}

void read_static_endpoint(const boost::json::value& value, const std::string& path,
                          ListenerConfig& out, Errors& errors) {
  StaticEndpoint endpoint;
  if (value.is_string()) {
    const auto parsed = parse_host_port(std::string_view(value.get_string()));
    if (!parsed || parsed->port == 0) {
      errors.push_back(path + ": must be \"host:port\"");
      return;
    }
    endpoint.address = parsed->host;
    endpoint.port = parsed->port;
  } else {
    Reader reader(value, path, errors);
    reader.read("name", endpoint.name);
    reader.read("address", endpoint.address);
    reader.number("port", endpoint.port, 1, 65535);
    reader.number("weight", endpoint.weight, 0, 65535);
    if (!value.is_object()) return;
    if (endpoint.address.empty()) reader.error("address", "is required");
    if (endpoint.port == 0) reader.error("port", "is required");
  }
  if (endpoint.name.empty()) {
    endpoint.name = HostPort{endpoint.address, endpoint.port}.to_string();
  }
  out.endpoints.push_back(std::move(endpoint));
}

// Everything `proxy.defaults` may set as well.
void read_common(Reader& reader, ListenerConfig& out) {
  reader.choice<Protocol>("protocol", out.protocol,
                          {{"http", Protocol::Http}, {"tcp", Protocol::Tcp}});
  read_choice(reader, out);
  reader.read("only_passing", out.only_passing);
  // A tcp listener is checked by connecting unless told otherwise.
  if (out.protocol == Protocol::Tcp) out.health_check.type = CheckType::Tcp;
  reader.object("timeouts", [&](Reader& r) { read_timeouts(r, out.timeouts); });
  reader.object("retries", [&](Reader& r) { read_retries(r, out.retries); });
  reader.object("limits", [&](Reader& r) { read_limits(r, out.limits); });
  reader.object("outlier", [&](Reader& r) { read_outlier(r, out.outlier); });
  reader.object("stall", [&](Reader& r) {
    r.read("enabled", out.stall.enabled);
    r.duration("min", out.stall.min);
    r.read("factor", out.stall.factor);
    if (out.stall.factor < 1) r.error("factor", "must be at least 1");
  });
  reader.object("health_check", [&](Reader& r) { read_health_check(r, out.health_check); });
  reader.object("access_log", [&](Reader& r) { read_access_log(r, out.access_log); });
  reader.object("headers", [&](Reader& r) {
    r.choice<bool>("xff", out.forwarded_for, {{"append", true}, {"off", false}});
    r.choice<bool>("via", out.via, {{"on", true}, {"off", false}});
  });
}

ListenerConfig read_listener(const boost::json::value& value, const std::string& path,
                             const ListenerConfig& defaults, Errors& errors) {
  ListenerConfig out = defaults;
  Reader reader(value, path, errors);
  if (!value.is_object()) return out;
  reader.read("name", out.name);
  reader.read("destination_name", out.destination_name);
  reader.choice<DestinationType>(
      "destination_type", out.destination_type,
      {{"service", DestinationType::Service}, {"static", DestinationType::Static}});
  reader.read("local_bind_address", out.local_bind_address);
  reader.number("local_bind_port", out.local_bind_port, 1, 65535);
  reader.read("expose", out.expose);
  read_common(reader, out);
  if (const auto* endpoints = reader.find("endpoints")) {
    if (!endpoints->is_array()) {
      reader.error("endpoints", "must be a list");
    } else {
      std::size_t i = 0;
      for (const auto& endpoint : endpoints->get_array()) {
        read_static_endpoint(endpoint, reader.at("endpoints") + "[" + std::to_string(i++) + "]",
                             out, errors);
      }
    }
  }
  return out;
}

void validate_listener(const ListenerConfig& listener, const std::string& path, Errors& errors) {
  const auto error = [&](std::string_view name, std::string_view text) {
    errors.push_back(path + "." + std::string(name) + ": " + std::string(text));
  };
  if (listener.name.empty()) error("name", "is required");
  if (listener.destination_name.empty()) error("destination_name", "is required");
  if (listener.local_bind_port == 0) error("local_bind_port", "is required");
  const auto address = IpAddress::parse(listener.local_bind_address);
  if (!address) {
    error("local_bind_address", "\"" + listener.local_bind_address + "\" is not an IP address");
  } else if (!address->is_loopback() && !listener.expose) {
    error("local_bind_address",
          "other machines can reach " + listener.local_bind_address + "; needs \"expose\": true");
  }
  const bool is_static = listener.destination_type == DestinationType::Static;
  if (is_static && listener.endpoints.empty()) {
    error("endpoints", "is required for destination_type static");
  }
  if (!is_static && !listener.endpoints.empty()) {
    error("endpoints", "is only for destination_type static");
  }
  std::set<std::string> names;
  for (const auto& endpoint : listener.endpoints) {
    if (!names.insert(endpoint.name).second) {
      error("endpoints", "\"" + endpoint.name + "\" is given twice");
    }
  }
  if (listener.protocol == Protocol::Tcp && listener.limits.max_body != 0) {
    error("limits.max_body", "is only for protocol http");
  }
  if (listener.timeouts.request != Duration::zero() &&
      listener.timeouts.connect > listener.timeouts.request) {
    error("timeouts.connect", "must not exceed timeouts.request");
  }
  validate_choice(listener, path, errors);
  if (listener.outlier.base > listener.outlier.max) {
    error("outlier.base", "must not exceed outlier.max");
  }
}

}  // namespace

void validate(const ProxyConfig& config, const std::string& path,
              std::vector<std::string>& errors) {
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const ListenerConfig& listener = config.listeners[i];
    const std::string here = path + ".listeners[" + std::to_string(i) + "]";
    validate_listener(listener, here, errors);
    for (std::size_t k = 0; k < i; ++k) {
      const ListenerConfig& other = config.listeners[k];
      if (!listener.name.empty() && listener.name == other.name) {
        errors.push_back(here + ".name: \"" + listener.name + "\" is the name of " + path +
                         ".listeners[" + std::to_string(k) + "] too");
      }
      if (listener.local_bind_port != 0 && listener.local_bind_port == other.local_bind_port &&
          listener.local_bind_address == other.local_bind_address) {
        errors.push_back(here + ".local_bind_port: " + std::to_string(listener.local_bind_port) +
                         " is taken by \"" + other.name + "\"");
      }
    }
  }
}

ProxyConfig decode_proxy_config(const boost::json::value& value, const std::string& path,
                                std::vector<std::string>& errors) {
  ProxyConfig config;
  Reader reader(value, path, errors);
  ListenerConfig defaults;
  reader.object("defaults", [&](Reader& r) { read_common(r, defaults); });
  if (const auto* listeners = reader.find("listeners")) {
    if (!listeners->is_array()) {
      reader.error("listeners", "must be a list");
    } else {
      std::size_t i = 0;
      for (const auto& listener : listeners->get_array()) {
        config.listeners.push_back(read_listener(
            listener, reader.at("listeners") + "[" + std::to_string(i++) + "]", defaults, errors));
      }
    }
  }
  validate(config, path, errors);
  return config;
}

Result<ProxyConfig> decode_proxy_config(const boost::json::value& value, const std::string& path) {
  std::vector<std::string> errors;
  ProxyConfig config = decode_proxy_config(value, path, errors);
  if (errors.empty()) return config;
  std::string text;
  for (const auto& error : errors) text += (text.empty() ? "" : "\n") + error;
  return fail(ErrorCode::InvalidArgument, std::move(text));
}

}  // namespace fyr::proxy
