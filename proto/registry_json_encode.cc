#include <array>

#include "base/bytes.h"
#include "base/time.h"
#include "proto/registry_json.h"

namespace fyr {
namespace {

constexpr std::string_view kNoProxy = R"({"Mode":"","MeshGateway":{},"Expose":{}})";

using Texts = google::protobuf::RepeatedPtrField<std::string>;

void write_list(JsonWriter& out, const Texts& items) {
  out.begin_array();
  for (const auto& item : items) out.string(item);
  out.end_array();
}

void write_optional(JsonWriter& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out.key(name).string(value);
}
void write_optional(JsonWriter& out, std::string_view name, bool value) {
  if (value) out.key(name).boolean(true);
}
void write_optional_duration(JsonWriter& out, std::string_view name, std::int64_t nanoseconds) {
  if (nanoseconds != 0) out.key(name).string(format_duration(Duration(nanoseconds)));
}

void write_addresses(JsonWriter& out,
                     const google::protobuf::RepeatedPtrField<pb::NamedAddress>& addresses) {
  out.begin_object();
  for (const auto& named : addresses) {
    out.key(named.name()).begin_object();
    out.key("Address").string(named.address().address());
    out.key("Port").number(named.address().port());
    out.end_object();
  }
  out.end_object();
}

void write_weights(JsonWriter& out, const pb::ServiceInstance& service) {
  const bool given = service.has_weights();
  out.begin_object();
  out.key("Passing").number(given ? service.weights().passing() : 1);
  out.key("Warning").number(given ? service.weights().warning() : 1);
  out.end_object();
}

void write_proxy(JsonWriter& out, const pb::ServiceInstance& service) {
  out.raw(service.proxy_json().empty() ? kNoProxy : std::string_view(service.proxy_json()));
}

void write_connect(JsonWriter& out, const pb::ServiceInstance& service) {
  out.begin_object();
  write_optional(out, "Native", service.connect_native());
  out.end_object();
}

void write_headers(JsonWriter& out, const pb::CheckDefinition& definition) {
  out.begin_object();
  for (const auto& header : definition.header()) {
    out.key(header.name());
    write_list(out, header.values());
  }
  out.end_object();
}

void write_definition(JsonWriter& out, const pb::CheckDefinition& d) {
  out.begin_object();
  write_optional_duration(out, "Interval", d.interval_ns());
  write_optional_duration(out, "Timeout", d.timeout_ns());
  write_optional_duration(out, "DeregisterCriticalServiceAfter", d.deregister_critical_after_ns());
  write_optional(out, "HTTP", d.http());
  write_optional(out, "TLSServerName", d.tls_server_name());
  write_optional(out, "TLSSkipVerify", d.tls_skip_verify());
  if (d.header_size() > 0) {
    out.key("Header");
    write_headers(out, d);
  }
  write_optional(out, "Method", d.method());
  write_optional(out, "Body", d.body());
  write_optional(out, "DisableRedirects", d.disable_redirects());
  write_optional(out, "TCP", d.tcp());
  write_optional(out, "UDP", d.udp());
  write_optional(out, "H2PING", d.h2ping());
  write_optional(out, "H2PingUseTLS", d.h2ping_use_tls());
  write_optional(out, "OSService", d.os_service());
  if (d.script_args_size() > 0) {
    out.key("ScriptArgs");
    write_list(out, d.script_args());
  }
  write_optional(out, "DockerContainerID", d.docker_container_id());
  write_optional(out, "Shell", d.shell());
  write_optional(out, "GRPC", d.grpc());
  write_optional(out, "GRPCUseTLS", d.grpc_use_tls());
  write_optional(out, "AliasNode", d.alias_node());
  write_optional(out, "AliasService", d.alias_service());
  write_optional_duration(out, "TTL", d.ttl_ns());
  out.end_object();
}

void write_indexes(JsonWriter& out, std::uint64_t create, std::uint64_t modify) {
  out.key("CreateIndex").number(create);
  out.key("ModifyIndex").number(modify);
}

// The fields a check has in both of its forms.
void write_check_head(JsonWriter& out, const pb::HealthCheck& check) {
  out.key("Node").string(check.node());
  out.key("CheckID").string(check.check_id());
  out.key("Name").string(check.name());
  out.key("Status").string(check.status());
  out.key("Notes").string(check.notes());
  out.key("Output").string(check.output());
  out.key("ServiceID").string(check.service_id());
  out.key("ServiceName").string(check.service_name());
}

}  // namespace

void encode_pairs(JsonWriter& out, const google::protobuf::RepeatedPtrField<pb::Pair>& pairs,
                  bool present) {
  if (pairs.empty() && !present) {
    out.null();
    return;
  }
  out.begin_object();
  for (const auto& pair : pairs) out.key(pair.key()).string(pair.value());
  out.end_object();
}

void encode_node(JsonWriter& out, const pb::Node& node, std::string_view datacenter) {
  out.begin_object();
  out.key("ID").string(node.id());
  out.key("Node").string(node.name());
  out.key("Address").string(node.address());
  out.key("Datacenter").string(node.datacenter().empty() ? datacenter : node.datacenter());
  out.key("TaggedAddresses");
  encode_pairs(out, node.tagged_addresses(), node.has_tagged_addresses());
  out.key("Meta");
  encode_pairs(out, node.meta(), node.has_meta());
  write_indexes(out, node.create_index(), node.modify_index());
  out.end_object();
}

void encode_service(JsonWriter& out, const pb::ServiceInstance& service) {
  out.begin_object();
  write_optional(out, "Kind", service.kind());
  out.key("ID").string(service.id());
  out.key("Service").string(service.service());
  out.key("Tags");
  write_list(out, service.tags());
  out.key("Address").string(service.address());
  if (service.tagged_addresses_size() > 0) {
    out.key("TaggedAddresses");
    write_addresses(out, service.tagged_addresses());
  }
  out.key("Meta");
  encode_pairs(out, service.meta(), service.has_meta());
  if (service.port() != 0) out.key("Port").number(service.port());
  write_optional(out, "SocketPath", service.socket_path());
  out.key("Weights");
  write_weights(out, service);
  out.key("EnableTagOverride").boolean(service.enable_tag_override());
  out.key("Proxy");
  write_proxy(out, service);
  out.key("Connect");
  write_connect(out, service);
  write_indexes(out, service.create_index(), service.modify_index());
  out.end_object();
}

void encode_service_node(JsonWriter& out, const pb::Node& node, const pb::ServiceInstance& service,
                         std::string_view datacenter) {
  out.begin_object();
  out.key("ID").string(node.id());
  out.key("Node").string(node.name());
  out.key("Address").string(node.address());
  out.key("Datacenter").string(node.datacenter().empty() ? datacenter : node.datacenter());
  out.key("TaggedAddresses");
  encode_pairs(out, node.tagged_addresses(), node.has_tagged_addresses());
  out.key("NodeMeta");
  encode_pairs(out, node.meta(), node.has_meta());
  out.key("ServiceKind").string(service.kind());
  out.key("ServiceID").string(service.id());
  out.key("ServiceName").string(service.service());
  out.key("ServiceTags");
  write_list(out, service.tags());
  out.key("ServiceAddress").string(service.address());
  if (service.tagged_addresses_size() > 0) {
    out.key("ServiceTaggedAddresses");
    write_addresses(out, service.tagged_addresses());
  }
  out.key("ServiceWeights");
  write_weights(out, service);
  out.key("ServiceMeta");
  encode_pairs(out, service.meta(), true);
  out.key("ServicePort").number(service.port());
  out.key("ServiceSocketPath").string(service.socket_path());
  out.key("ServiceEnableTagOverride").boolean(service.enable_tag_override());
  out.key("ServiceProxy");
  write_proxy(out, service);
  out.key("ServiceConnect");
  write_connect(out, service);
  write_indexes(out, service.create_index(), service.modify_index());
  out.end_object();
}

void encode_agent_service(JsonWriter& out, const pb::ServiceInstance& service,
                          std::string_view datacenter, std::string_view content_hash) {
  out.begin_object();
  write_optional(out, "Kind", service.kind());
  out.key("ID").string(service.id());
  out.key("Service").string(service.service());
  out.key("Tags");
  write_list(out, service.tags());
  out.key("Meta");
  encode_pairs(out, service.meta(), true);
  out.key("Port").number(service.port());
  out.key("Address").string(service.address());
  write_optional(out, "SocketPath", service.socket_path());
  if (service.tagged_addresses_size() > 0) {
    out.key("TaggedAddresses");
    write_addresses(out, service.tagged_addresses());
  }
  out.key("Weights");
  write_weights(out, service);
  out.key("EnableTagOverride").boolean(service.enable_tag_override());
  if (!service.proxy_json().empty()) out.key("Proxy").raw(service.proxy_json());
  if (service.connect_native()) {
    out.key("Connect");
    write_connect(out, service);
  }
  if (!content_hash.empty()) out.key("ContentHash").string(content_hash);
  out.key("Datacenter").string(datacenter);
  out.end_object();
}

void encode_check(JsonWriter& out, const pb::HealthCheck& check) {
  out.begin_object();
  write_check_head(out, check);
  out.key("ServiceTags");
  write_list(out, check.service_tags());
  out.key("Type").string(check.type());
  out.key("Interval").string(check.interval());
  out.key("Timeout").string(check.timeout());
  out.key("ExposedPort").number(0);
  out.key("Definition");
  write_definition(out, check.definition());
  write_indexes(out, check.create_index(), check.modify_index());
  out.end_object();
}

void encode_check_verbose(JsonWriter& out, const pb::HealthCheck& check) {
  const auto& d = check.definition();
  out.begin_object();
  write_check_head(out, check);
  out.key("ServiceTags");
  if (check.service_tags_size() == 0 && !check.has_service_tags()) {
    out.null();
  } else {
    write_list(out, check.service_tags());
  }
  out.key("Type").string(check.type());
  out.key("Definition").begin_object();
  out.key("Interval").string(format_duration(Duration(d.interval_ns())));
  out.key("Timeout").string(format_duration(Duration(d.timeout_ns())));
  out.key("DeregisterCriticalServiceAfter")
      .string(format_duration(Duration(d.deregister_critical_after_ns())));
  out.key("HTTP").string(d.http());
  out.key("Header");
  if (d.header_size() > 0) {
    write_headers(out, d);
  } else {
    out.null();
  }
  out.key("Method").string(d.method());
  out.key("Body").string(d.body());
  out.key("TLSServerName").string(d.tls_server_name());
  out.key("TLSSkipVerify").boolean(d.tls_skip_verify());
  out.key("TCP").string(d.tcp());
  out.key("GRPC").string(d.grpc());
  out.key("GRPCUseTLS").boolean(d.grpc_use_tls());
  out.end_object();
  write_indexes(out, check.create_index(), check.modify_index());
  out.end_object();
}

void encode_kv(JsonWriter& out, const pb::KvPair& pair) {
  out.begin_object();
  out.key("LockIndex").number(pair.lock_index());
  out.key("Key").string(pair.key());
  out.key("Flags").number(pair.flags());
  out.key("Value");
  if (pair.value().empty()) {
    out.null();
  } else {
    out.string(to_base64(pair.value()));
  }
  write_optional(out, "Session", pair.session());
  write_indexes(out, pair.create_index(), pair.modify_index());
  out.end_object();
}

void encode_session(JsonWriter& out, const pb::Session& session) {
  out.begin_object();
  out.key("ID").string(session.id());
  out.key("Name").string(session.name());
  out.key("Node").string(session.node());
  out.key("LockDelay").number(static_cast<std::int64_t>(session.lock_delay_ns()));
  out.key("Behavior").string(session.behavior());
  out.key("TTL").string(session.ttl());
  out.key("NodeChecks");
  write_list(out, session.node_checks());
  out.key("ServiceChecks");
  if (session.service_checks_size() == 0) {
    out.null();
  } else {
    out.begin_array();
    for (const auto& id : session.service_checks()) {
      out.begin_object();
      out.key("ID").string(id);
      out.key("Namespace").string("");
      out.end_object();
    }
    out.end_array();
  }
  write_indexes(out, session.create_index(), session.modify_index());
  out.end_object();
}

}  // namespace fyr
