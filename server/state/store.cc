#include "server/state/store.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/state/tables.h"

namespace fyr::server {

// Rows read from disk until all are there: they refer to each other.
struct Loading {
  std::vector<NodeRow> nodes;
  std::vector<ServiceRow> services;
  std::vector<CheckRow> checks;
  std::vector<SessionRow> sessions;
};

Tables::Tables() = default;
Tables::~Tables() = default;

StateStore::StateStore() : tables_(std::make_unique<Tables>()) {}
StateStore::~StateStore() = default;
StateStore::StateStore(StateStore&&) noexcept = default;
StateStore& StateStore::operator=(StateStore&&) noexcept = default;

namespace {

constexpr std::uint32_t kFormat = 0;

ApplyResult apply_body(Change& change, const pb::Command& command) {
  switch (command.body_case()) {
    case pb::Command::kRegister:
      return apply_register(change, command.register_());
    case pb::Command::kDeregister:
      return apply_deregister(change, command.deregister());
    case pb::Command::kKv:
      return apply_kv(change, command.kv());
    case pb::Command::kSessionCreate:
      return apply_session_create(change, command.session_create());
    case pb::Command::kSessionDestroy:
      return apply_session_destroy(change, command.session_destroy());
    case pb::Command::kNodeSync: {
      ApplyResult result;
      for (const pb::Register& item : command.node_sync().register_())
        result.items.push_back(apply_register(change, item));
      for (const pb::Deregister& item : command.node_sync().deregister())
        result.items.push_back(apply_deregister(change, item));
      return result;
    }
    case pb::Command::kAutopilotSet:
      return apply_autopilot_set(change, command.autopilot_set());
    case pb::Command::kTombstoneReap:
      return apply_reap(change, command.tombstone_reap());
    case pb::Command::kRestoreStage:
      return apply_restore_stage(change, command.restore_stage());
    case pb::Command::kBatch: {
      ApplyResult result;
      for (const pb::Command& item : command.batch().commands())
        result.items.push_back(apply_body(change, item));
      return result;
    }
    case pb::Command::kPreparedQuery:
      return apply_prepared_query(change, command.prepared_query());
    case pb::Command::kConfigEntrySet:
      return apply_config_entry_set(change, command.config_entry_set());
    case pb::Command::kConfigEntryDelete:
      return apply_config_entry_delete(change, command.config_entry_delete());
    case pb::Command::kCoordinateUpdate:
      return apply_coordinate_update(change, command.coordinate_update());
    case pb::Command::kTxn:
      return apply_txn(change, command.txn());
    case pb::Command::kRestoreCommit:  // stands alone, see change()
    case pb::Command::BODY_NOT_SET:
      break;
  }
  return refuse(ErrorCode::Unsupported, "unknown command");
}

void set_index(ApplyResult& result, StateIndex index) {
  result.index = index;
  for (ApplyResult& item : result.items) set_index(item, index);
}

}  // namespace

bool StateStore::understands(const pb::Command& command) {
  if (command.format() > kFormat) return false;
  switch (command.body_case()) {
    case pb::Command::kKv:
      return pb::KvWrite::Verb_IsValid(command.kv().verb());
    case pb::Command::kPreparedQuery:
      return pb::PreparedQueryWrite::Verb_IsValid(command.prepared_query().verb());
    case pb::Command::kTxn:
      return understands_txn(command.txn());
    case pb::Command::kBatch:
      return std::all_of(command.batch().commands().begin(), command.batch().commands().end(),
                         [](const pb::Command& item) { return understands(item); });
    default:
      return command.body_case() != pb::Command::BODY_NOT_SET;
  }
}

namespace {

void sort_topics(std::vector<Topic>& topics, std::size_t first) {
  const auto from = topics.begin() + static_cast<std::ptrdiff_t>(first);
  if (!std::is_sorted(from, topics.end())) std::sort(from, topics.end());
  topics.erase(std::unique(from, topics.end()), topics.end());
}

}  // namespace

ApplyResult StateStore::apply(StateIndex index, const pb::Command& command, ChangeList& changes) {
  ApplyResult result = change(index, command, changes);
  reduce_digest(changes.complete());
  return result;
}

std::uint64_t ChangeList::complete() {
  if (removed.empty()) return 0;
  std::uint64_t digest = 0;
  std::vector<RowChange> all;
  std::size_t taken = 0;
  const auto take_until = [&](std::size_t end) {
    for (; taken < end; ++taken) all.push_back(std::move(rows[taken]));
  };
  for (RemovedTree& tree : removed) {
    take_until(tree.before);
    all.reserve(all.size() + tree.rows.size());
    topics.reserve(topics.size() + tree.rows.size());
    for (KvRow& row : tree.rows) {
      digest += row_hash(Table::Kv, row->key(), row->SerializeAsString());
      all.push_back({Table::Kv, row->key(), nullptr});
      topics.push_back({TopicKind::KvKey, row->key()});
      row.reset();
    }
  }
  take_until(rows.size());
  rows = std::move(all);
  removed.clear();
  sort_topics(topics, 0);
  return digest;
}

void StateStore::reduce_digest(std::uint64_t removed) {
  tables_->digest -= removed;
}

ApplyResult StateStore::change(StateIndex index, const pb::Command& command, ChangeList& changes) {
  changes.index = index;
  const std::size_t first_topic = changes.topics.size();
  Change change(*tables_, index, command.stamp_ns(), changes);
  expire_lock_delays(change);
  ApplyResult result = command.has_restore_commit() ? restore(change, command.restore_commit())
                                                    : apply_body(change, command);
  set_index(result, index);
  tables_->applied = index;
  sort_topics(changes.topics, first_topic);
  return result;
}

// ---- loading ----------------------------------------------------------------------------------

namespace {

template <class T>
Result<void> parse_row(std::string_view value, std::vector<Row<T>>& rows) {
  auto row = std::make_shared<T>();
  if (!row->ParseFromArray(value.data(), static_cast<int>(value.size())))
    return fail(ErrorCode::Corrupt, "state: a row cannot be read");
  rows.push_back(std::move(row));
  return {};
}

Result<void> load_meta(Tables& tables, std::string_view key, std::string_view value) {
  if (key.empty() || value.size() != 8)
    return fail(ErrorCode::Corrupt, "state: a meta row cannot be read");
  const std::uint64_t number = read_be64(value);
  if (key[0] == 'd') {
    const auto end = static_cast<std::int64_t>(number);
    tables.lock_delays.emplace(key.substr(1), end);
    tables.lock_delay_ends.emplace(end, key.substr(1));
    return {};
  }
  if (key == meta_restored_key()) {
    tables.restored = number;
    return {};
  }
  if (key.size() < 2 || (key[0] != 't' && key[0] != 'f'))
    return fail(ErrorCode::Corrupt, "state: a meta row of an unknown kind");
  const auto kind = static_cast<TopicKind>(static_cast<unsigned char>(key[1]));
  if (key[0] == 'f') {
    tables.floors.emplace(kind, number);
    return {};
  }
  tables.kept.emplace(Topic{kind, std::string(key.substr(2))}, number);
  if (kind == TopicKind::KvPrefix) ++tables.tree_tombstones;
  return {};
}

// Where the topic's index lives while its subject does; null: in the kept index itself.
StateIndex* live_slot(Tables& tables, const Topic& topic) {
  const auto node = [&]() -> NodeEntry* {
    auto it = tables.nodes.find(topic.key);
    return it == tables.nodes.end() ? nullptr : &it->second;
  };
  const auto service = [&]() -> ServiceEntry* {
    auto it = tables.services.find(topic.key);
    return it == tables.services.end() ? nullptr : &it->second;
  };
  const auto member = [](auto* entry, auto field) -> StateIndex* {
    return entry ? &(entry->*field) : nullptr;
  };
  switch (topic.kind) {
    case TopicKind::Nodes:
      return &tables.nodes_index;
    case TopicKind::ServiceNames:
      return &tables.names_index;
    case TopicKind::Sessions:
      return &tables.sessions_index;
    case TopicKind::Instances:
      return &tables.instances_index;
    case TopicKind::Queries:
      return &tables.queries_index;
    case TopicKind::Coordinates:
      return &tables.coordinates_index;
    case TopicKind::ConfigEntries:
      return &tables.configs_index.try_emplace(topic.key, 1).first->second;
    case TopicKind::CheckState:
      return &tables.state_index.try_emplace(topic.key, 1).first->second;
    case TopicKind::Service:
      return member(service(), &ServiceEntry::index);
    case TopicKind::ServiceInstances:
      return member(service(), &ServiceEntry::instances_index);
    case TopicKind::ServiceChecks:
      return member(service(), &ServiceEntry::checks_index);
    case TopicKind::Node:
      return member(node(), &NodeEntry::index);
    case TopicKind::NodeServices:
      return member(node(), &NodeEntry::services_index);
    case TopicKind::NodeChecks:
      return member(node(), &NodeEntry::checks_index);
    case TopicKind::NodeSessions:
      return member(node(), &NodeEntry::sessions_index);
    default:
      return nullptr;
  }
}

}  // namespace

namespace {

// Nothing is older than a restore, also what it left empty.
void raise_indexes(Tables& tables) {
  const StateIndex least = tables.restored;
  if (least <= 1) return;
  const auto raise = [least](auto&... slots) { ((slots = std::max(slots, least)), ...); };
  raise(tables.nodes_index, tables.names_index, tables.sessions_index, tables.instances_index,
        tables.queries_index, tables.coordinates_index);
  for (auto& [kind, index] : tables.configs_index) raise(index);
  for (auto& [status, index] : tables.state_index) raise(index);
  for (auto& [name, node] : tables.nodes)
    raise(node.index, node.services_index, node.checks_index, node.sessions_index);
  for (auto& [name, service] : tables.services)
    raise(service.index, service.instances_index, service.checks_index);
}

}  // namespace

Result<void> StateStore::load_row(Table table, std::string_view key, std::string_view value) {
  Tables& tables = *tables_;
  if (!tables.loading) tables.loading = std::make_unique<Loading>();
  tables.digest += row_hash(table, key, value);
  switch (table) {
    case Table::Nodes:
      return parse_row(value, tables.loading->nodes);
    case Table::Services:
      return parse_row(value, tables.loading->services);
    case Table::Checks:
      return parse_row(value, tables.loading->checks);
    case Table::Sessions:
      return parse_row(value, tables.loading->sessions);
    case Table::Kv: {
      auto row = std::make_shared<pb::KvPair>();
      if (!row->ParseFromArray(value.data(), static_cast<int>(value.size())) || row->key() != key)
        return fail(ErrorCode::Corrupt, "state: a key-value row cannot be read");
      if (!row->session().empty()) tables.locks[row->session()].insert(row->key());
      tables.kv.put(std::move(row));
      return {};
    }
    case Table::Meta:
      return load_meta(tables, key, value);
    case Table::Operator:
      return load_operator(tables, key, value);
    case Table::Queries:
      return load_query(tables, value);
    case Table::ConfigEntries:
      return load_config_entry(tables, value);
    case Table::Coordinates:
      return load_coordinate(tables, value);
    case Table::Staged:
      tables.staged.insert_or_assign(std::string(key), std::make_shared<const std::string>(value));
      return {};
  }
  return fail(ErrorCode::Corrupt, "state: a row of an unknown table");
}

Result<void> StateStore::finish_load(StateIndex applied) {
  Tables& tables = *tables_;
  tables.applied = applied;
  if (const auto loading = std::move(tables.loading)) {
    if (auto r = load_nodes(tables, std::move(loading->nodes)); !r) return r.error();
    if (auto r = load_services(tables, std::move(loading->services)); !r) return r.error();
    if (auto r = load_checks(tables, std::move(loading->checks)); !r) return r.error();
    if (auto r = load_sessions(tables, std::move(loading->sessions)); !r) return r.error();
  }
  for (const auto& [topic, index] : tables.kept)
    if (StateIndex* slot = live_slot(tables, topic)) *slot = std::max(*slot, index);
  raise_indexes(tables);
  return {};
}

StateIndex StateStore::applied() const {
  return tables_->applied;
}
std::uint64_t StateStore::digest() const {
  return tables_->digest;
}

StateIndex StateStore::index_of(const Topic& topic) const {
  switch (topic.kind) {
    case TopicKind::KvKey:
      return tables_->kv_key_index(topic.key);
    case TopicKind::KvPrefix:
      return tables_->kv_prefix_index(topic.key);
    case TopicKind::Session:
      if (const SessionRow row = tables_->sessions.find(topic.key)) return row->modify_index();
      break;
    case TopicKind::Query:
      if (const QueryRow row = query(topic.key)) return row->modify_index();
      break;
    case TopicKind::ConfigEntry: {
      auto it = tables_->configs.find(topic.key);
      if (it != tables_->configs.end()) return it->second->modify_index();
      break;
    }
    case TopicKind::ConfigEntries: {
      auto it = tables_->configs_index.find(topic.key);
      return it == tables_->configs_index.end() ? tables_->restored : it->second;
    }
    case TopicKind::CheckState: {
      auto it = tables_->state_index.find(topic.key);
      return it == tables_->state_index.end() ? tables_->restored : it->second;
    }
    default:
      if (const StateIndex* slot = live_slot(*tables_, topic)) return *slot;
  }
  return tables_->missing_index({topic.kind, topic.key});
}

}  // namespace fyr::server
