#include "server/query/execute.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/id.h"
#include "base/time.h"
#include "server/query/connect.h"
#include "server/query/template.h"

namespace fyr::server {
namespace {

using Pairs = google::protobuf::RepeatedPtrField<pb::Pair>;

bool has_all(const Pairs& wanted, const Pairs& given) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const pb::Pair& want) {
    return std::any_of(given.begin(), given.end(), [&](const pb::Pair& have) {
      return have.key() == want.key() && have.value() == want.value();
    });
  });
}

// "!tag" must not be there, any other one must.
bool has_tags(const pb::PreparedQuery& query, const pb::ServiceInstance& service) {
  const auto carries = [&](std::string_view tag) {
    return std::any_of(service.tags().begin(), service.tags().end(),
                       [&](const std::string& have) { return equals_ignoring_case(have, tag); });
  };
  return std::all_of(query.tags().begin(), query.tags().end(), [&](const std::string& tag) {
    if (tag.starts_with("!")) return !carries(std::string_view(tag).substr(1));
    return tag.empty() || carries(tag);
  });
}

bool is_healthy(const pb::PreparedQuery& query, const std::vector<CheckRow>& checks) {
  const auto ignored = [&](const std::string& id) {
    return std::find(query.ignore_check_ids().begin(), query.ignore_check_ids().end(), id) !=
           query.ignore_check_ids().end();
  };
  return std::all_of(checks.begin(), checks.end(), [&](const CheckRow& check) {
    if (check->status() == "passing" || ignored(check->check_id())) return true;
    return check->status() == "warning" && !query.only_passing();
  });
}

std::vector<ServiceHealth> candidates(const StateStore& store, const pb::PreparedQuery& query) {
  if (!query.connect()) return store.service_health(query.service()).rows;
  std::vector<ServiceHealth> rows;
  for (const auto& listed : store.services().rows)
    for (auto& row : store.service_health(listed.name).rows)
      if (speaks_connect_for(*row.service, query.service())) rows.push_back(std::move(row));
  return rows;
}

}  // namespace

Result<QueryRow> resolve_query(const StateStore& store, std::string_view id_or_name) {
  if (is_uuid(id_or_name)) {
    if (QueryRow row = store.query(to_lower(id_or_name))) {
      if (is_template(*row))
        return fail(ErrorCode::InvalidArgument,
                    "prepared query templates can only be resolved up by name, not by ID");
      return row;
    }
  }
  QueryRow row = store.query_by_name(id_or_name);
  if (row && !is_template(*row)) return row;
  if (!row) row = store.query_template(id_or_name);
  if (!row) return fail(ErrorCode::NotFound, "Query not found");
  auto rendered = render_template(*row, id_or_name);
  if (!rendered) return rendered.error();
  return std::make_shared<const pb::PreparedQuery>(std::move(*rendered));
}

Result<void> check_query(const pb::PreparedQuery& query) {
  const auto bad = [](const std::string& why) {
    return fail(ErrorCode::InvalidArgument, "Invalid prepared query: " + why);
  };
  if (query.name().empty() && !is_template(query) && query.session().empty())
    return bad("Must be bound to a session");
  if (query.service().empty()) return bad("Must provide a Service name to query");
  if (query.failover_nearest_n() < 0)
    return bad("Bad NearestN '" + std::to_string(query.failover_nearest_n()) + "', must be >= 0");
  if (!query.dns_ttl().empty()) {
    const auto ttl = parse_duration(query.dns_ttl());
    if (!ttl) return bad("Bad DNS TTL '" + query.dns_ttl() + "': " + ttl.error().message);
    if (*ttl < Duration::zero()) return bad("DNS TTL '" + query.dns_ttl() + "', must be >=0");
  }
  return check_template(query);
}

Execution execute_query(const StateStore& store, QueryRow query, std::string_view near,
                        std::string_view agent) {
  std::string_view from = near.empty() ? std::string_view(query->near()) : near;
  if (from == "_agent") from = agent;
  Execution out{query, {}, Distances(store, from), std::string(from)};
  for (ServiceHealth& row : candidates(store, *query)) {
    if (!is_healthy(*query, row.checks) || !has_tags(*query, *row.service)) continue;
    if (!has_all(query->node_meta(), row.node->meta())) continue;
    if (!has_all(query->service_meta(), row.service->meta())) continue;
    out.rows.push_back(std::move(row));
  }
  return out;
}

void order_rows(Execution& execution, Random& random, std::size_t limit) {
  auto& rows = execution.rows;
  random.shuffle(std::span(rows));
  execution.distances.sort(rows, [](const ServiceHealth& row) { return row.node->name(); });
  if (!execution.near.empty()) {
    // The node itself comes first, whatever its coordinate says.
    const auto own = std::find_if(rows.begin(), rows.end(), [&](const ServiceHealth& row) {
      return equals_ignoring_case(row.node->name(), execution.near);
    });
    if (own != rows.end()) std::rotate(rows.begin(), own, own + 1);
  }
  if (limit > 0 && rows.size() > limit) rows.resize(limit);
}

}  // namespace fyr::server
