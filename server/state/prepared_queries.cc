// Prepared queries: found by id, by name, and templates by the prefix of a name.
#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

namespace {

bool is_template(const pb::PreparedQuery& query) {
  return !query.template_type().empty();
}

void index_query(Tables& tables, const pb::PreparedQuery& query) {
  if (!query.name().empty()) tables.query_names[to_lower(query.name())] = query.id();
  if (is_template(query)) tables.query_templates[to_lower(query.name())] = query.id();
  if (!query.session().empty()) tables.session_queries[query.session()].insert(query.id());
}

void unindex_query(Tables& tables, const pb::PreparedQuery& query) {
  if (!query.name().empty()) tables.query_names.erase(to_lower(query.name()));
  if (is_template(query)) tables.query_templates.erase(to_lower(query.name()));
  auto bound = tables.session_queries.find(query.session());
  if (bound == tables.session_queries.end()) return;
  bound->second.erase(query.id());
  if (bound->second.empty()) tables.session_queries.erase(bound);
}

// Queries are asked for by id or name: none may stand for another one.
Result<void> check_names(const Tables& tables, const pb::PreparedQuery& given) {
  const std::string name = to_lower(given.name());
  auto named = tables.query_names.find(name);
  if (!name.empty() && named != tables.query_names.end() && named->second != given.id())
    return fail(ErrorCode::Conflict, "name '" + given.name() + "' aliases an existing query name");
  auto prefix = tables.query_templates.find(name);
  if (is_template(given) && prefix != tables.query_templates.end() && prefix->second != given.id())
    return fail(ErrorCode::Conflict, "a query template with an empty name already exists");
  if (tables.queries.contains(name))
    return fail(ErrorCode::Conflict, "name '" + given.name() + "' aliases an existing query ID");
  if (!given.session().empty() && !tables.sessions.find(given.session()))
    return fail(ErrorCode::InvalidArgument, "invalid session \"" + given.session() + "\"");
  return {};
}

void delete_query(Change& change, const QueryRow& row) {
  Tables& tables = change.tables;
  const std::string id = row->id();
  change.write_row<pb::PreparedQuery>(Table::Queries, id, row.get(), nullptr);
  unindex_query(tables, *row);
  change.note(TopicKind::Query, id);
  change.keep(TopicKind::Query, id, change.index);
  change.touch(TopicKind::Queries, {}, tables.queries_index, true);
  tables.queries.erase(id);
}

}  // namespace

ApplyResult apply_prepared_query(Change& change, const pb::PreparedQueryWrite& request) {
  Tables& tables = change.tables;
  const pb::PreparedQuery& given = request.query();
  auto it = tables.queries.find(given.id());
  const QueryRow old = it == tables.queries.end() ? nullptr : it->second;
  const bool creates = request.verb() == pb::PreparedQueryWrite::CREATE;
  if (given.id().empty()) return refuse(ErrorCode::InvalidArgument, "Must provide query ID");
  if (creates && old) return refuse(ErrorCode::Conflict, "query '" + given.id() + "' exists");
  if (!creates && !old)
    return refuse(ErrorCode::NotFound,
                  "Cannot modify non-existent prepared query: '" + given.id() + "'");
  if (request.verb() == pb::PreparedQueryWrite::DELETE) {
    delete_query(change, old);
    return {};
  }
  if (auto good = check_names(tables, given); !good)
    return refuse(good.error().code, good.error().message);
  auto row = std::make_shared<pb::PreparedQuery>(given);
  row->set_create_index(old ? old->create_index() : change.index);
  row->set_modify_index(change.index);
  change.write_row(Table::Queries, row->id(), old.get(), row.get());
  if (old) unindex_query(tables, *old);
  index_query(tables, *row);
  change.note(TopicKind::Query, row->id());
  change.touch(TopicKind::Queries, {}, tables.queries_index);
  tables.queries[given.id()] = std::move(row);
  return {};
}

void end_queries_of_session(Change& change, std::string_view session) {
  Tables& tables = change.tables;
  for (auto bound = tables.session_queries.find(session); bound != tables.session_queries.end();
       bound = tables.session_queries.find(session)) {
    const QueryRow row = tables.queries.find(*bound->second.begin())->second;
    delete_query(change, row);
  }
}

Result<void> load_query(Tables& tables, std::string_view value) {
  auto row = std::make_shared<pb::PreparedQuery>();
  if (!row->ParseFromArray(value.data(), static_cast<int>(value.size())) || row->id().empty())
    return fail(ErrorCode::Corrupt, "state: a prepared query cannot be read");
  tables.queries_index = std::max<StateIndex>(tables.queries_index, row->modify_index());
  index_query(tables, *row);
  std::string id = row->id();
  tables.queries[std::move(id)] = std::move(row);
  return {};
}

// ---- reads ------------------------------------------------------------------------------------

QueryRow StateStore::query(std::string_view id) const {
  auto it = tables_->queries.find(id);
  return it == tables_->queries.end() ? nullptr : it->second;
}

Listing<QueryRow> StateStore::queries() const {
  Listing<QueryRow> out;
  out.index = tables_->queries_index;
  out.rows.reserve(tables_->queries.size());
  for (const auto& [id, row] : tables_->queries) out.rows.push_back(row);
  return out;
}

QueryRow StateStore::query_by_name(std::string_view name) const {
  auto it = tables_->query_names.find(to_lower(name));
  return it == tables_->query_names.end() ? nullptr : query(it->second);
}

QueryRow StateStore::query_template(std::string_view name) const {
  const std::string lower = to_lower(name);
  for (std::size_t size = lower.size() + 1; size-- > 0;) {
    auto it = tables_->query_templates.find(std::string_view(lower).substr(0, size));
    if (it != tables_->query_templates.end()) return query(it->second);
  }
  return nullptr;
}

}  // namespace fyr::server
