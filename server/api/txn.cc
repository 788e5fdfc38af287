// PUT /v1/txn: several operations as one command, or, if none of them writes, as one read.
#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/id.h"
#include "base/json.h"
#include "proto/registry_json.h"
#include "server/api/parameters.h"
#include "server/api/routes.h"
#include "server/state/rules.h"

namespace fyr::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostOperations = 64;

// ---- decoding ----------------------------------------------------------------------------------

struct Operation {
  pb::TxnOp op;
  bool writes = false;
  bool given = false;   // an object without any operation is passed over
  std::string refused;  // why it cannot run, in the words of an operation's error
};

template <class Verb>
struct VerbName {
  std::string_view name;
  Verb verb;
};

constexpr VerbName<pb::TxnKv::Verb> kKvVerbs[] = {
    {"set", pb::TxnKv::SET},
    {"cas", pb::TxnKv::CAS},
    {"delete", pb::TxnKv::DELETE},
    {"delete-cas", pb::TxnKv::DELETE_CAS},
    {"delete-tree", pb::TxnKv::DELETE_TREE},
    {"lock", pb::TxnKv::LOCK},
    {"unlock", pb::TxnKv::UNLOCK},
    {"get", pb::TxnKv::GET},
    {"get-tree", pb::TxnKv::GET_TREE},
    {"check-index", pb::TxnKv::CHECK_INDEX},
    {"check-session", pb::TxnKv::CHECK_SESSION},
    {"check-not-exists", pb::TxnKv::CHECK_NOT_EXISTS},
};
constexpr VerbName<pb::TxnVerb> kCatalogVerbs[] = {
    {"get", pb::TXN_GET},
    {"set", pb::TXN_SET},
    {"cas", pb::TXN_CAS},
    {"delete", pb::TXN_DELETE},
    {"delete-cas", pb::TXN_DELETE_CAS},
};

// An unknown verb is the operation's fault and not that of the body.
template <class Verb, std::size_t N>
Verb find_verb(const VerbName<Verb> (&verbs)[N], const std::string& name, std::string_view kind,
               Operation& out) {
  for (const auto& known : verbs) {
    if (known.name == name) return known.verb;
  }
  out.refused = "unknown " + std::string(kind) + " verb \"" + name + "\"";
  return verbs[0].verb;
}

Result<void> decode_kv(const json::value& value, const std::string& path, Operation& out) {
  std::string verb;
  std::string encoded;
  std::uint64_t flags = 0, index = 0;
  auto& pair = *out.op.mutable_kv()->mutable_pair();
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Verb", verb)
      .field("Key", *pair.mutable_key())
      .field("Value", encoded)
      .field("Flags", flags)
      .field("Index", index)
      .field("Session", *pair.mutable_session());
  if (auto done = decoder.finish(); !done) return done;
  auto bytes = from_base64(encoded);
  if (!bytes) return fail(ErrorCode::InvalidArgument, path + ".Value: illegal base64 data");
  pair.set_value(std::move(*bytes));
  pair.set_flags(flags);
  pair.set_modify_index(index);
  const auto known = find_verb(kKvVerbs, verb, "KV", out);
  out.op.mutable_kv()->set_verb(known);
  out.writes = known <= pb::TxnKv::UNLOCK;
  if (out.refused.empty() && pair.key().empty() && known != pb::TxnKv::DELETE_TREE) {
    out.refused = "Must provide key";
  }
  return {};
}

// The index that "cas" verbs compare, which is part of the row in this API.
Result<std::uint64_t> decode_index(const json::value& value, const std::string& path) {
  std::uint64_t index = 0;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  if (auto done = decoder.field("ModifyIndex", index).finish(); !done) return done.error();
  return index;
}

Result<void> decode_node_row(const json::value& value, const std::string& path, pb::Node& out) {
  std::map<std::string, std::string> addresses;
  std::map<std::string, std::string> meta;
  std::uint64_t index = 0;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("ID", *out.mutable_id())
      .field("Node", *out.mutable_name())
      .field("Address", *out.mutable_address())
      .field("Datacenter", *out.mutable_datacenter())
      .field("TaggedAddresses", addresses)
      .field("Meta", meta)
      .field("ModifyIndex", index);
  set_pairs(*out.mutable_tagged_addresses(), addresses);
  set_pairs(*out.mutable_meta(), meta);
  out.set_has_tagged_addresses(decoder.has("TaggedAddresses"));
  out.set_has_meta(decoder.has("Meta"));
  out.set_id(to_lower(out.id()));
  out.set_modify_index(index);
  return decoder.finish();
}

Result<void> decode_node(const json::value& value, const std::string& path, Operation& out) {
  auto& op = *out.op.mutable_node();
  std::string verb;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Verb", verb).field("Node", [&](const json::value& inner, const std::string& at) {
    return decode_node_row(inner, at, *op.mutable_node());
  });
  if (auto done = decoder.finish(); !done) return done;
  op.set_verb(find_verb(kCatalogVerbs, verb, "Node", out));
  out.writes = op.verb() != pb::TXN_GET;
  if (!out.refused.empty() || !out.writes) return {};
  const auto& node = op.node();
  if (node.name().empty()) {
    out.refused = "Must provide node";
  } else if (!node.id().empty() && !is_uuid(node.id())) {
    out.refused = "Bad node ID: uuid is improperly formatted";
  }
  return {};
}

Result<void> decode_service_op(const json::value& value, const std::string& path, Operation& out) {
  auto& op = *out.op.mutable_service();
  std::string verb;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Verb", verb)
      .field("Node", *op.mutable_node())
      .field("Service", [&](const json::value& inner, const std::string& at) -> Result<void> {
        auto service = decode_service(inner, at, UnknownFields::Ignore);
        if (!service) return service.error();
        auto index = decode_index(inner, at);
        if (!index) return index.error();
        *op.mutable_service() = std::move(*service);
        op.mutable_service()->set_modify_index(*index);
        return {};
      });
  if (auto done = decoder.finish(); !done) return done;
  op.set_verb(find_verb(kCatalogVerbs, verb, "Service", out));
  out.writes = op.verb() != pb::TXN_GET;
  if (!out.refused.empty() || !out.writes) return {};
  if (op.service().service().empty()) {
    out.refused = op.service().id().empty() ? "Must provide service name (Service.Service)"
                                            : "Must provide service name (Service.Service) when "
                                              "service ID is provided";
  } else if (const auto good = check_rules(op.service()); !good) {
    out.refused = "Service." + good.error().message;
  }
  return {};
}

Result<void> decode_check_op(const json::value& value, const std::string& path, Operation& out) {
  auto& op = *out.op.mutable_check();
  std::string verb;
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("Verb", verb)
      .field("Check", [&](const json::value& inner, const std::string& at) -> Result<void> {
        auto check = decode_check(inner, at, UnknownFields::Ignore);
        if (!check) return check.error();
        auto index = decode_index(inner, at);
        if (!index) return index.error();
        *op.mutable_check() = std::move(*check);
        op.mutable_check()->set_modify_index(*index);
        return {};
      });
  if (auto done = decoder.finish(); !done) return done;
  op.set_verb(find_verb(kCatalogVerbs, verb, "Check", out));
  out.writes = op.verb() != pb::TXN_GET;
  if (!out.refused.empty() || !out.writes) return {};
  if (const auto good = check_rules(op.check()); !good) {
    out.refused = "Check." + good.error().message;
  }
  return {};
}

// The first kind that is given counts, as in Consul.
Result<Operation> decode_operation(const json::value& value, const std::string& path) {
  Operation out;
  const auto take = [&out](auto decode) {
    return [&out, decode](const json::value& inner, const std::string& at) -> Result<void> {
      if (out.given) return {};
      out.given = true;
      return decode(inner, at, out);
    };
  };
  ObjectDecoder decoder(value, path, UnknownFields::Ignore);
  decoder.field("KV", take(decode_kv))
      .field("Node", take(decode_node))
      .field("Service", take(decode_service_op))
      .field("Check", take(decode_check_op));
  if (auto done = decoder.finish(); !done) return done.error();
  return out;
}

// ---- answering ---------------------------------------------------------------------------------

void write_row(JsonWriter& out, const TxnRow& row, const std::string& datacenter) {
  out.begin_object();
  if (row.kv && (row.with_value || row.kv->value().empty())) {
    encode_kv(out.key("KV"), *row.kv);
  } else if (row.kv) {
    pb::KvPair bare = *row.kv;
    bare.clear_value();
    encode_kv(out.key("KV"), bare);
  }
  if (row.node) encode_node(out.key("Node"), *row.node, datacenter);
  if (row.service) encode_service(out.key("Service"), *row.service);
  if (row.check) encode_check(out.key("Check"), *row.check);
  out.end_object();
}

void answer(const io::HttpCall& call, const TxnOutcome& outcome, const ApiOptions& options,
            const ReadStamp* stamp) {
  const bool failed = !outcome.errors.empty();
  std::string body;
  JsonWriter out(body);
  out.begin_object().key("Results");
  if (failed) {
    out.null();
  } else {
    out.begin_array();
    for (const auto& row : outcome.rows) write_row(out, row, options.datacenter);
    out.end_array();
  }
  out.key("Errors");
  if (failed) {
    out.begin_array();
    for (const auto& error : outcome.errors) {
      out.begin_object().key("OpIndex").number(std::uint64_t{error.op});
      out.key("What").string(error.what).end_object();
    }
    out.end_array();
  } else {
    out.null();
  }
  out.end_object();
  auto response = io::HttpResponse::json(call.pretty() ? indent_json(body) + "\n" : body);
  if (failed) response.status = 409;
  if (stamp != nullptr) {
    response.headers.emplace_back("X-Consul-KnownLeader", stamp->known_leader ? "true" : "false");
    const auto contact =
        std::chrono::duration_cast<std::chrono::milliseconds>(stamp->last_contact).count();
    response.headers.emplace_back("X-Consul-LastContact", std::to_string(contact));
  }
  call.respond(std::move(response));
}

void read(ApiContext& context, const io::HttpCallPtr& call, pb::Txn txn) {
  const auto params = io::parse_read_params(*call);
  if (!params) return answer_error(*call, params.error());
  using Given = io::ReadParams::Consistency;
  const auto consistency = params->consistency == Given::Stale        ? Consistency::Stale
                           : params->consistency == Given::Consistent ? Consistency::Consistent
                                                                      : Consistency::Default;
  context.server.wait_read(
      consistency, [&context, call, txn = std::move(txn)](Result<ReadStamp> stamp) {
        if (!stamp) return answer_error(*call, stamp.error());
        const TxnOutcome outcome =
            context.server.read([&](const StateStore& store) { return store.read_txn(txn); });
        answer(*call, outcome, context.options, &*stamp);
      });
}

// ---- the request -------------------------------------------------------------------------------

bool refuse_sizes(const io::HttpCall& call, const ApiOptions& options) {
  const auto size = call.request().body.size();
  if (size <= options.kv_max_value_size) return false;
  call.text(413, "Request body(" + std::to_string(size) + " bytes) too large, max size: " +
                     std::to_string(options.kv_max_value_size) + " bytes. See kv_max_value_size.");
  return true;
}

struct Request {
  pb::Txn txn;
  TxnOutcome refused;  // operations that cannot run, whatever the state
  bool writes = false;
};

Result<Request> decode_request(const json::array& list, const ApiOptions& options) {
  Request out;
  for (const auto& value : list) {
    if (value.is_null()) continue;
    auto operation = decode_operation(value, "TxnOps");
    if (!operation) return operation.error();
    if (!operation->given) continue;
    if (!operation->refused.empty()) {
      out.refused.errors.push_back(
          {static_cast<std::uint32_t>(out.txn.ops_size()), operation->refused});
    }
    out.writes |= operation->writes;
    auto& op = *out.txn.add_ops();
    op = std::move(operation->op);
    if (op.has_node()) op.mutable_node()->mutable_node()->set_datacenter(options.datacenter);
  }
  return out;
}

void submit(ApiContext& context, const io::HttpCallPtr& call) {
  if (refuse_datacenter(*call, context.options) || refuse_sizes(*call, context.options)) return;
  auto body = call->body_json();
  if (!body) return call->error(body.error());
  if (!body->is_array()) return call->text(400, "Failed to parse body: a list is expected");
  const auto& list = body->get_array();
  if (list.size() > kMostOperations) {
    return call->text(413, "Transaction contains too many operations (" +
                               std::to_string(list.size()) + " > " +
                               std::to_string(kMostOperations) + ")");
  }
  auto request = decode_request(list, context.options);
  if (!request) return call->text(400, "Failed to parse body: " + request.error().message);
  if (!request->refused.errors.empty()) {
    return answer(*call, request->refused, context.options, nullptr);
  }
  if (!request->writes) return read(context, call, std::move(request->txn));
  pb::Command command;
  *command.mutable_txn() = std::move(request->txn);
  context.writes.submit(call, std::move(command),
                        [&context](const io::HttpCall& answered, const ApplyResult& result) {
                          if (result.txn) {
                            return answer(answered, *result.txn, context.options, nullptr);
                          }
                          // The leader runs a version that does not send rows.
                          answered.text(500, "the leader gave no result");
                        });
}

}  // namespace

void add_txn_routes(io::HttpRouter& router, ApiContext& context) {
  router.add("PUT", "/v1/txn", [&context](const io::HttpCallPtr& call) { submit(context, call); });
}

}  // namespace fyr::server
