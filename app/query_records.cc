#include "app/query_records.h"

#include <boost/json/value.hpp>

#include "app/name_records.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/time.h"
#include "proto/registry_json.h"

namespace fyr::app {
namespace {

namespace json = boost::json;

void set_ttl(dns::ServiceRecords& out, const std::string& ttl) {
  if (ttl.empty()) return;
  if (const auto parsed = parse_duration(ttl))
    out.ttl = std::chrono::duration_cast<std::chrono::seconds>(*parsed);
}

// A check the query ignores must not hide what it found.
dns::Health shown_health(dns::Health health) {
  return health == dns::Health::Critical ? dns::Health::Passing : health;
}

Result<dns::ServiceRecord> parse_row(const json::value& value, const std::string& path) {
  pb::Node node;
  pb::ServiceInstance service;
  std::vector<pb::HealthCheck> checks;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Node", [&](const json::value& inner, const std::string& at) {
    std::map<std::string, std::string> meta;
    ObjectDecoder fields(inner, at, UnknownFields::Ignore);
    fields.field("Node", *node.mutable_name()).field("Address", *node.mutable_address());
    fields.field("Meta", meta);
    set_pairs(*node.mutable_meta(), meta);
    return fields.finish();
  });
  decoder.field("Service", [&](const json::value& inner, const std::string& at) -> Result<void> {
    auto decoded = decode_service(inner, at, UnknownFields::Ignore);
    if (!decoded) return decoded.error();
    service = std::move(*decoded);
    return {};
  });
  decoder.field("Checks", [&](const json::value& inner, const std::string& at) -> Result<void> {
    if (!inner.is_array()) return fail(ErrorCode::Corrupt, at + ": not a list");
    for (const auto& item : inner.get_array()) {
      ObjectDecoder fields(item, at, UnknownFields::Ignore);
      if (auto done = fields.field("Status", *checks.emplace_back().mutable_status()).finish();
          !done)
        return done;
    }
    return {};
  });
  if (auto done = decoder.finish(); !done) return done.error();
  return to_service_record(node, service, shown_health(worst_health(checks)));
}

}  // namespace

ServiceRecordsPtr to_records(const server::Execution& execution) {
  auto out = std::make_shared<dns::ServiceRecords>();
  out->service = to_lower(execution.query->service());
  out->ordered = execution.distances.known() || !execution.near.empty();
  set_ttl(*out, execution.query->dns_ttl());
  out->records.reserve(execution.rows.size());
  for (const auto& row : execution.rows)
    out->records.push_back(
        to_service_record(*row.node, *row.service, shown_health(worst_health(row.checks))));
  return out;
}

Result<ServiceRecordsPtr> parse_execution(std::string_view text) {
  auto value = parse_json(text);
  if (!value) return value.error();
  auto out = std::make_shared<dns::ServiceRecords>();
  std::string ttl;
  ObjectDecoder decoder(*value, "", UnknownFields::Ignore);
  decoder.field("Service", out->service);
  decoder.field("DNS", [&](const json::value& inner, const std::string& at) {
    return ObjectDecoder(inner, at, UnknownFields::Ignore).field("TTL", ttl).finish();
  });
  decoder.field("Nodes", [&](const json::value& inner, const std::string& at) -> Result<void> {
    if (!inner.is_array()) return fail(ErrorCode::Corrupt, at + ": not a list");
    for (const auto& item : inner.get_array()) {
      auto row = parse_row(item, at);
      if (!row) return row.error();
      out->records.push_back(std::move(*row));
    }
    return {};
  });
  if (auto done = decoder.finish(); !done) return done.error();
  out->service = to_lower(out->service);
  out->ordered = true;  // the server has drawn the order already
  set_ttl(*out, ttl);
  return ServiceRecordsPtr(std::move(out));
}

}  // namespace fyr::app
