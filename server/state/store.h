// The registry in memory: tables, indexes and the one function that changes them.
//
// apply() is deterministic: it uses the command, its index and the state, nothing else, and
// returns what it changed. Three readers consume exactly that change list: the disk (server/fsm),
// the watchers (server/watch) and the digest. Rows are immutable and shared: a reader may keep a
// Row for as long as it likes.
//
// Indexes: every listing returns the index a blocking query on it waits for. It moves only when
// that listing's own data changed, never goes back (also over deletes), and is at least 1.
//
// Threading: none inside. The server holds the store in a SharedGuarded; apply is the only writer.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "command.pb.h"
#include "registry.pb.h"

namespace fyr::server {

using StateIndex = std::uint64_t;

template <class T>
using Row = std::shared_ptr<const T>;

using NodeRow = Row<pb::Node>;
using ServiceRow = Row<pb::ServiceInstance>;
using CheckRow = Row<pb::HealthCheck>;
using KvRow = Row<pb::KvPair>;
using SessionRow = Row<pb::Session>;
using AutopilotRow = Row<pb::AutopilotConfig>;
using QueryRow = Row<pb::PreparedQuery>;
using ConfigRow = Row<pb::ConfigEntry>;
using CoordinateRow = Row<pb::Coordinate>;

// What a blocking query or a stream waits on.
enum class TopicKind {
  Nodes,             // the list of nodes
  ServiceNames,      // names and tags of all services
  Service,           // key = service name: its instances, their nodes and all checks that count
  ServiceChecks,     // key = service name: checks of its instances only
  Node,              // key = node name: the node, its services and checks
  CheckState,        // key = passing|warning|critical|any
  KvKey,             // key = full key
  KvPrefix,          // key = prefix
  Session,           // key = session id
  Sessions,          // all sessions
  NodeSessions,      // key = node name
  ServiceInstances,  // key = service name: its instances and their nodes, without checks
  NodeServices,      // key = node name: the node and its services, without checks
  NodeChecks,        // key = node name: all checks on the node
  Instances,         // every node and instance: for lists filtered by more than ServiceNames holds
  Query,             // key = id of a prepared query
  Queries,           // all prepared queries
  ConfigEntry,       // key = kind/name
  ConfigEntries,     // key = kind; "": all kinds
  Coordinates,       // of all nodes
};

struct Topic {
  TopicKind kind;
  std::string key;  // names of nodes and services in lower case
  auto operator<=>(const Topic&) const = default;
};

enum class Table : std::uint8_t {
  Nodes = 1,
  Services = 2,
  Checks = 3,
  Kv = 4,
  Sessions = 5,
  Meta = 6,
  Operator = 7,
  Staged = 8,  // parts of a state that is being restored
  Queries = 9,
  ConfigEntries = 10,
  Coordinates = 11
};

// One row set or deleted. `key` and `value` are the row's bytes in the state database.
struct RowChange {
  Table table;
  std::string key;
  std::shared_ptr<const std::string> value;  // null: deleted
};

// Rows of a tree of keys that was taken out in one step and stands before `rows[before]`.
struct RemovedTree {
  std::size_t before;
  std::vector<KvRow> rows;
};

struct ChangeList {
  StateIndex index = 0;
  std::vector<RowChange> rows;
  std::vector<Topic> topics;         // touched, without repeats
  std::vector<RemovedTree> removed;  // until complete(): not yet in rows and topics
  bool everything = false;           // the state was replaced: all topics, without naming them
  void clear() {
    everything = false;
    rows.clear();
    topics.clear();
    removed.clear();
  }

  // Turns `removed` into rows and topics, in their place, and returns what the state's digest loses
  // by them. Apart from change(), because a large tree takes long and no reader need wait for it.
  std::uint64_t complete();
};

// A row a transaction shows; one of them is set.
struct TxnRow {
  KvRow kv;
  NodeRow node;
  ServiceRow service;
  CheckRow check;
  bool with_value = false;  // of kv
};
struct TxnError {
  std::uint32_t op = 0;
  std::string what;
};
struct TxnOutcome {
  std::vector<TxnRow> rows;      // in the order of the operations
  std::vector<TxnError> errors;  // if any, nothing was changed
};

// What the client of a command is told.
struct ApplyResult {
  StateIndex index = 0;
  bool done = true;                       // false: a CAS or lock was lost (no error)
  std::optional<Error> error;             // refused, nothing changed; deterministic
  std::vector<ApplyResult> items;         // of NodeSync and Batch, in order
  std::shared_ptr<const TxnOutcome> txn;  // of Txn
};

template <class T>
struct Listing {
  StateIndex index = 1;
  std::vector<T> rows;
};

struct ServiceNode {
  NodeRow node;
  ServiceRow service;
};
struct ServiceHealth {  // one instance with all checks that decide about it
  NodeRow node;
  ServiceRow service;
  std::vector<CheckRow> checks;  // node checks first, then its own; by check id
};
struct ServiceName {
  std::string name;
  std::vector<std::string> tags;  // union over instances, sorted
};
struct NodeServices {
  NodeRow node;                      // null: no such node
  std::vector<ServiceRow> services;  // by id
};

struct Tables;
class Change;

// One row of the state as it is stored; for saving it.
struct StoredRow {
  Table table{};
  std::string key;
  std::shared_ptr<const google::protobuf::MessageLite> message;  // null: `bytes` is the value
  std::string bytes;

  std::string value() const { return message ? message->SerializeAsString() : bytes; }
};

class StateStore {
 public:
  StateStore();
  ~StateStore();
  StateStore(StateStore&&) noexcept;
  StateStore& operator=(StateStore&&) noexcept;

  // False for a command this version does not know completely: a server must stop before it,
  // never skip it.
  static bool understands(const pb::Command& command);

  // Appends to `changes` what the command changed and sets its index. Without effect (unchanged
  // rows, refusals) nothing is appended.
  ApplyResult apply(StateIndex index, const pb::Command& command, ChangeList& changes);

  // The same in two steps, for who keeps readers out: everything readers can see is done by
  // change(); then ChangeList::complete(), and its result goes to reduce_digest().
  ApplyResult change(StateIndex index, const pb::Command& command, ChangeList& changes);
  void reduce_digest(std::uint64_t removed);

  // Rebuilding from disk: rows in any order, then finish_load. Corrupt rows are refused.
  Result<void> load_row(Table table, std::string_view key, std::string_view value);
  Result<void> finish_load(StateIndex applied);

  // Every row, staged ones too. Quick for what it is: values are shared, keys are copied.
  std::vector<StoredRow> all_rows() const;

  StateIndex applied() const;
  StateIndex index_of(const Topic& topic) const;
  std::uint64_t digest() const;  // of all rows; equal states have equal digests

  // Catalog. Names match without regard to case; rows come by name (services: node, then id).
  Listing<NodeRow> nodes() const;
  NodeRow node(std::string_view name) const;  // null: none
  NodeRow node_by_id(std::string_view id) const;
  Listing<ServiceName> services() const;
  Listing<ServiceNode> service_nodes(std::string_view service) const;
  NodeServices node_services(std::string_view node) const;  // index: {TopicKind::NodeServices}
  Listing<ServiceNode> services_by_address(std::string_view address) const;
  Listing<NodeRow> nodes_by_address(std::string_view address) const;

  // Health.
  Listing<ServiceHealth> service_health(std::string_view service) const;
  Listing<CheckRow> node_checks(std::string_view node) const;
  Listing<CheckRow> service_checks(std::string_view service) const;
  Listing<CheckRow> checks_in_state(std::string_view state) const;  // "any": all

  // KV. Keys by bytes.
  KvRow kv(std::string_view key) const;
  Listing<KvRow> kv_list(std::string_view prefix) const;
  Listing<std::string> kv_keys(std::string_view prefix, std::string_view separator) const;

  // Sessions.
  SessionRow session(std::string_view id) const;
  Listing<SessionRow> sessions() const;
  Listing<SessionRow> node_sessions(std::string_view node) const;
  bool lock_delayed(std::string_view key, std::int64_t stamp_ns) const;

  // Prepared queries, by id. Names and prefixes match without regard to case.
  QueryRow query(std::string_view id) const;
  Listing<QueryRow> queries() const;
  QueryRow query_by_name(std::string_view name) const;
  // The template with the longest prefix of `name`.
  QueryRow query_template(std::string_view name) const;

  // Configuration entries, by kind and name.
  ConfigRow config_entry(std::string_view kind, std::string_view name) const;
  Listing<ConfigRow> config_entries(std::string_view kind) const;  // "": all

  // By node and segment.
  Listing<CoordinateRow> coordinates() const;
  std::vector<CoordinateRow> node_coordinates(std::string_view node) const;

  // A transaction that only reads and checks; others are refused operation by operation.
  TxnOutcome read_txn(const pb::Txn& txn) const;

  // Never null: Consul's defaults until somebody sets them.
  AutopilotRow autopilot() const;

  std::size_t node_count() const;
  std::size_t service_count() const;  // instances
  std::size_t check_count() const;
  std::size_t kv_count() const;
  // Indexes kept for things that are gone; TombstoneReap lowers it.
  std::size_t tombstone_count() const;
  // The index up to which reaping leaves at most `keep` tombstones; 0: nothing to do.
  StateIndex reap_index(std::size_t keep) const;

 private:
  ApplyResult restore(Change& change, const pb::RestoreCommit& request);
  std::unique_ptr<Tables> tables_;
};

}  // namespace fyr::server
