// JSON form of the registry's rows, as Consul 1.10 shows them, and the decoding of definitions.
//
// Encoders append one complete value to a JsonWriter. null, [] and {} differ on purpose: clients
// see the difference, so the has_* fields of the rows decide. Decoders match field names without
// regard to case and take the snake_case spellings of configuration files too; an error names the
// field in Go's words ("json: unknown field ..."). Nothing is validated beyond types: rules
// belong to the endpoint or the state.
//
// Threading: pure functions.
#pragma once

#include <boost/json/value.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/filter.h"
#include "base/json.h"
#include "registry.pb.h"

namespace fyr {

// ---- encode ------------------------------------------------------------------------------------
// {ID,Node,Address,Datacenter,TaggedAddresses,Meta,CreateIndex,ModifyIndex}. An empty datacenter
// in the row is shown as `datacenter`.
void encode_node(JsonWriter& out, const pb::Node& node, std::string_view datacenter);

// As under "Service" in /v1/health/service and "Services" in /v1/catalog/node.
void encode_service(JsonWriter& out, const pb::ServiceInstance& service);

// The flat row of /v1/catalog/service: the node's fields and the instance's with "Service" ahead.
void encode_service_node(JsonWriter& out, const pb::Node& node, const pb::ServiceInstance& service,
                         std::string_view datacenter);

// As the agent shows its own services (/v1/agent/services); ContentHash is left out when empty.
void encode_agent_service(JsonWriter& out, const pb::ServiceInstance& service,
                          std::string_view datacenter, std::string_view content_hash = {});

// As in /v1/health/* and /v1/agent/checks.
void encode_check(JsonWriter& out, const pb::HealthCheck& check);

// As in /v1/agent/health/service/*: the client library's form, every field of Definition present.
void encode_check_verbose(JsonWriter& out, const pb::HealthCheck& check);

void encode_kv(JsonWriter& out, const pb::KvPair& pair);  // Value in base64, null when empty
void encode_session(JsonWriter& out, const pb::Session& session);

// {"k":"v",...}, null if `present` is false and there is none, {} otherwise.
void encode_pairs(JsonWriter& out, const google::protobuf::RepeatedPtrField<pb::Pair>& pairs,
                  bool present);

// ---- decode ------------------------------------------------------------------------------------
// The catalog's form: Service and Check objects of PUT /v1/catalog/register. Maps come out sorted.
Result<pb::ServiceInstance> decode_service(const boost::json::value& value, const std::string& path,
                                           UnknownFields unknown);
Result<pb::HealthCheck> decode_check(const boost::json::value& value, const std::string& path,
                                     UnknownFields unknown);
void set_pairs(google::protobuf::RepeatedPtrField<pb::Pair>& out,
               const std::map<std::string, std::string>& in);

// The agent's form: PUT /v1/agent/service/register, /v1/agent/check/register and the "service(s)"
// and "check(s)" keys of a configuration file.
struct CheckSpec {
  pb::HealthCheck check;  // check_id, name, notes, service_id, definition; status as given or ""
  std::string token;
};
struct ServiceSpec {
  pb::ServiceInstance service;  // id as given or ""; weights absent when not given
  bool has_weights = false;
  std::vector<CheckSpec> checks;  // "Check" first, then "Checks"
  std::string token;
};
Result<ServiceSpec> decode_service_spec(const boost::json::value& value, const std::string& path,
                                        UnknownFields unknown);
Result<CheckSpec> decode_check_spec(const boost::json::value& value, const std::string& path,
                                    UnknownFields unknown);

// ---- filter ------------------------------------------------------------------------------------
// What ?filter= may select in the JSON that the encoder of the same name writes.
const FilterSchema& node_filter_schema();
const FilterSchema& service_filter_schema();
const FilterSchema& service_node_filter_schema();
const FilterSchema& check_filter_schema();
const FilterSchema& service_health_filter_schema();  // {Node, Service, Checks}
const FilterSchema& node_info_filter_schema();       // of /v1/internal/ui/nodes
const FilterSchema& agent_service_filter_schema();

}  // namespace fyr
