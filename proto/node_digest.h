// One number for what a node holds in the catalog: equal on both sides, nothing has to be compared
// row by row. Used by agents (their own picture) and servers (the catalog's rows) alike.
//
// Only content counts: indexes, push numbers and the has_* marks of JSON do not. Tags of a service
// with enable_tag_override do not count either, because there the catalog wins; serfHealth and
// the service "consul" never count, they belong to the servers.
//
// Pure functions. The hashes go over the wire: change them only with the RPC's version.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "registry.pb.h"

namespace fyr {

// 16 bytes each.
std::string hash_node(const pb::Node& node);
std::string hash_service(const pb::ServiceInstance& service);
std::string hash_check(const pb::HealthCheck& check);

inline constexpr std::string_view kSerfHealthCheck = "serfHealth";
inline constexpr std::string_view kConsulServiceId = "consul";

// Collects the hashes of a node's rows by kind and id, in any order.
class NodeDigest {
 public:
  void node(std::string hash) { rows_["n"] = std::move(hash); }
  void service(const std::string& id, std::string hash);
  void check(const std::string& id, std::string hash);
  std::string value() const;  // 16 bytes

 private:
  std::map<std::string, std::string> rows_;
};

}  // namespace fyr
