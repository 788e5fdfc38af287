// Transactions: operations in order, each seeing what those before it did, all or none.
//
// They are rehearsed first, on a copy of the rows they can see; only if none fails there are they
// run on the state. So there is nothing to undo, and every failing operation is reported.
#include "server/state/txn.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::server {
namespace {

using Kv = pb::TxnKv;

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

class Runner {
 public:
  // Without `change` only reads and checks can run.
  Runner(const Tables& tables, Change* change) : tables_(tables), change_(change) {}

  TxnOutcome run(const pb::Txn& txn) {
    for (const pb::TxnOp& op : txn.ops()) {
      if (auto failed = run(op)) out_.errors.push_back({at_, std::move(*failed)});
      ++at_;
    }
    if (!out_.errors.empty()) out_.rows.clear();
    return std::move(out_);
  }

 private:
  using Failure = std::optional<std::string>;  // the error's text

  Failure run(const pb::TxnOp& op) {
    switch (op.op_case()) {
      case pb::TxnOp::kKv:
        return run_kv(op.kv());
      case pb::TxnOp::kNode:
        return run_node(op.node());
      case pb::TxnOp::kService:
        return run_service(op.service());
      case pb::TxnOp::kCheck:
        return run_check(op.check());
      case pb::TxnOp::OP_NOT_SET:
        break;
    }
    return "unknown operation";
  }

  // ---- keys ----

  Failure run_kv(const Kv& op) {
    const std::string& key = op.pair().key();
    const KvRow row = tables_.kv.find(key);
    switch (op.verb()) {
      case Kv::GET:
        if (!row) return "key " + quoted(key) + " doesn't exist";
        show(row, true);
        return {};
      case Kv::GET_TREE:
        for (const KvRow& found : rows_below(tables_.kv, key)) show(found, true);
        return {};
      case Kv::CHECK_NOT_EXISTS:
        if (row) return "key " + quoted(key) + " exists";
        return {};
      case Kv::CHECK_INDEX:
        if (!row) return "failed to check index, key " + quoted(key) + " doesn't exist";
        if (row->modify_index() != op.pair().modify_index())
          return "failed index check for key " + quoted(key) + ", current modify index " +
                 std::to_string(row->modify_index()) +
                 " != " + std::to_string(op.pair().modify_index());
        show(row, false);
        return {};
      case Kv::CHECK_SESSION:
        if (!row) return "failed to check session, key " + quoted(key) + " doesn't exist";
        if (row->session() != op.pair().session())
          return "failed session check for key " + quoted(key) + ", current session " +
                 quoted(row->session()) + " != " + quoted(op.pair().session());
        show(row, false);
        return {};
      default:
        return write_kv(op);
    }
  }

  Failure write_kv(const Kv& op) {
    pb::KvWrite write;
    write.set_verb(static_cast<pb::KvWrite::Verb>(op.verb()));  // the same numbers
    *write.mutable_pair() = op.pair();
    const std::string& key = op.pair().key();
    if (auto failed = apply(apply_kv, write)) return failed;
    if (!done_) {
      if (op.verb() == Kv::LOCK) return "failed to lock key " + quoted(key) + lock_reason(key);
      if (op.verb() == Kv::UNLOCK)
        return "failed to unlock key " + quoted(key) +
               ", lock isn't held, or is held by another session";
      const char* verb = op.verb() == Kv::CAS ? "set" : "delete";
      return std::string("failed to ") + verb + " key " + quoted(key) + ", index is stale";
    }
    const bool removes =
        op.verb() == Kv::DELETE || op.verb() == Kv::DELETE_CAS || op.verb() == Kv::DELETE_TREE;
    if (!removes) show(tables_.kv.find(key), false);
    return {};
  }

  std::string lock_reason(const std::string& key) const {
    const KvRow row = tables_.kv.find(key);
    return row && !row->session().empty() ? ", lock is already held" : " due to lock delay";
  }

  // ---- catalog ----

  Failure run_node(const pb::TxnNode& op) {
    const pb::Node& given = op.node();
    const NodeRow row = find_node(given);
    const std::string name = quoted(given.name().empty() ? given.id() : given.name());
    if (op.verb() == pb::TXN_GET) {
      if (!row) return "node " + name + " doesn't exist";
      out_.rows.emplace_back().node = row;
      return {};
    }
    if (is_stale(op.verb(), row.get(), given.modify_index()))
      return "failed to " + verb_of(op.verb()) + " node " + name + ", index is stale";
    if (removes(op.verb())) {
      if (row) return remove(row->name(), {}, {});
      return change_ ? Failure() : Failure("not a read");
    }
    pb::Register request;
    *request.mutable_node() = given;
    if (auto failed = apply(apply_register, request)) return failed;
    out_.rows.emplace_back().node = tables_.find_node(given.name())->row;
    return {};
  }

  Failure run_service(const pb::TxnService& op) {
    const pb::ServiceInstance& given = op.service();
    const std::string& id = given.id().empty() ? given.service() : given.id();
    const NodeEntry* node = tables_.find_node(op.node());
    const ServiceRow row = node ? find_service(*node, id) : nullptr;
    const std::string name = "service " + quoted(id) + " on node " + quoted(op.node());
    if (op.verb() == pb::TXN_GET) {
      if (!row) return name + " doesn't exist";
      out_.rows.emplace_back().service = row;
      return {};
    }
    if (is_stale(op.verb(), row.get(), given.modify_index()))
      return "failed to " + verb_of(op.verb()) + " " + name + ", index is stale";
    if (removes(op.verb())) return remove(op.node(), id, {});
    if (!node) return "Missing node registration";
    pb::Register request;
    request.mutable_node()->set_name(op.node());
    request.set_skip_node_update(true);
    *request.mutable_service() = given;
    if (auto failed = apply(apply_register, request)) return failed;
    out_.rows.emplace_back().service = find_service(*tables_.find_node(op.node()), id);
    return {};
  }

  Failure run_check(const pb::TxnCheck& op) {
    const pb::HealthCheck& given = op.check();
    const std::string id = known_check_id(given);
    const NodeEntry* node = tables_.find_node(given.node());
    const CheckRow row = node ? node->checks.find(id) : nullptr;
    const std::string name = "check " + quoted(id) + " on node " + quoted(given.node());
    if (op.verb() == pb::TXN_GET) {
      if (!row) return name + " doesn't exist";
      out_.rows.emplace_back().check = row;
      return {};
    }
    if (is_stale(op.verb(), row.get(), given.modify_index()))
      return "failed to " + verb_of(op.verb()) + " " + name + ", index is stale";
    if (removes(op.verb())) return remove(given.node(), {}, id);
    if (!node) return "Missing node registration";
    pb::Register request;
    request.mutable_node()->set_name(given.node());
    request.set_skip_node_update(true);
    *request.add_checks() = given;
    if (auto failed = apply(apply_register, request)) return failed;
    out_.rows.emplace_back().check = tables_.find_node(given.node())->checks.find(id);
    return {};
  }

  static bool removes(pb::TxnVerb verb) {
    return verb == pb::TXN_DELETE || verb == pb::TXN_DELETE_CAS;
  }
  static std::string verb_of(pb::TxnVerb verb) { return removes(verb) ? "delete" : "set"; }

  // 0 as index: must not exist. What is not there cannot be deleted at an index.
  template <class T>
  static bool is_stale(pb::TxnVerb verb, const T* row, StateIndex given) {
    if (verb == pb::TXN_CAS) return (row ? row->modify_index() : 0) != given;
    if (verb == pb::TXN_DELETE_CAS) return !row || row->modify_index() != given;
    return false;
  }

  NodeRow find_node(const pb::Node& given) const {
    if (!given.id().empty()) {
      auto it = tables_.nodes_by_id.find(given.id());
      if (it != tables_.nodes_by_id.end()) return it->second->row;
    }
    const NodeEntry* node = tables_.find_node(given.name());
    return node ? node->row : nullptr;
  }

  static ServiceRow find_service(const NodeEntry& node, std::string_view id) {
    auto it = node.services.find(id);
    return it == node.services.end() ? nullptr : it->second.row;
  }

  Failure remove(const std::string& node, const std::string& service, const std::string& check) {
    pb::Deregister request;
    request.set_node(node);
    request.set_service_id(service);
    request.set_check_id(check);
    return apply(apply_deregister, request);
  }

  template <class Request>
  Failure apply(ApplyResult (*verb)(Change&, const Request&), const Request& request) {
    if (!change_) return "not a read";
    ApplyResult result = verb(*change_, request);
    done_ = result.done;
    if (result.error) return std::move(result.error->message);
    return {};
  }

  void show(const KvRow& row, bool with_value) {
    TxnRow& shown = out_.rows.emplace_back();
    shown.kv = row;
    shown.with_value = with_value;
  }

  const Tables& tables_;
  Change* const change_;
  TxnOutcome out_;
  std::uint32_t at_ = 0;
  bool done_ = true;  // of the last write: false if a compare-and-set or lock was lost
};

bool understands_op(const pb::TxnOp& op) {
  switch (op.op_case()) {
    case pb::TxnOp::kKv:
      return Kv::Verb_IsValid(op.kv().verb());
    case pb::TxnOp::kNode:
      return pb::TxnVerb_IsValid(op.node().verb());
    case pb::TxnOp::kService:
      return pb::TxnVerb_IsValid(op.service().verb());
    case pb::TxnOp::kCheck:
      return pb::TxnVerb_IsValid(op.check().verb());
    case pb::TxnOp::OP_NOT_SET:
      break;
  }
  return false;
}

}  // namespace

bool understands_txn(const pb::Txn& request) {
  return std::all_of(request.ops().begin(), request.ops().end(), understands_op);
}

ApplyResult apply_txn(Change& change, const pb::Txn& request) {
  ApplyResult result;
  auto outcome = std::make_shared<TxnOutcome>();
  {
    Tables copy;
    copy_for_rehearsal(change.tables, request, copy);
    ChangeList forgotten;
    Change rehearsal(copy, change.index, change.stamp_ns, forgotten);
    *outcome = Runner(copy, &rehearsal).run(request);
  }
  result.done = outcome->errors.empty();
  if (result.done) {
    *outcome = Runner(change.tables, &change).run(request);
    CHECK_MSG(outcome->errors.empty(), "a transaction failed after its rehearsal");
  }
  result.txn = std::move(outcome);
  return result;
}

TxnOutcome StateStore::read_txn(const pb::Txn& txn) const {
  return Runner(*tables_, nullptr).run(txn);
}

}  // namespace fyr::server
