#include "server/rpc/command_result.h"

namespace fyr::server {

Error error_from_wire(int code, const std::string& message) {
  constexpr int kLast = static_cast<int>(ErrorCode::Internal);
  const int value = code - 1;
  return {value < 0 || value > kLast ? ErrorCode::Internal : static_cast<ErrorCode>(value),
          message};
}

namespace {

void encode_outcome(const TxnOutcome& outcome, pb::TxnOutcome& out) {
  for (const TxnRow& row : outcome.rows) {
    pb::TxnRow& to = *out.add_rows();
    if (row.node) *to.mutable_node() = *row.node;
    if (row.service) *to.mutable_service() = *row.service;
    if (row.check) *to.mutable_check() = *row.check;
    if (!row.kv) continue;
    // What is not shown need not travel.
    pb::KvPair& pair = *to.mutable_kv();
    if (row.with_value) pair.set_value(row.kv->value());
    pair.set_key(row.kv->key());
    pair.set_flags(row.kv->flags());
    pair.set_session(row.kv->session());
    pair.set_lock_index(row.kv->lock_index());
    pair.set_create_index(row.kv->create_index());
    pair.set_modify_index(row.kv->modify_index());
  }
  for (const TxnError& error : outcome.errors) {
    pb::TxnError& to = *out.add_errors();
    to.set_op(error.op);
    to.set_what(error.what);
  }
}

std::shared_ptr<const TxnOutcome> decode_outcome(const pb::TxnOutcome& outcome) {
  auto out = std::make_shared<TxnOutcome>();
  for (const pb::TxnRow& row : outcome.rows()) {
    TxnRow& to = out->rows.emplace_back();
    if (row.has_node()) to.node = std::make_shared<pb::Node>(row.node());
    if (row.has_service()) to.service = std::make_shared<pb::ServiceInstance>(row.service());
    if (row.has_check()) to.check = std::make_shared<pb::HealthCheck>(row.check());
    if (row.has_kv()) to.kv = std::make_shared<pb::KvPair>(row.kv());
    to.with_value = true;
  }
  for (const pb::TxnError& error : outcome.errors())
    out->errors.push_back({error.op(), error.what()});
  return out;
}

}  // namespace

void encode_result(const ApplyResult& result, pb::CommandResult& out) {
  out.set_index(result.index);
  out.set_done(result.done);
  if (result.error) {
    out.set_refused(to_wire(result.error->code));
    out.set_message(result.error->message);
  }
  for (const ApplyResult& item : result.items) encode_result(item, *out.add_items());
  if (result.txn) encode_outcome(*result.txn, *out.mutable_txn());
}

ApplyResult decode_result(const pb::CommandResult& result) {
  ApplyResult out;
  out.index = result.index();
  out.done = result.done();
  if (result.refused() != 0) out.error = error_from_wire(result.refused(), result.message());
  for (const pb::CommandResult& item : result.items()) out.items.push_back(decode_result(item));
  if (result.has_txn()) out.txn = decode_outcome(result.txn());
  return out;
}

}  // namespace fyr::server
