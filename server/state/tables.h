// What the state holds, and the one way to change it. Private to server/state.
//
// A topic's index is derived from the rows that belong to it: it is the newest modify_index among
// them. Only where that is not enough (a row went away, or left the topic) the index is kept in a
// row of its own (table Meta), so that a reloaded state gives the same indexes as a running one.
// Kept indexes of things that are gone are tombstones; TombstoneReap folds old ones into a floor
// for each kind.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/state/store.h"

namespace fyr::server {

int compare_ignoring_case(std::string_view a, std::string_view b);  // ASCII

struct LessIgnoringCase {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    return compare_ignoring_case(a, b) < 0;
  }
};

inline const std::string& key_of(const pb::HealthCheck& row) {
  return row.check_id();
}
inline const std::string& key_of(const pb::KvPair& row) {
  return row.key();
}
inline const std::string& key_of(const pb::Session& row) {
  return row.id();
}

// Rows in order of their key; the key lives in the row only.
template <class T, class Less>
class RowSet {
 public:
  struct RowLess {
    using is_transparent = void;
    bool operator()(const Row<T>& a, const Row<T>& b) const {
      return Less{}(key_of(*a), key_of(*b));
    }
    bool operator()(const Row<T>& a, std::string_view b) const { return Less{}(key_of(*a), b); }
    bool operator()(std::string_view a, const Row<T>& b) const { return Less{}(a, key_of(*b)); }
  };
  using Set = std::set<Row<T>, RowLess>;

  Row<T> find(std::string_view key) const {
    auto it = set_.find(key);
    return it == set_.end() ? nullptr : *it;
  }
  void put(Row<T> row) {
    auto it = set_.lower_bound(std::string_view(key_of(*row)));
    if (it != set_.end() && !RowLess{}(row, *it)) it = set_.erase(it);
    set_.emplace_hint(it, std::move(row));
  }
  bool erase(std::string_view key) {
    auto it = set_.find(key);
    if (it == set_.end()) return false;
    set_.erase(it);
    return true;
  }
  // Takes the rows from `from` to `to` out and appends them to `out`.
  void take(typename Set::const_iterator from, typename Set::const_iterator to,
            std::vector<Row<T>>& out) {
    while (from != to) {
      const auto next = std::next(from);
      out.push_back(std::move(set_.extract(from).value()));
      from = next;
    }
  }
  const Set& rows() const { return set_; }
  auto begin() const { return set_.begin(); }
  auto end() const { return set_.end(); }
  auto lower_bound(std::string_view key) const { return set_.lower_bound(key); }
  std::size_t size() const { return set_.size(); }
  bool empty() const { return set_.empty(); }

 private:
  Set set_;
};

using CheckSet = RowSet<pb::HealthCheck, LessIgnoringCase>;
using KvSet = RowSet<pb::KvPair, std::less<>>;
using SessionSet = RowSet<pb::Session, std::less<>>;

struct NodeEntry;
struct ServiceEntry;

// One instance of a service on one node.
struct Instance {
  NodeEntry* node = nullptr;
  ServiceEntry* service = nullptr;
  ServiceRow row;
  CheckSet checks;  // its own
};

struct NodeEntry {
  std::string key;  // lower case
  NodeRow row;
  std::map<std::string, Instance, LessIgnoringCase> services;  // by id
  CheckSet checks;                                             // all on the node
  CheckSet node_checks;                                        // those without a service
  SessionSet sessions;
  StateIndex index = 1, services_index = 1, checks_index = 1, sessions_index = 1;
};

struct InstanceLess {
  bool operator()(const Instance* a, const Instance* b) const {
    if (a->node != b->node) return a->node->key < b->node->key;
    return compare_ignoring_case(a->row->id(), b->row->id()) < 0;
  }
};

struct ServiceEntry {
  std::string key;  // lower case
  std::set<Instance*, InstanceLess> instances;
  std::map<std::string, int, std::less<>> tags;  // and how many instances carry them
  StateIndex index = 1, instances_index = 1, checks_index = 1;
};

struct TopicRef {
  TopicKind kind;
  std::string_view key;
};
struct TopicLess {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    if (a.kind != b.kind) return a.kind < b.kind;
    return std::string_view(a.key) < std::string_view(b.key);
  }
};

using KeptIndexes = std::map<Topic, StateIndex, TopicLess>;

struct Loading;

struct Tables {
  std::map<std::string, NodeEntry, std::less<>> nodes;  // by name in lower case
  std::map<std::string, NodeEntry*, LessIgnoringCase> nodes_by_id;
  std::multimap<std::string, NodeEntry*, std::less<>> nodes_by_address;
  std::map<std::string, ServiceEntry, std::less<>> services;  // by name in lower case
  std::multimap<std::string, Instance*, std::less<>> services_by_address;
  KvSet kv;
  SessionSet sessions;
  std::map<std::string, std::set<std::string>, std::less<>> locks;  // keys held by session id

  StateIndex nodes_index = 1, names_index = 1, sessions_index = 1, instances_index = 1;
  std::map<std::string, StateIndex, std::less<>> state_index;  // by check status, and "any"
  KeptIndexes kept;
  std::map<TopicKind, StateIndex> floors;
  std::size_t tree_tombstones = 0;
  std::map<std::string, std::int64_t, std::less<>> lock_delays;    // key -> stamp it ends at
  std::set<std::pair<std::int64_t, std::string>> lock_delay_ends;  // the same, by time

  std::map<std::string, QueryRow, std::less<>> queries;             // by id
  std::map<std::string, std::string, std::less<>> query_names;      // in lower case -> id
  std::map<std::string, std::string, std::less<>> query_templates;  // prefix in lower case -> id
  std::map<std::string, std::set<std::string>, std::less<>> session_queries;  // ids by session
  StateIndex queries_index = 1;
  std::map<std::string, ConfigRow, std::less<>> configs;          // by config_key
  std::map<std::string, StateIndex, std::less<>> configs_index;   // by kind, and "": all
  std::map<std::string, CoordinateRow, std::less<>> coordinates;  // by item_row_key
  StateIndex coordinates_index = 1;

  AutopilotRow autopilot;   // null: never set
  StateIndex restored = 1;  // the state was replaced there: no index is lower
  // Parts of a state to be, by row key.
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> staged;

  std::size_t service_count = 0, check_count = 0;
  StateIndex applied = 0;
  std::uint64_t digest = 0;
  std::unique_ptr<Loading> loading;

  Tables();
  ~Tables();

  NodeEntry* find_node(std::string_view name);
  const NodeEntry* find_node(std::string_view name) const;
  const ServiceEntry* find_service(std::string_view name) const;
  // Index of a topic whose subject is not there.
  StateIndex missing_index(TopicRef topic) const;
  StateIndex kv_key_index(std::string_view key) const;
  StateIndex kv_prefix_index(std::string_view prefix) const;
  bool is_live(const Topic& topic) const;
};

// One command being applied: writes rows and touches topics.
class Change {
 public:
  Change(Tables& all, StateIndex at, std::int64_t stamp, ChangeList& out)
      : tables(all), index(at), stamp_ns(stamp), out_(out) {}

  void write_staged(const std::string& key, std::shared_ptr<const std::string> now);
  // Row to disk and digest. `old` and `now` are the row before and after; null: absent.
  template <class T>
  void write_row(Table table, std::string key, const T* old, const T* now);

  // The topic's data changed. With `gone` no row is left that carries this index for it.
  void touch(TopicKind kind, std::string_view key, StateIndex& slot, bool gone = false);
  void touch_key(std::string_view key) { note(TopicKind::KvKey, key); }
  // Rows of keys that are no longer there; what follows from them is left to the change list.
  void removed(std::vector<KvRow> rows) {
    out_.removed.push_back({out_.rows.size(), std::move(rows)});
  }
  void note(TopicKind kind, std::string_view key);
  void touch_names();
  void touch_state(std::string_view status, bool gone);  // a status, or "any"
  void keep(TopicKind kind, std::string_view key, StateIndex value);
  KeptIndexes::iterator forget(KeptIndexes::iterator it);
  void write_meta(std::string key, std::optional<std::uint64_t> old,
                  std::optional<std::uint64_t> now);

  Tables& tables;
  const StateIndex index;
  const std::int64_t stamp_ns;

  ChangeList& list() { return out_; }

 private:
  void write_bytes(Table table, std::string key, std::string_view old, bool had_old,
                   std::shared_ptr<const std::string> now);
  ChangeList& out_;
};

template <class T>
void Change::write_row(Table table, std::string key, const T* old, const T* now) {
  std::shared_ptr<const std::string> value;
  if (now) value = std::make_shared<const std::string>(now->SerializeAsString());
  write_bytes(table, std::move(key), old ? old->SerializeAsString() : std::string(), old != nullptr,
              std::move(value));
}

// Keys of rows in the state database.
std::string node_row_key(std::string_view node);
std::string item_row_key(std::string_view node, std::string_view id);  // services and checks
std::string config_key(std::string_view kind, std::string_view name);
std::string meta_topic_key(TopicKind kind, std::string_view key);
std::string meta_floor_key(TopicKind kind);
std::string meta_delay_key(std::string_view key);
std::string meta_restored_key();
std::string staged_row_key(std::string_view id, std::uint32_t part);
std::string encode_index(std::uint64_t value);
std::uint64_t row_hash(Table table, std::string_view key, std::string_view value);

// The verbs. Each is all or nothing: it refuses before it changes anything.
ApplyResult apply_register(Change& change, const pb::Register& request);
ApplyResult apply_deregister(Change& change, const pb::Deregister& request);
ApplyResult apply_kv(Change& change, const pb::KvWrite& request);
ApplyResult apply_session_create(Change& change, const pb::SessionCreate& request);
ApplyResult apply_session_destroy(Change& change, const pb::SessionDestroy& request);
ApplyResult apply_autopilot_set(Change& change, const pb::AutopilotSet& request);
ApplyResult apply_restore_stage(Change& change, const pb::RestoreStage& request);
ApplyResult apply_prepared_query(Change& change, const pb::PreparedQueryWrite& request);
ApplyResult apply_config_entry_set(Change& change, const pb::ConfigEntrySet& request);
ApplyResult apply_config_entry_delete(Change& change, const pb::ConfigEntryDelete& request);
ApplyResult apply_coordinate_update(Change& change, const pb::CoordinateUpdate& request);
ApplyResult apply_txn(Change& change, const pb::Txn& request);
bool understands_txn(const pb::Txn& request);
ApplyResult apply_reap(Change& change, const pb::TombstoneReap& request);

// Between the files of the state.
std::string known_check_id(const pb::HealthCheck& given);
std::vector<KvRow> rows_below(const KvSet& kv, std::string_view prefix);
void put_check(Change& change, NodeEntry& node, const pb::HealthCheck& given,
               std::uint64_t agent_sequence);
void remove_check(Change& change, NodeEntry& node, const CheckRow& row);
void touch_services_of(Change& change, NodeEntry& node, bool gone);
void end_sessions_of_check(Change& change, NodeEntry& node, std::string_view check_id);
void end_session(Change& change, SessionRow session);
void end_queries_of_session(Change& change, std::string_view session);
void remove_coordinates(Change& change, std::string_view node);
void delete_kv(Change& change, const KvRow& old);
void release_kv(Change& change, const KvRow& old);
void start_lock_delay(Change& change, const std::string& key, std::int64_t end_ns);
void expire_lock_delays(Change& change);

// Rebuilding from rows.
Result<void> load_nodes(Tables& tables, std::vector<NodeRow> rows);
Result<void> load_services(Tables& tables, std::vector<ServiceRow> rows);
Result<void> load_checks(Tables& tables, std::vector<CheckRow> rows);
Result<void> load_sessions(Tables& tables, std::vector<SessionRow> rows);
Result<void> load_query(Tables& tables, std::string_view value);
Result<void> load_config_entry(Tables& tables, std::string_view value);
Result<void> load_coordinate(Tables& tables, std::string_view value);
Result<void> load_operator(Tables& tables, std::string_view key, std::string_view value);

enum class Difference { None, Sequence, Content };

// Gives `now` the indexes it must have over `old` (null: new) and tells what differs. A push
// number that is all that differs is stored, but is no change anybody waits for.
template <class T>
Difference settle(const T* old, T& now, StateIndex index, std::uint64_t agent_sequence) {
  if (!old) {
    now.set_create_index(index);
    now.set_modify_index(index);
    now.set_agent_sequence(agent_sequence);
    return Difference::Content;
  }
  now.set_create_index(old->create_index());
  now.set_modify_index(old->modify_index());
  now.set_agent_sequence(old->agent_sequence());
  const bool same = now.SerializeAsString() == old->SerializeAsString();
  if (agent_sequence != 0) now.set_agent_sequence(agent_sequence);
  if (same)
    return now.agent_sequence() == old->agent_sequence() ? Difference::None : Difference::Sequence;
  now.set_modify_index(index);
  return Difference::Content;
}

// A push that was overtaken by a newer one of the same item.
template <class T>
bool is_overtaken(const T& old, std::uint64_t agent_sequence) {
  return agent_sequence != 0 && agent_sequence < old.agent_sequence();
}

inline ApplyResult refuse(ErrorCode code, std::string message) {
  ApplyResult result;
  result.done = false;
  result.error = fail(code, std::move(message));
  return result;
}

}  // namespace fyr::server
