#include "proto/node_digest.h"

#include "base/bytes.h"

namespace fyr {

namespace {

template <class Message>
std::string hash_of(const Message& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return sha256(bytes).substr(0, 16);
}

template <class Message>
void clear_indexes(Message& row) {
  row.clear_create_index();
  row.clear_modify_index();
  row.clear_agent_sequence();
}

}  // namespace

std::string hash_node(const pb::Node& node) {
  pb::Node row = node;
  clear_indexes(row);
  row.clear_has_tagged_addresses();
  row.clear_has_meta();
  row.clear_datacenter();
  return hash_of(row);
}

std::string hash_service(const pb::ServiceInstance& service) {
  pb::ServiceInstance row = service;
  clear_indexes(row);
  row.clear_node();
  row.clear_has_tags();
  row.clear_has_meta();
  row.clear_has_tagged_addresses();
  if (row.enable_tag_override()) row.clear_tags();
  if (!row.has_weights()) {
    row.mutable_weights()->set_passing(1);
    row.mutable_weights()->set_warning(1);
  }
  return hash_of(row);
}

std::string hash_check(const pb::HealthCheck& check) {
  pb::HealthCheck row = check;
  clear_indexes(row);
  row.clear_node();
  row.clear_has_service_tags();
  // Filled in by the catalog from the service, whatever the agent sent.
  row.clear_service_name();
  row.clear_service_tags();
  return hash_of(row);
}

void NodeDigest::service(const std::string& id, std::string hash) {
  if (id != kConsulServiceId) rows_["s" + id] = std::move(hash);
}

void NodeDigest::check(const std::string& id, std::string hash) {
  if (id != kSerfHealthCheck) rows_["c" + id] = std::move(hash);
}

std::string NodeDigest::value() const {
  std::string bytes;
  for (const auto& [key, hash] : rows_) {
    append_be32(bytes, static_cast<std::uint32_t>(key.size()));
    bytes += key;
    bytes += hash;
  }
  return sha256(bytes).substr(0, 16);
}

}  // namespace fyr
