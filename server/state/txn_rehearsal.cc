#include <set>

#include "base/check.h"
#include "server/state/txn.h"

namespace fyr::server {
namespace {

struct Named {
  std::set<std::string> nodes;  // keys of entries
  std::set<std::string> sessions;
  std::vector<KvRow> keys;
};

class Collector {
 public:
  explicit Collector(const Tables& from) : from_(from) {}

  void add(const pb::TxnOp& op) {
    switch (op.op_case()) {
      case pb::TxnOp::kKv:
        return add_kv(op.kv());
      case pb::TxnOp::kNode:
        add_node(op.node().node().name());
        return add_node_by_id(op.node().node().id());
      case pb::TxnOp::kService:
        return add_node(op.service().node());
      case pb::TxnOp::kCheck:
        return add_node(op.check().check().node());
      case pb::TxnOp::OP_NOT_SET:
        return;
    }
  }

  Named take() { return std::move(out_); }

 private:
  void add_kv(const pb::TxnKv& op) {
    if (op.verb() == pb::TxnKv::GET_TREE || op.verb() == pb::TxnKv::DELETE_TREE) {
      for (KvRow& row : rows_below(from_.kv, op.pair().key())) out_.keys.push_back(std::move(row));
      return;
    }
    if (KvRow row = from_.kv.find(op.pair().key())) out_.keys.push_back(std::move(row));
    if (op.verb() == pb::TxnKv::LOCK) out_.sessions.insert(op.pair().session());
  }

  // With what ends with it: its sessions and the keys they hold.
  void add_node(std::string_view name) {
    const NodeEntry* node = from_.find_node(name);
    if (!node || !out_.nodes.insert(node->key).second) return;
    for (const SessionRow& session : node->sessions) {
      auto held = from_.locks.find(session->id());
      if (held == from_.locks.end()) continue;
      for (const std::string& key : held->second) out_.keys.push_back(from_.kv.find(key));
    }
  }

  void add_node_by_id(const std::string& id) {
    auto it = from_.nodes_by_id.find(id);
    if (!id.empty() && it != from_.nodes_by_id.end()) add_node(it->second->key);
  }

  const Tables& from_;
  Named out_;
};

void load_nodes(const Tables& from, const std::set<std::string>& names, Tables& to) {
  std::vector<NodeRow> nodes;
  std::vector<ServiceRow> services;
  std::vector<CheckRow> checks;
  std::vector<SessionRow> sessions;
  for (const std::string& name : names) {
    const NodeEntry& node = *from.find_node(name);
    nodes.push_back(node.row);
    for (const auto& [id, instance] : node.services) services.push_back(instance.row);
    checks.insert(checks.end(), node.checks.begin(), node.checks.end());
    sessions.insert(sessions.end(), node.sessions.begin(), node.sessions.end());
  }
  // They fit together, or the live state would not hold them.
  CHECK(fyr::server::load_nodes(to, std::move(nodes)));
  CHECK(load_services(to, std::move(services)));
  CHECK(load_checks(to, std::move(checks)));
  CHECK(load_sessions(to, std::move(sessions)));
}

}  // namespace

void copy_for_rehearsal(const Tables& from, const pb::Txn& txn, Tables& to) {
  Collector collector(from);
  for (const pb::TxnOp& op : txn.ops()) collector.add(op);
  Named named = collector.take();
  load_nodes(from, named.nodes, to);
  for (const std::string& id : named.sessions)
    if (SessionRow session = from.sessions.find(id)) to.sessions.put(std::move(session));
  for (KvRow& row : named.keys) {
    if (!row->session().empty()) to.locks[row->session()].insert(row->key());
    to.kv.put(std::move(row));
  }
  for (const pb::TxnOp& op : txn.ops()) {
    if (!op.has_kv() || op.kv().verb() != pb::TxnKv::LOCK) continue;
    auto delay = from.lock_delays.find(op.kv().pair().key());
    if (delay == from.lock_delays.end()) continue;
    to.lock_delays.insert(*delay);
    to.lock_delay_ends.emplace(delay->second, delay->first);
  }
}

}  // namespace fyr::server
