// Everything the operator may say, from flags and JSON files, as one immutable value.
//
// One table (settings_table.cc) holds each setting's name, flag, type, default, bounds, whether a
// reload changes it, and its sentence of documentation; parsing, validation and --help come from
// it. Flags win over files, later files over earlier ones; lists and definitions add up.
//
// All errors are reported at once, each naming the file or flag and the key. Known keys of Consul
// that have no effect here give a warning each; unknown keys are errors with the nearest name.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace fyr::app {

// An object given in a file (service, check, proxy), with where it stood, for messages.
struct Definition {
  boost::json::value value;
  std::string where;  // "FILE: services[1]"
};

struct SoaSettings {
  int refresh = 3600;
  int retry = 600;
  int expire = 86400;
  int min_ttl = 0;
};

struct DnsSettings {
  Duration node_ttl{};
  std::map<std::string, Duration> service_ttl;
  bool only_passing = false;
  bool allow_stale = true;
  bool enable_truncate = false;
  bool disable_compression = false;
  bool node_meta_txt = true;
  int a_record_limit = 0;
  int udp_answer_limit = 3;
  SoaSettings soa;
};

struct Settings {
  // Identity
  std::string node_name;  // default: the host's name
  std::string node_id;    // default: kept in data_dir/node-id
  std::string datacenter = "dc1";
  std::string primary_datacenter;
  std::map<std::string, std::string> node_meta;
  std::string data_dir;
  bool dev = false;

  // Role
  bool server = false;
  bool bootstrap = false;
  int bootstrap_expect = 0;
  bool read_replica = false;  // a server that never votes
  bool witness = false;       // a server that votes and keeps the log, but no state
  int leader_priority = 100;
  std::vector<std::string> start_join;
  std::vector<std::string> retry_join;
  bool leave_on_terminate = false;      // default true on agents; see validate()
  bool skip_leave_on_interrupt = true;  // default false on agents
  bool leave_on_terminate_given = false;
  bool skip_leave_on_interrupt_given = false;

  // Addresses
  std::string bind_address = "0.0.0.0";
  std::string advertise_address;  // default: bind address, else the one private address
  std::string client_address = "127.0.0.1";
  std::string http_address;  // addresses.http; default client_address; "unix:///path"
  std::string dns_address;
  int http_port = 8500;
  int https_port = -1;
  int dns_port = 8600;
  int serf_lan_port = 8301;
  int serf_wan_port = 8302;
  int server_port = 8300;
  int grpc_port = -1;

  // DNS
  std::string domain = "consul.";
  std::string alt_domain;
  std::vector<std::string> recursors;
  DnsSettings dns;

  // Raft and reads
  int raft_multiplier = 1;
  Duration state_check_interval = std::chrono::seconds(60);
  Duration rpc_hold_timeout = std::chrono::seconds(7);
  Duration default_query_time = std::chrono::seconds(300);
  Duration max_query_time = std::chrono::seconds(600);
  Duration session_ttl_min = std::chrono::seconds(10);
  std::int64_t kv_max_value_size = 512 * 1024;
  std::int64_t http_max_conns_per_client = 200;

  // Snapshots that servers make by themselves
  Duration snapshot_interval{};  // 0: none
  int snapshot_retain = 30;
  bool snapshot_stale = false;
  std::string snapshot_path;  // default: data_dir/snapshots

  // Checks
  bool enable_script_checks = false;
  bool enable_local_script_checks = false;
  Duration check_update_interval = std::chrono::minutes(5);
  std::int64_t check_output_max_size = 4096;
  bool discard_check_output = false;

  // HTTP
  std::map<std::string, std::string> response_headers;
  std::vector<std::string> block_endpoints;

  // Process
  std::string log_level = "INFO";
  std::string log_file;
  bool log_json = false;
  std::string pid_file;
  bool ui_enabled = false;
  bool enable_debug = false;
  bool acl_enabled = false;
  std::string acl_default_policy = "allow";

  // Definitions, decoded by their owners.
  std::vector<Definition> services;
  std::vector<Definition> checks;
  std::vector<Definition> proxies;

  std::vector<std::string> warnings;
};

// `arguments` are the words after "agent".
struct LoadedSettings {
  Settings settings;
  std::vector<std::string> errors;  // empty: settings are good
};
LoadedSettings load_settings(const std::vector<std::string>& arguments);

// Files and folders only, for `fyr validate`.
LoadedSettings load_setting_files(const std::vector<std::string>& paths);

// The flags of `fyr agent`, one line each.
std::string settings_help();

}  // namespace fyr::app
