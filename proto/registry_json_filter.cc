#include "proto/registry_json.h"

namespace fyr {
namespace {

using enum FilterType;

FilterField text(std::string name) {
  return {std::move(name), String, {}};
}
FilterField integer(std::string name) {
  return {std::move(name), Integer, {}};
}
FilterField boolean(std::string name) {
  return {std::move(name), Bool, {}};
}
FilterField texts(std::string name) {
  return {std::move(name), StringList, {}};
}
FilterField text_map(std::string name) {
  return {std::move(name), StringMap, {}};
}
FilterField object(std::string name, FilterSchema fields) {
  return {std::move(name), Object, std::move(fields)};
}

FilterField tagged_addresses(std::string name) {
  return {std::move(name), ObjectMap, {text("Address"), integer("Port")}};
}
FilterField weights(std::string name) {
  return object(std::move(name), {integer("Passing"), integer("Warning")});
}
FilterField proxy(std::string name) {
  const FilterField upstreams{"Upstreams",
                              ObjectList,
                              {text("DestinationType"), text("DestinationName"), text("Datacenter"),
                               text("LocalBindAddress"), integer("LocalBindPort")}};
  return object(std::move(name), {text("DestinationServiceName"), text("DestinationServiceID"),
                                  text("LocalServiceAddress"), integer("LocalServicePort"),
                                  text("Mode"), object("MeshGateway", {text("Mode")}),
                                  object("Expose", {boolean("Checks")}), upstreams});
}
FilterField connect(std::string name) {
  return object(std::move(name), {boolean("Native")});
}

FilterSchema make_node() {
  return {text("ID"),         text("Node"),     text("Address"),
          text("Datacenter"), text_map("Meta"), text_map("TaggedAddresses")};
}

FilterSchema make_service() {
  return {text("Kind"),
          text("ID"),
          text("Service"),
          texts("Tags"),
          text("Address"),
          tagged_addresses("TaggedAddresses"),
          text_map("Meta"),
          integer("Port"),
          text("SocketPath"),
          weights("Weights"),
          boolean("EnableTagOverride"),
          proxy("Proxy"),
          connect("Connect")};
}

FilterSchema make_service_node() {
  return {text("ID"),
          text("Node"),
          text("Address"),
          text("Datacenter"),
          text_map("TaggedAddresses"),
          text_map("NodeMeta"),
          text("ServiceKind"),
          text("ServiceID"),
          text("ServiceName"),
          texts("ServiceTags"),
          text("ServiceAddress"),
          tagged_addresses("ServiceTaggedAddresses"),
          weights("ServiceWeights"),
          text_map("ServiceMeta"),
          integer("ServicePort"),
          text("ServiceSocketPath"),
          boolean("ServiceEnableTagOverride"),
          proxy("ServiceProxy"),
          connect("ServiceConnect")};
}

FilterSchema make_check() {
  return {
      text("Node"),
      text("CheckID"),
      text("Name"),
      text("Status"),
      text("Notes"),
      text("Output"),
      text("ServiceID"),
      text("ServiceName"),
      texts("ServiceTags"),
      text("Type"),
      text("Interval"),
      text("Timeout"),
      integer("ExposedPort"),
      object("Definition", {text("HTTP"), text("Method"), text("Body"), text("TCP"), text("GRPC"),
                            boolean("GRPCUseTLS"), text("TLSServerName"), boolean("TLSSkipVerify"),
                            text("AliasNode"), text("AliasService"), texts("ScriptArgs")})};
}

}  // namespace

const FilterSchema& node_filter_schema() {
  static const FilterSchema schema = make_node();
  return schema;
}

const FilterSchema& service_filter_schema() {
  static const FilterSchema schema = make_service();
  return schema;
}

const FilterSchema& service_node_filter_schema() {
  static const FilterSchema schema = make_service_node();
  return schema;
}

const FilterSchema& check_filter_schema() {
  static const FilterSchema schema = make_check();
  return schema;
}

const FilterSchema& service_health_filter_schema() {
  static const FilterSchema schema = {object("Node", make_node()),
                                      object("Service", make_service()),
                                      {"Checks", ObjectList, make_check()}};
  return schema;
}

const FilterSchema& node_info_filter_schema() {
  static const FilterSchema schema = {text("ID"),
                                      text("Node"),
                                      text("Address"),
                                      text_map("TaggedAddresses"),
                                      text_map("Meta"),
                                      {"Services", ObjectList, make_service()},
                                      {"Checks", ObjectList, make_check()}};
  return schema;
}

const FilterSchema& agent_service_filter_schema() {
  static const FilterSchema schema = make_service();
  return schema;
}

}  // namespace fyr
