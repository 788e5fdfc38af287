#include "app/settings_table.h"

#include <algorithm>

#include "base/bytes.h"

namespace fyr::app {
namespace {

using T = SettingType;
using S = Settings;
using V = SettingValue;

// Setters for plain members.
auto text(std::string S::*member) {
  return [member](S& s, const V& v) { s.*member = v.text; };
}
auto flag_of(bool S::*member) {
  return [member](S& s, const V& v) { s.*member = v.boolean; };
}
auto number(int S::*member) {
  return [member](S& s, const V& v) { s.*member = static_cast<int>(v.number); };
}
auto big_number(std::int64_t S::*member) {
  return [member](S& s, const V& v) { s.*member = v.number; };
}
auto span_of(Duration S::*member) {
  return [member](S& s, const V& v) { s.*member = v.duration; };
}
auto list_of(std::vector<std::string> S::*member) {
  return [member](S& s, const V& v) {
    (s.*member).insert((s.*member).end(), v.list.begin(), v.list.end());
  };
}
auto map_of(std::map<std::string, std::string> S::*member) {
  return [member](S& s, const V& v) {
    for (const auto& [key, value] : v.map) (s.*member)[key] = value;
  };
}
auto dns_number(int DnsSettings::*member) {
  return [member](S& s, const V& v) { s.dns.*member = static_cast<int>(v.number); };
}
auto dns_flag(bool DnsSettings::*member) {
  return [member](S& s, const V& v) { s.dns.*member = v.boolean; };
}
auto soa_number(int SoaSettings::*member) {
  return [member](S& s, const V& v) { s.dns.soa.*member = static_cast<int>(v.number); };
}
// One object, or an array of objects: each becomes a definition.
auto definitions(std::vector<Definition> S::*member) {
  return [member](S& s, const V& v) {
    if (const auto* array = v.json.if_array()) {
      for (std::size_t i = 0; i < array->size(); ++i)
        (s.*member).push_back({(*array)[i], v.where + "[" + std::to_string(i) + "]"});
    } else {
      (s.*member).push_back({v.json, v.where});
    }
  };
}
void set_service_ttl(S& s, const V& v) {
  for (const auto& [service, ttl] : v.durations) s.dns.service_ttl[service] = ttl;
}
void set_leave_on_terminate(S& s, const V& v) {
  s.leave_on_terminate = v.boolean;
  s.leave_on_terminate_given = true;
}
void set_skip_leave(S& s, const V& v) {
  s.skip_leave_on_interrupt = v.boolean;
  s.skip_leave_on_interrupt_given = true;
}

Setting port(std::string_view key, std::string_view flag, std::string_view initial, int S::*member,
             std::string_view doc) {
  return {key, flag, T::Int, initial, -1, 65535, false, doc, number(member)};
}
Setting accepted(std::string_view key, std::string_view flag = {}) {
  return {key, flag, T::NoEffect, "", 0, 0, false, "accepted without effect", nullptr};
}
Setting silent(std::string_view key, std::string_view flag = {}) {
  return {key, flag, T::Silent, "", 0, 0, false, "accepted: fyr does this anyway", nullptr};
}

std::vector<Setting> identity_settings() {
  return {
      {"node_name", "node", T::String, "the host's name", 0, 0, false, "name of this node",
       text(&S::node_name)},
      {"node_id", "node-id", T::String, "kept in data_dir", 0, 0, false, "UUID of this node",
       text(&S::node_id)},
      {"datacenter", "datacenter", T::String, "dc1", 0, 0, false, "name of the datacenter",
       text(&S::datacenter)},
      {"primary_datacenter", "", T::String, "", 0, 0, false, "accepted; there is one datacenter",
       text(&S::primary_datacenter)},
      {"acl_datacenter", "", T::String, "", 0, 0, false, "old spelling of primary_datacenter",
       text(&S::primary_datacenter)},
      {"node_meta", "node-meta", T::Map, "", 0, 0, true, "metadata of this node, KEY:VALUE",
       map_of(&S::node_meta)},
      {"data_dir", "data-dir", T::String, "", 0, 0, false, "folder for all state",
       text(&S::data_dir)},
      {"server", "server", T::Bool, "false", 0, 0, false, "run as a server", flag_of(&S::server)},
      {"bootstrap", "bootstrap", T::Bool, "false", 0, 0, false, "sole server of a new cluster",
       flag_of(&S::bootstrap)},
      {"bootstrap_expect", "bootstrap-expect", T::Int, "0", 0, 7, false,
       "number of servers to begin with", number(&S::bootstrap_expect)},
      {"read_replica", "read-replica", T::Bool, "false", 0, 0, false,
       "a server that answers reads and never votes", flag_of(&S::read_replica)},
      {"non_voting_server", "non-voting-server", T::Bool, "false", 0, 0, false,
       "old spelling of read_replica", flag_of(&S::read_replica)},
      {"witness", "witness", T::Bool, "false", 0, 0, false,
       "a server that votes but keeps no data, for a third place", flag_of(&S::witness)},
      {"leader_priority", "", T::Int, "100", 0, 255, false,
       "servers of the highest priority lead if they can; 0 is only in need",
       number(&S::leader_priority)},
      {"", "dev", T::Bool, "false", 0, 0, false, "server on loopback, nothing kept",
       flag_of(&S::dev)},
      {"start_join", "join", T::List, "", 0, 0, false, "address of a member to join at start",
       list_of(&S::start_join)},
      {"retry_join", "retry-join", T::List, "", 0, 0, false, "the same, retried until it works",
       list_of(&S::retry_join)},
      {"leave_on_terminate", "", T::Bool, "agents: true", 0, 0, true,
       "leave the cluster on SIGTERM", set_leave_on_terminate},
      {"skip_leave_on_interrupt", "", T::Bool, "servers: true", 0, 0, true,
       "do not leave on SIGINT", set_skip_leave},
  };
}

std::vector<Setting> address_settings() {
  return {
      {"bind_addr", "bind", T::String, "0.0.0.0", 0, 0, false, "address for gossip and RPC",
       text(&S::bind_address)},
      {"advertise_addr", "advertise", T::String, "bind_addr", 0, 0, false,
       "address others reach us at", text(&S::advertise_address)},
      {"client_addr", "client", T::String, "127.0.0.1", 0, 0, false, "address for HTTP and DNS",
       text(&S::client_address)},
      {"addresses.http", "", T::String, "client_addr", 0, 0, false,
       "address for HTTP, or unix:///path", text(&S::http_address)},
      {"addresses.dns", "", T::String, "client_addr", 0, 0, false, "address for DNS",
       text(&S::dns_address)},
      accepted("addresses.https"),
      accepted("addresses.grpc"),
      port("ports.http", "http-port", "8500", &S::http_port, "HTTP API; -1 is off"),
      port("ports.https", "https-port", "-1", &S::https_port, "HTTPS API; -1 is off"),
      port("ports.dns", "dns-port", "8600", &S::dns_port, "DNS, UDP and TCP; -1 is off"),
      port("ports.serf_lan", "serf-lan-port", "8301", &S::serf_lan_port, "gossip, UDP and TCP"),
      port("ports.serf_wan", "serf-wan-port", "8302", &S::serf_wan_port,
           "accepted; one pool serves both sites"),
      port("ports.server", "server-port", "8300", &S::server_port, "RPC of servers"),
      port("ports.grpc", "grpc-port", "-1", &S::grpc_port, "gRPC for clients; -1 is off"),
      accepted("ports.proxy_min_port"),
      accepted("ports.proxy_max_port"),
      accepted("ports.sidecar_min_port"),
      accepted("ports.sidecar_max_port"),
      accepted("ports.expose_min_port"),
      accepted("ports.expose_max_port"),
      accepted("serf_lan"),
      accepted("serf_wan"),
      accepted("advertise_addr_wan", "advertise-wan"),
      accepted("translate_wan_addrs"),
  };
}

std::vector<Setting> dns_settings() {
  return {
      {"domain", "domain", T::String, "consul.", 0, 0, false, "DNS domain answered for",
       text(&S::domain)},
      {"alt_domain", "alt-domain", T::String, "", 0, 0, false, "second DNS domain",
       text(&S::alt_domain)},
      {"recursors", "recursor", T::List, "", 0, 0, true, "upstream DNS servers",
       list_of(&S::recursors)},
      {"dns_config.node_ttl", "", T::Duration, "0s", 0, 0, true, "TTL of node answers",
       [](S& s, const V& v) { s.dns.node_ttl = v.duration; }},
      {"dns_config.service_ttl", "", T::DurationMap, "", 0, 0, true,
       "TTL by service name or prefix*", set_service_ttl},
      {"dns_config.only_passing", "", T::Bool, "false", 0, 0, true, "leave warning instances out",
       dns_flag(&DnsSettings::only_passing)},
      {"dns_config.allow_stale", "", T::Bool, "true", 0, 0, true, "answer from local data",
       dns_flag(&DnsSettings::allow_stale)},
      {"dns_config.enable_truncate", "", T::Bool, "false", 0, 0, true,
       "set TC also when udp_answer_limit cut", dns_flag(&DnsSettings::enable_truncate)},
      {"dns_config.disable_compression", "", T::Bool, "false", 0, 0, true, "no name compression",
       dns_flag(&DnsSettings::disable_compression)},
      {"dns_config.enable_additional_node_meta_txt", "", T::Bool, "true", 0, 0, true,
       "node metadata as TXT", dns_flag(&DnsSettings::node_meta_txt)},
      {"dns_config.a_record_limit", "", T::Int, "0", 0, 65535, true,
       "most A or AAAA records; 0 is all", dns_number(&DnsSettings::a_record_limit)},
      {"dns_config.udp_answer_limit", "", T::Int, "3", 0, 65535, true,
       "most records over UDP without EDNS", dns_number(&DnsSettings::udp_answer_limit)},
      {"dns_config.soa.refresh", "", T::Int, "3600", 0, 0x7fffffff, true, "SOA refresh, seconds",
       soa_number(&SoaSettings::refresh)},
      {"dns_config.soa.retry", "", T::Int, "600", 0, 0x7fffffff, true, "SOA retry, seconds",
       soa_number(&SoaSettings::retry)},
      {"dns_config.soa.expire", "", T::Int, "86400", 0, 0x7fffffff, true, "SOA expire, seconds",
       soa_number(&SoaSettings::expire)},
      {"dns_config.soa.min_ttl", "", T::Int, "0", 0, 0x7fffffff, true, "SOA minimum, seconds",
       soa_number(&SoaSettings::min_ttl)},
      accepted("dns_config.max_stale"),
      accepted("dns_config.recursor_timeout"),
      accepted("dns_config.recursor_strategy"),
      silent("dns_config.use_cache"),
      accepted("dns_config.cache_max_age"),
      accepted("dns_config.prefer_namespace"),
  };
}

std::vector<Setting> behaviour_settings() {
  return {
      {"performance.raft_multiplier", "", T::Int, "1", 1, 10, false, "scales Raft's timers",
       number(&S::raft_multiplier)},
      {"state_check_interval", "", T::Duration, "60s", 0, 0, false,
       "time between comparisons of the servers' states; 0s is none",
       span_of(&S::state_check_interval)},
      {"performance.rpc_hold_timeout", "", T::Duration, "7s", 0, 0, true,
       "how long a request waits for a leader", span_of(&S::rpc_hold_timeout)},
      accepted("performance.leave_drain_time"),
      {"default_query_time", "default-query-time", T::Duration, "300s", 0, 0, false,
       "wait of a blocking query", span_of(&S::default_query_time)},
      {"max_query_time", "max-query-time", T::Duration, "600s", 0, 0, false, "longest wait",
       span_of(&S::max_query_time)},
      {"session_ttl_min", "", T::Duration, "10s", 0, 0, false, "shortest session TTL",
       span_of(&S::session_ttl_min)},
      {"snapshot_schedule.interval", "", T::Duration, "0s", 0, 0, false,
       "time between snapshots that a server makes by itself; 0s is none",
       span_of(&S::snapshot_interval)},
      {"snapshot_schedule.retain", "", T::Int, "30", 1, 1000, false, "how many of them are kept",
       number(&S::snapshot_retain)},
      {"snapshot_schedule.stale", "", T::Bool, "false", 0, 0, false,
       "made by every server; else by the leader", flag_of(&S::snapshot_stale)},
      {"snapshot_schedule.path", "", T::String, "data_dir/snapshots", 0, 0, false,
       "folder they are kept in", text(&S::snapshot_path)},
      {"limits.kv_max_value_size", "", T::Int, "524288", 1, 64 << 20, false,
       "largest KV value, bytes", big_number(&S::kv_max_value_size)},
      {"limits.http_max_conns_per_client", "", T::Int, "200", 0, 1 << 20, true,
       "requests in progress a client", big_number(&S::http_max_conns_per_client)},
      accepted("limits.https_handshake_timeout"),
      accepted("limits.rpc_handshake_timeout"),
      accepted("limits.rpc_max_conns_per_client"),
      accepted("limits.rpc_rate"),
      accepted("limits.rpc_max_burst"),
      accepted("limits.txn_max_req_len"),
      {"enable_script_checks", "enable-script-checks", T::Bool, "false", 0, 0, false,
       "allow script checks from files and API", flag_of(&S::enable_script_checks)},
      {"enable_local_script_checks", "enable-local-script-checks", T::Bool, "false", 0, 0, false,
       "allow script checks from files", flag_of(&S::enable_local_script_checks)},
      {"check_update_interval", "", T::Duration, "5m", 0, 0, true,
       "how late a check's mere output may be synced", span_of(&S::check_update_interval)},
      {"check_output_max_size", "", T::Int, "4096", 1, 1 << 20, true, "bytes of check output kept",
       big_number(&S::check_output_max_size)},
      {"discard_check_output", "", T::Bool, "false", 0, 0, true, "keep no check output",
       flag_of(&S::discard_check_output)},
      {"http_config.response_headers", "", T::Map, "", 0, 0, true,
       "headers added to every HTTP answer", map_of(&S::response_headers)},
      {"http_config.block_endpoints", "", T::List, "", 0, 0, true,
       "HTTP path prefixes answered 403", list_of(&S::block_endpoints)},
      accepted("http_config.allow_write_http_from"),
      accepted("http_config.use_cache"),
      accepted("http_config.max_header_bytes"),
      {"service", "", T::Json, "", 0, 0, true, "a service definition", definitions(&S::services)},
      {"services", "", T::Json, "", 0, 0, true, "service definitions", definitions(&S::services)},
      {"check", "", T::Json, "", 0, 0, true, "a check definition", definitions(&S::checks)},
      {"checks", "", T::Json, "", 0, 0, true, "check definitions", definitions(&S::checks)},
      {"proxy", "", T::Json, "", 0, 0, true, "the forwarding proxy: defaults and listeners",
       definitions(&S::proxies)},
  };
}

std::vector<Setting> process_settings() {
  return {
      {"log_level", "log-level", T::String, "INFO", 0, 0, true, "TRACE, DEBUG, INFO, WARN or ERR",
       text(&S::log_level)},
      {"log_file", "log-file", T::String, "", 0, 0, false, "log there instead of standard error",
       text(&S::log_file)},
      {"log_json", "log-json", T::Bool, "false", 0, 0, false, "one JSON object a line",
       flag_of(&S::log_json)},
      {"pid_file", "pid-file", T::String, "", 0, 0, false, "holds our process id while we run",
       text(&S::pid_file)},
      {"ui_config.enabled", "", T::Bool, "false", 0, 0, false, "a page with all services at /ui/",
       flag_of(&S::ui_enabled)},
      {"ui", "ui", T::Bool, "false", 0, 0, false, "old spelling of ui_config.enabled",
       flag_of(&S::ui_enabled)},
      {"enable_debug", "", T::Bool, "false", 0, 0, false, "profiling endpoints",
       flag_of(&S::enable_debug)},
      {"acl.enabled", "", T::Bool, "false", 0, 0, false, "stored; enforcement is not built yet",
       flag_of(&S::acl_enabled)},
      {"acl.default_policy", "", T::String, "allow", 0, 0, false,
       "stored; enforcement is not built yet", text(&S::acl_default_policy)},
      {"acl_default_policy", "", T::String, "allow", 0, 0, false,
       "old spelling of acl.default_policy", text(&S::acl_default_policy)},
  };
}

// Consul's other keys, and their flags: accepted, so that existing files start, with a warning.
struct Name {
  std::string_view key, flag;
};
constexpr Name kWithoutEffect[] = {
    {"acl.down_policy", ""},
    {"acl.policy_ttl", ""},
    {"acl.token_ttl", ""},
    {"acl.role_ttl", ""},
    {"acl.disabled_ttl", ""},
    {"acl.enable_token_replication", ""},
    {"acl.enable_key_list_policy", ""},
    {"acl.enable_token_persistence", ""},
    {"acl.tokens", ""},
    {"acl_master_token", ""},
    {"encrypt", "encrypt"},
    {"encrypt_verify_incoming", ""},
    {"encrypt_verify_outgoing", ""},
    {"ca_file", ""},
    {"ca_path", ""},
    {"cert_file", ""},
    {"key_file", ""},
    {"tls", ""},
    {"verify_incoming", ""},
    {"verify_incoming_rpc", ""},
    {"verify_incoming_https", ""},
    {"verify_outgoing", ""},
    {"verify_server_hostname", ""},
    {"connect", ""},
    {"ui_config.dir", ""},
    {"ui_config.content_path", ""},
    {"ui_config.metrics_provider", ""},
    {"ui_config.metrics_provider_files", ""},
    {"ui_config.metrics_provider_options_json", ""},
    {"ui_config.metrics_proxy", ""},
    {"ui_config.dashboard_url_templates", ""},
    {"ui_dir", "ui-dir"},
    {"ui_content_path", "ui-content-path"},
    {"autopilot", ""},
    {"telemetry", ""},
    {"watches", ""},
    {"gossip_lan", ""},
    {"gossip_wan", ""},
    {"config_entries", ""},
    {"cache", ""},
    {"retry_interval", "retry-interval"},
    {"retry_max", "retry-max"},
    {"retry_join_wan", "retry-join-wan"},
    {"start_join_wan", "join-wan"},
    {"enable_syslog", "syslog"},
    {"syslog_facility", ""},
    {"log_rotate_bytes", "log-rotate-bytes"},
    {"log_rotate_duration", "log-rotate-duration"},
    {"log_rotate_max_files", "log-rotate-max-files"},
    {"reconnect_timeout", ""},
    {"reconnect_timeout_wan", ""},
    {"rejoin_after_leave", "rejoin"},
    {"unix_sockets", ""},
    {"segments", ""},
    {"segment", "segment"},
    {"auto_config", ""},
    {"auto_encrypt", ""},
    {"raft_snapshot_threshold", ""},
    {"raft_snapshot_interval", ""},
    {"raft_trailing_logs", ""},
    {"skip_leave_on_int", ""},
    {"hcl", "hcl"},
    {"config_format", "config-format"},
    {"acl.token_replication", ""},
    {"acl_agent_token", ""},
    {"acl_agent_master_token", ""},
    {"acl_down_policy", ""},
    {"acl_enable_key_list_policy", ""},
    {"acl_enforce_version_8", ""},
    {"acl_replication_token", ""},
    {"acl_token", ""},
    {"acl_ttl", ""},
    {"enable_acl_replication", ""},
    {"advertise_addr_ipv4", ""},
    {"advertise_addr_ipv6", ""},
    {"advertise_addr_wan_ipv4", ""},
    {"advertise_addr_wan_ipv6", ""},
    {"advertise_reconnect_timeout", ""},
    {"audit", ""},
    {"check_reap_interval", ""},
    {"disable_http_unprintable_char_filter", ""},
    {"discovery_max_stale", ""},
    {"enable_agent_tls_for_checks", ""},
    {"license_path", ""},
    {"primary_gateways", ""},
    {"primary_gateways_interval", ""},
    {"retry_interval_wan", ""},
    {"retry_max_wan", ""},
    {"serf_lan_allowed_cidrs", ""},
    {"serf_wan_allowed_cidrs", ""},
    {"server_name", ""},
    {"tagged_addresses", ""},
    {"tls_cipher_suites", ""},
    {"tls_min_version", ""},
    {"tls_prefer_server_cipher_suites", ""},
};

// Accepted without a word.
constexpr Name kSilent[] = {
    {"disable_update_check", ""},
    {"disable_host_node_id", "disable-host-node-id"},
    {"disable_remote_exec", ""},
    {"disable_keyring_file", "disable-keyring-file"},
    {"disable_anonymous_signature", ""},
    {"disable_coordinates", ""},
    {"enable_central_service_config", ""},
    {"raft_protocol", "raft-protocol"},
    {"protocol", "protocol"},
    {"rpc", ""},
    {"use_streaming_backend", ""},
};

std::vector<Setting> other_settings() {
  std::vector<Setting> out;
  for (const Name& name : kWithoutEffect) out.push_back(accepted(name.key, name.flag));
  for (const Name& name : kSilent) out.push_back(silent(name.key, name.flag));
  return out;
}

std::vector<Setting> build_table() {
  std::vector<Setting> table;
  for (auto part : {identity_settings(), address_settings(), dns_settings(), behaviour_settings(),
                    process_settings(), other_settings()})
    table.insert(table.end(), part.begin(), part.end());
  return table;
}

// Near enough to be a slip of the hand: a third of the letters, at most three.
template <class Field>
std::string nearest(std::string_view wanted, Field field) {
  std::string best;
  std::size_t best_distance = std::min<std::size_t>(3, wanted.size() / 3 + 1) + 1;
  for (const auto& setting : setting_table()) {
    const std::string_view name = setting.*field;
    if (name.empty()) continue;
    if (const auto distance = edit_distance(wanted, name); distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

std::span<const Setting> setting_table() {
  static const std::vector<Setting> table = build_table();
  return table;
}

const Setting* find_setting_by_key(std::string_view key) {
  for (const auto& setting : setting_table())
    if (!key.empty() && setting.key == key) return &setting;
  return nullptr;
}

const Setting* find_setting_by_flag(std::string_view flag) {
  for (const auto& setting : setting_table())
    if (!flag.empty() && setting.flag == flag) return &setting;
  return nullptr;
}

bool is_setting_section(std::string_view key) {
  const std::string prefix = std::string(key) + ".";
  return std::ranges::any_of(setting_table(),
                             [&](const Setting& s) { return s.key.starts_with(prefix); });
}

std::string nearest_key(std::string_view key) {
  return nearest(key, &Setting::key);
}
std::string nearest_flag(std::string_view flag) {
  return nearest(flag, &Setting::flag);
}

}  // namespace fyr::app
