// Sessions: who may hold locks, for how long after its checks failed, and what becomes of them.
#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

namespace {

constexpr std::size_t kExpiredPerChange = 64;

template <class Names>
bool contains(const Names& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [name](const std::string& other) {
    return compare_ignoring_case(other, name) == 0;
  });
}

template <class Names>
Result<void> check_names(const NodeEntry& node, const Names& names) {
  for (const std::string& name : names) {
    const CheckRow check = node.checks.find(name);
    if (!check)
      return fail(ErrorCode::InvalidArgument, "Missing check '" + name + "' registration");
    if (check->status() == "critical")
      return fail(ErrorCode::InvalidArgument,
                  "Check '" + name + "' is in " + check->status() + " state");
  }
  return {};
}

}  // namespace

ApplyResult apply_session_create(Change& change, const pb::SessionCreate& request) {
  Tables& tables = change.tables;
  const pb::Session& given = request.session();
  if (given.id().empty()) return refuse(ErrorCode::InvalidArgument, "Missing session ID");
  if (tables.sessions.find(given.id()))
    return refuse(ErrorCode::Conflict, "session \"" + given.id() + "\" exists already");
  const std::string behavior = given.behavior().empty() ? "release" : given.behavior();
  if (behavior != "release" && behavior != "delete")
    return refuse(ErrorCode::InvalidArgument, "Invalid session behavior: " + behavior);
  NodeEntry* node = tables.find_node(given.node());
  if (!node) return refuse(ErrorCode::InvalidArgument, "Missing node registration");
  for (const auto* names : {&given.node_checks(), &given.service_checks()})
    if (auto good = check_names(*node, *names); !good)
      return refuse(good.error().code, good.error().message);

  auto row = std::make_shared<pb::Session>(given);
  row->set_node(node->row->name());
  row->set_behavior(behavior);
  row->set_create_index(change.index);
  row->set_modify_index(change.index);
  change.write_row<pb::Session>(Table::Sessions, row->id(), nullptr, row.get());
  tables.sessions.put(row);
  node->sessions.put(row);
  change.note(TopicKind::Session, row->id());
  change.touch(TopicKind::Sessions, {}, tables.sessions_index);
  change.touch(TopicKind::NodeSessions, node->key, node->sessions_index);
  return {};
}

ApplyResult apply_session_destroy(Change& change, const pb::SessionDestroy& request) {
  if (request.id().size() != 36)
    return refuse(ErrorCode::InvalidArgument,
                  "failed session lookup: index error: UUID must be 36 characters");
  if (const SessionRow row = change.tables.sessions.find(request.id())) end_session(change, row);
  return {};
}

// Its locks go first, so that no reader finds a key held by a session that is not there.
void end_session(Change& change, SessionRow session) {
  Tables& tables = change.tables;
  auto held = tables.locks.find(session->id());
  if (held != tables.locks.end()) {
    const std::vector<std::string> keys(held->second.begin(), held->second.end());
    for (const std::string& key : keys) {
      const KvRow row = tables.kv.find(key);
      if (session->behavior() == "delete")
        delete_kv(change, row);
      else
        release_kv(change, row);
      if (session->lock_delay_ns() > 0)
        start_lock_delay(change, key, change.stamp_ns + session->lock_delay_ns());
    }
  }
  end_queries_of_session(change, session->id());
  change.write_row<pb::Session>(Table::Sessions, session->id(), session.get(), nullptr);
  tables.sessions.erase(session->id());
  change.note(TopicKind::Session, session->id());
  change.keep(TopicKind::Session, session->id(), change.index);
  change.touch(TopicKind::Sessions, {}, tables.sessions_index, true);
  if (NodeEntry* node = tables.find_node(session->node())) {
    node->sessions.erase(session->id());
    change.touch(TopicKind::NodeSessions, node->key, node->sessions_index, true);
  }
}

void end_sessions_of_check(Change& change, NodeEntry& node, std::string_view check_id) {
  std::vector<SessionRow> ended;
  for (const SessionRow& session : node.sessions)
    if (contains(session->node_checks(), check_id) || contains(session->service_checks(), check_id))
      ended.push_back(session);
  for (SessionRow& session : ended) end_session(change, std::move(session));
}

void start_lock_delay(Change& change, const std::string& key, std::int64_t end_ns) {
  Tables& tables = change.tables;
  auto [it, is_new] = tables.lock_delays.try_emplace(key, end_ns);
  std::optional<std::uint64_t> old;
  if (!is_new) {
    if (it->second >= end_ns) return;
    old = static_cast<std::uint64_t>(it->second);
    tables.lock_delay_ends.erase({it->second, key});
    it->second = end_ns;
  }
  change.write_meta(meta_delay_key(key), old, static_cast<std::uint64_t>(end_ns));
  tables.lock_delay_ends.emplace(end_ns, key);
}

// Forgets delays that are over, a few with each command; which ones depends on its stamp alone.
void expire_lock_delays(Change& change) {
  Tables& tables = change.tables;
  for (std::size_t n = 0; n < kExpiredPerChange && !tables.lock_delay_ends.empty(); ++n) {
    const auto first = tables.lock_delay_ends.begin();
    if (first->first > change.stamp_ns) return;
    change.write_meta(meta_delay_key(first->second), static_cast<std::uint64_t>(first->first),
                      std::nullopt);
    tables.lock_delays.erase(first->second);
    tables.lock_delay_ends.erase(first);
  }
}

Result<void> load_sessions(Tables& tables, std::vector<SessionRow> rows) {
  for (SessionRow& row : rows) {
    NodeEntry* node = tables.find_node(row->node());
    if (!node) return fail(ErrorCode::Corrupt, "state: session " + row->id() + " has no node");
    node->sessions_index = std::max<StateIndex>(node->sessions_index, row->modify_index());
    tables.sessions_index = std::max<StateIndex>(tables.sessions_index, row->modify_index());
    node->sessions.put(row);
    tables.sessions.put(std::move(row));
  }
  return {};
}

// ---- reads ------------------------------------------------------------------------------------

SessionRow StateStore::session(std::string_view id) const {
  return tables_->sessions.find(id);
}

Listing<SessionRow> StateStore::sessions() const {
  Listing<SessionRow> out;
  out.index = tables_->sessions_index;
  out.rows.assign(tables_->sessions.begin(), tables_->sessions.end());
  return out;
}

Listing<SessionRow> StateStore::node_sessions(std::string_view name) const {
  Listing<SessionRow> out;
  const NodeEntry* node = tables_->find_node(name);
  if (!node) {
    out.index = tables_->missing_index({TopicKind::NodeSessions, to_lower(name)});
    return out;
  }
  out.index = node->sessions_index;
  out.rows.assign(node->sessions.begin(), node->sessions.end());
  return out;
}

bool StateStore::lock_delayed(std::string_view key, std::int64_t stamp_ns) const {
  auto it = tables_->lock_delays.find(key);
  return it != tables_->lock_delays.end() && stamp_ns < it->second;
}

}  // namespace fyr::server
