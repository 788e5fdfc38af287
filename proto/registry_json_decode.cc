#include <boost/json.hpp>

#include "proto/registry_json.h"

namespace fyr {
namespace {

namespace json = boost::json;

using StringMap = std::map<std::string, std::string>;
using HeaderMap = std::map<std::string, std::vector<std::string>>;

void set_texts(google::protobuf::RepeatedPtrField<std::string>& out,
               const std::vector<std::string>& in) {
  out.Clear();
  for (const auto& item : in) *out.Add() = item;
}

void set_headers(pb::CheckDefinition& out, const HeaderMap& in) {
  for (const auto& [name, values] : in) {
    auto& header = *out.add_header();
    header.set_name(name);
    set_texts(*header.mutable_values(), values);
  }
}

Result<void> decode_addresses(const json::value& value, const std::string& path,
                              UnknownFields unknown, pb::ServiceInstance& out) {
  if (!value.is_object()) {
    return fail(ErrorCode::InvalidArgument, "json: cannot unmarshal into Go struct field " + path +
                                                " of type map[string]structs.ServiceAddress");
  }
  std::map<std::string, pb::ServiceAddress> sorted;
  for (const auto& member : value.get_object()) {
    const std::string name(member.key());
    std::string address;
    int port = 0;
    ObjectDecoder decoder(member.value(), path + "." + name, unknown);
    auto done = decoder.field("Address", address).field("Port", port).finish();
    if (!done) return done;
    sorted[name].set_address(address);
    sorted[name].set_port(port);
  }
  for (const auto& [name, address] : sorted) {
    auto& named = *out.add_tagged_addresses();
    named.set_name(name);
    *named.mutable_address() = address;
  }
  out.set_has_tagged_addresses(true);
  return {};
}

// Keys of a proxy description, so that any spelling is stored and shown as Consul's.
constexpr std::pair<std::string_view, std::string_view> kProxyKeys[] = {
    {"destinationservicename", "DestinationServiceName"},
    {"destinationserviceid", "DestinationServiceID"},
    {"localserviceaddress", "LocalServiceAddress"},
    {"localserviceport", "LocalServicePort"},
    {"localservicesocketpath", "LocalServiceSocketPath"},
    {"mode", "Mode"},
    {"config", "Config"},
    {"upstreams", "Upstreams"},
    {"meshgateway", "MeshGateway"},
    {"expose", "Expose"},
    {"transparentproxy", "TransparentProxy"},
};

Result<void> decode_proxy(const json::value& value, const std::string& path,
                          pb::ServiceInstance& out) {
  if (!value.is_object()) {
    return fail(ErrorCode::InvalidArgument, "json: cannot unmarshal into Go struct field " + path +
                                                " of type structs.ConnectProxyConfig");
  }
  json::object canonical;
  for (const auto& member : value.get_object()) {
    std::string folded;
    for (const char c : member.key()) {
      if (c != '_') folded.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    }
    std::string_view shown;
    for (const auto& [key, name] : kProxyKeys) {
      if (key == folded) shown = name;
    }
    if (shown.empty()) {
      return fail(ErrorCode::InvalidArgument,
                  "json: unknown field \"" + std::string(member.key()) + "\" in " + path);
    }
    const auto& item = member.value();
    const bool is_empty = item.is_null() || (item.is_string() && item.get_string().empty()) ||
                          (item.is_array() && item.get_array().empty()) || item == json::value(0);
    if (!is_empty) canonical[shown] = item;
  }
  if (canonical.empty()) return {};
  const auto* destination = canonical.if_contains("DestinationServiceName");
  if (destination != nullptr && !destination->is_string()) {
    return fail(ErrorCode::InvalidArgument, "json: cannot unmarshal into Go struct field " + path +
                                                ".DestinationServiceName of type string");
  }
  if (!canonical.contains("Mode")) canonical["Mode"] = "";
  if (!canonical.contains("MeshGateway")) canonical["MeshGateway"] = json::object();
  if (!canonical.contains("Expose")) canonical["Expose"] = json::object();
  out.set_proxy_json(json::serialize(canonical));
  return {};
}

// What the catalog's and the agent's form of a service have in common; `name` is how each spells
// the service's name.
class ServiceFields {
 public:
  ServiceFields(pb::ServiceInstance& out, UnknownFields unknown) : out_(out), unknown_(unknown) {}

  void read(ObjectDecoder& decoder, std::string_view name) {
    decoder.field("Kind", *out_.mutable_kind())
        .field("ID", *out_.mutable_id())
        .field(name, *out_.mutable_service())
        .field("Tags", tags_)
        .field("Address", *out_.mutable_address())
        .field("Meta", meta_)
        .field("Port", port_)
        .field("SocketPath|socket_path", *out_.mutable_socket_path())
        .field("EnableTagOverride|enable_tag_override", tag_override_);
    decoder.field("TaggedAddresses|tagged_addresses",
                  [this](const json::value& value, const std::string& path) {
                    return decode_addresses(value, path, unknown_, out_);
                  });
    decoder.field("Weights", [this](const json::value& value, const std::string& path) {
      int passing = 1;
      int warning = 1;
      ObjectDecoder weights(value, path, unknown_);
      auto done = weights.field("Passing", passing).field("Warning", warning).finish();
      out_.mutable_weights()->set_passing(passing);
      out_.mutable_weights()->set_warning(warning);
      return done;
    });
    decoder.field("Proxy", [this](const json::value& value, const std::string& path) {
      return decode_proxy(value, path, out_);
    });
    decoder.field("Connect", [this](const json::value& value, const std::string& path) {
      bool native = false;
      ObjectDecoder connect(value, path, unknown_);
      auto done = connect.field("Native", native)
                      .ignore("SidecarService|sidecar_service")
                      .ignore("Proxy")
                      .finish();
      out_.set_connect_native(native);
      return done;
    });
    // Sent along by clients that pass on what they have read.
    decoder.ignore("Namespace").ignore("Partition");
    has_tags_ = decoder.has("Tags");
    has_meta_ = decoder.has("Meta");
  }

  void store() {
    set_texts(*out_.mutable_tags(), tags_);
    set_pairs(*out_.mutable_meta(), meta_);
    out_.set_has_tags(has_tags_);
    out_.set_has_meta(has_meta_);
    out_.set_port(port_);
    out_.set_enable_tag_override(tag_override_);
  }

 private:
  pb::ServiceInstance& out_;
  UnknownFields unknown_;
  std::vector<std::string> tags_;
  StringMap meta_;
  int port_ = 0;
  bool tag_override_ = false;
  bool has_tags_ = false;
  bool has_meta_ = false;
};

// The part of a check that says how it is run.
class DefinitionFields {
 public:
  void read(ObjectDecoder& decoder, pb::CheckDefinition& out) {
    decoder.field("HTTP", *out.mutable_http())
        .field("Method", *out.mutable_method())
        .field("Header", header_)
        .field("Body", *out.mutable_body())
        .field("TCP", *out.mutable_tcp())
        .field("UDP", *out.mutable_udp())
        .field("GRPC", *out.mutable_grpc())
        .field("GRPCUseTLS|grpc_use_tls", grpc_use_tls_)
        .field("H2PING|h2ping", *out.mutable_h2ping())
        .field("H2PingUseTLS|h2ping_use_tls", h2ping_use_tls_)
        .field("AliasNode|alias_node", *out.mutable_alias_node())
        .field("AliasService|alias_service", *out.mutable_alias_service())
        .field("ScriptArgs|Args|script_args", script_args_)
        .field("DockerContainerID|docker_container_id", *out.mutable_docker_container_id())
        .field("Shell", *out.mutable_shell())
        .field("OSService|os_service", *out.mutable_os_service())
        .field("TLSServerName|tls_server_name", *out.mutable_tls_server_name())
        .field("TLSSkipVerify|tls_skip_verify", tls_skip_verify_)
        .field("DisableRedirects|disable_redirects", disable_redirects_)
        .field("Interval", interval_)
        .field("Timeout", timeout_)
        .field("TTL", ttl_)
        .field("DeregisterCriticalServiceAfter|deregister_critical_service_after", deregister_)
        .field("SuccessBeforePassing|success_before_passing", success_before_passing_)
        .field("FailuresBeforeWarning|failures_before_warning", failures_before_warning_)
        .field("FailuresBeforeCritical|failures_before_critical", failures_before_critical_)
        .field("OutputMaxSize|output_max_size", output_max_size_);
  }

  void store(pb::CheckDefinition& out) const {
    set_headers(out, header_);
    set_texts(*out.mutable_script_args(), script_args_);
    out.set_grpc_use_tls(grpc_use_tls_);
    out.set_h2ping_use_tls(h2ping_use_tls_);
    out.set_tls_skip_verify(tls_skip_verify_);
    out.set_disable_redirects(disable_redirects_);
    out.set_interval_ns(interval_.count());
    out.set_timeout_ns(timeout_.count());
    out.set_ttl_ns(ttl_.count());
    out.set_deregister_critical_after_ns(deregister_.count());
    out.set_success_before_passing(success_before_passing_);
    out.set_failures_before_warning(failures_before_warning_);
    out.set_failures_before_critical(failures_before_critical_);
    out.set_output_max_size(output_max_size_);
  }

 private:
  HeaderMap header_;
  std::vector<std::string> script_args_;
  bool grpc_use_tls_ = false;
  bool h2ping_use_tls_ = false;
  bool tls_skip_verify_ = false;
  bool disable_redirects_ = false;
  Duration interval_{};
  Duration timeout_{};
  Duration ttl_{};
  Duration deregister_{};
  int success_before_passing_ = 0;
  int failures_before_warning_ = 0;
  int failures_before_critical_ = 0;
  std::int64_t output_max_size_ = 0;
};

Result<void> decode_definition(const json::value& value, const std::string& path,
                               UnknownFields unknown, pb::CheckDefinition& out) {
  DefinitionFields fields;
  ObjectDecoder decoder(value, path, unknown);
  fields.read(decoder, out);
  if (auto done = decoder.finish(); !done) return done;
  fields.store(out);
  return {};
}

Result<void> decode_spec_checks(const json::value& value, const std::string& path,
                                UnknownFields unknown, std::vector<CheckSpec>& out) {
  if (!value.is_array()) {
    return fail(ErrorCode::InvalidArgument, "json: cannot unmarshal into Go struct field " + path +
                                                " of type []structs.CheckType");
  }
  for (const auto& item : value.get_array()) {
    auto check = decode_check_spec(item, path, unknown);
    if (!check) return check.error();
    out.push_back(std::move(*check));
  }
  return {};
}

}  // namespace

void set_pairs(google::protobuf::RepeatedPtrField<pb::Pair>& out, const StringMap& in) {
  out.Clear();
  for (const auto& [key, value] : in) {
    auto& pair = *out.Add();
    pair.set_key(key);
    pair.set_value(value);
  }
}

Result<pb::ServiceInstance> decode_service(const json::value& value, const std::string& path,
                                           UnknownFields unknown) {
  pb::ServiceInstance out;
  ServiceFields fields(out, unknown);
  ObjectDecoder decoder(value, path, unknown);
  fields.read(decoder, "Service");
  decoder.ignore("CreateIndex")
      .ignore("ModifyIndex")
      .ignore("ContentHash")
      .ignore("Datacenter")
      .ignore("LocallyRegisteredAsSidecar");
  if (auto done = decoder.finish(); !done) return done.error();
  fields.store();
  return out;
}

Result<pb::HealthCheck> decode_check(const json::value& value, const std::string& path,
                                     UnknownFields unknown) {
  pb::HealthCheck out;
  std::vector<std::string> tags;
  ObjectDecoder decoder(value, path, unknown);
  decoder.field("Node", *out.mutable_node())
      .field("CheckID", *out.mutable_check_id())
      .field("Name", *out.mutable_name())
      .field("Status", *out.mutable_status())
      .field("Notes", *out.mutable_notes())
      .field("Output", *out.mutable_output())
      .field("ServiceID", *out.mutable_service_id())
      .field("ServiceName", *out.mutable_service_name())
      .field("ServiceTags", tags)
      .field("Type", *out.mutable_type())
      .field("Interval", *out.mutable_interval())
      .field("Timeout", *out.mutable_timeout())
      .ignore("ExposedPort")
      .ignore("CreateIndex")
      .ignore("ModifyIndex")
      .ignore("Namespace")
      .ignore("Partition");
  decoder.field("Definition", [&](const json::value& inner, const std::string& inner_path) {
    return decode_definition(inner, inner_path, unknown, *out.mutable_definition());
  });
  out.set_has_service_tags(decoder.has("ServiceTags"));
  if (auto done = decoder.finish(); !done) return done.error();
  set_texts(*out.mutable_service_tags(), tags);
  return out;
}

Result<CheckSpec> decode_check_spec(const json::value& value, const std::string& path,
                                    UnknownFields unknown) {
  CheckSpec out;
  DefinitionFields definition;
  ObjectDecoder decoder(value, path, unknown);
  decoder.field("CheckID|check_id|ID", *out.check.mutable_check_id())
      .field("Name", *out.check.mutable_name())
      .field("Notes", *out.check.mutable_notes())
      .field("ServiceID|service_id", *out.check.mutable_service_id())
      .field("Status", *out.check.mutable_status())
      .field("Token", out.token);
  definition.read(decoder, *out.check.mutable_definition());
  decoder.ignore("ProxyHTTP").ignore("ProxyGRPC").ignore("Namespace").ignore("Partition");
  if (auto done = decoder.finish(); !done) return done.error();
  definition.store(*out.check.mutable_definition());
  return out;
}

Result<ServiceSpec> decode_service_spec(const json::value& value, const std::string& path,
                                        UnknownFields unknown) {
  ServiceSpec out;
  ServiceFields fields(out.service, unknown);
  ObjectDecoder decoder(value, path, unknown);
  fields.read(decoder, "Name");
  decoder.field("Token", out.token);
  decoder.field("Check", [&](const json::value& inner, const std::string& inner_path) {
    auto check = decode_check_spec(inner, inner_path, unknown);
    if (!check) return Result<void>(check.error());
    out.checks.push_back(std::move(*check));
    return Result<void>();
  });
  decoder.field("Checks", [&](const json::value& inner, const std::string& inner_path) {
    return decode_spec_checks(inner, inner_path, unknown, out.checks);
  });
  if (auto done = decoder.finish(); !done) return done.error();
  fields.store();
  out.has_weights = out.service.has_weights();
  return out;
}

}  // namespace fyr
