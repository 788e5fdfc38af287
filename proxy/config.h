// What the operator wrote about the proxy: `proxy.defaults` and `proxy.listeners[]`
// (design: behaviour specification of the proxy, section 2).
//
// Pure: values and one decoder. Durations are written as strings ("500ms") or, as everywhere in
// Consul's files, as numbers of nanoseconds. The decoder reports every error at once, each with
// its JSON path ("proxy.listeners[1].timeouts.connect: ..."); nothing is applied if there is one.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace fyr::proxy {

enum class Protocol { Http, Tcp };
enum class DestinationType { Service, Static };
enum class CheckType { None, Tcp, Http };
enum class Balance {
  RoundRobin,    // smooth, weighted
  LeastConn,     // (requests or flows in progress + 1) / weight, the least of all
  LeastRequest,  // the same, the better of two at random
  Ewma,          // times the recent answer time, the better of two at random
  Random,        // by weight
  First,         // the first usable one by tag, then by position
  RingHash,      // consistent hashing on `hash_on`
  Maglev,        // the same, from a table
  Source,        // maglev on the client's address
};
enum class HashOn { None, Header, Cookie, Path, SourceIp };
// What becomes of TCP flows to an endpoint that is lost.
enum class OnDown {
  Keep,
  Reset,  // flows to a dead host; with balance first, to any endpoint that is down or critical
  Any,    // to any endpoint that is down or critical
};
enum class LogTarget { None, Stdout, File };

struct TimeoutConfig {
  Duration connect = std::chrono::milliseconds(500);
  Duration client = std::chrono::seconds(5);          // no byte from or to the client
  Duration server = std::chrono::seconds(5);          // no byte from the endpoint
  Duration request_header = std::chrono::seconds(5);  // absolute, from the first byte
  Duration keepalive = std::chrono::seconds(75);      // idle client between two requests
  Duration half_close = std::chrono::seconds(30);     // TCP, after the first FIN
  Duration tunnel = std::chrono::hours(1);            // after 101 Switching Protocols
  Duration request = std::chrono::seconds(15);        // whole life with retries; 0 = off
};

struct RetryConfig {
  int attempts = 3;             // besides the first
  bool redispatch = true;       // to another endpoint, at once
  double budget_ratio = 0.2;    // replays a request ...
  int budget_min_per_sec = 10;  // ... plus this many a second
  Duration budget_window = std::chrono::seconds(10);
  std::size_t body_buffer = 64 * 1024;  // bodies up to this size can be replayed
};

struct LimitConfig {
  int maxconn = 4096;  // client connections of the listener
  // This agent to one endpoint; further attempts go elsewhere or fail. 0 = no limit of its own:
  // maxconn bounds them all.
  int endpoint_max_connections = 0;
  std::size_t request_line = 8 * 1024;   // bytes; beyond: 414
  std::size_t header_bytes = 32 * 1024;  // bytes; beyond: 431
  std::size_t header_count = 100;        // beyond: 431
  std::uint64_t max_body = 0;            // bytes; beyond: 413; 0 = no limit
};

struct OutlierConfig {
  int connect = 2;  // consecutive connect failures, over all threads
  int gateway = 5;  // consecutive 502, 503, 504, resets
  Duration base = std::chrono::seconds(5);
  Duration max = std::chrono::seconds(60);
  int max_percent = 50;  // of the endpoints, but one is always allowed if there are two
};

struct StallConfig {
  bool enabled = true;
  Duration min = std::chrono::seconds(1);
  double factor = 5;  // times p99 of the endpoint
};

struct HealthCheckConfig {
  CheckType type = CheckType::Http;  // Tcp for tcp listeners
  std::string path = "/health";
  Duration interval = std::chrono::seconds(2);
  Duration timeout = std::chrono::seconds(1);
  int rise = 2;
  int fall = 3;
  Duration fast_interval = std::chrono::milliseconds(200);  // between states
  int expect_low = 200;
  int expect_high = 399;
};

struct AccessLogConfig {
  LogTarget target = LogTarget::None;
  std::string path;  // for File
};

struct StaticEndpoint {
  std::string name;
  std::string address;
  std::uint16_t port = 0;
  int weight = 1;
};

// Which endpoints of the service take part; all conditions must hold.
struct SubsetConfig {
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  std::string filter;  // as in ?filter=; the fields are in subset.h
};

struct LocalityConfig {
  std::vector<std::string> order;  // sites; empty: the own one first, then all others
  bool ignore = false;             // all sites alike
  double overprovision = 1.4;
};

struct SlowStartConfig {
  Duration window = std::chrono::seconds(10);  // 0 = off
  double aggression = 1;
  int min_percent = 10;
};

struct DrainConfig {
  Duration deadline = std::chrono::seconds(30);
  OnDown on_down = OnDown::Reset;
};

struct ListenerConfig {
  std::string name;
  std::string destination_name;
  DestinationType destination_type = DestinationType::Service;
  std::string local_bind_address = "127.0.0.1";
  std::uint16_t local_bind_port = 0;
  bool expose = false;  // needed for an address other machines can reach
  Protocol protocol = Protocol::Http;
  Balance balance = Balance::RoundRobin;
  HashOn hash_on = HashOn::None;
  std::string hash_name;  // of the header or cookie, lower case for a header
  std::vector<std::string>
      prefer_tags;  // balance first: who carries the first of these comes first
  SubsetConfig subset;
  std::vector<std::string> allowed_sites;  // endpoints elsewhere are never used; empty: no rule
  LocalityConfig locality;
  SlowStartConfig slow_start;
  DrainConfig drain;
  bool only_passing = false;
  TimeoutConfig timeouts;
  RetryConfig retries;
  LimitConfig limits;
  OutlierConfig outlier;
  StallConfig stall;
  HealthCheckConfig health_check;
  AccessLogConfig access_log;
  bool forwarded_for = true;  // append the peer to X-Forwarded-For
  bool via = true;
  std::vector<StaticEndpoint> endpoints;  // destination_type static
};

struct ProxyConfig {
  std::string node_name = "fyr";  // pseudonym in Via
  std::string site;               // of this agent; empty: not known
  std::vector<ListenerConfig> listeners;
};

// Reads the object under `path` ("proxy"). Appends one text an error, each starting with its JSON
// path; the result is only good if none was added.
ProxyConfig decode_proxy_config(const boost::json::value& value, const std::string& path,
                                std::vector<std::string>& errors);

// The same; all errors joined by line feeds in one InvalidArgument.
Result<ProxyConfig> decode_proxy_config(const boost::json::value& value,
                                        const std::string& path = "proxy");

// Rules between listeners and values that hold however the configuration was made.
void validate(const ProxyConfig& config, const std::string& path, std::vector<std::string>& errors);

}  // namespace fyr::proxy
