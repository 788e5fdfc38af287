#include "server/rpc/agent_rpc.h"

#include <vector>

#include "agent.grpc.pb.h"
#include "base/bytes.h"
#include "proto/node_digest.h"
#include "server/rpc/forward_call.h"
#include "server/rpc/status.h"
#include "server/state/rules.h"

namespace fyr::server {

namespace {

constexpr int kMaxItems = 64;

void set_result(pb::ItemResult& out, const Error& error) {
  out.set_code(1 + static_cast<int>(error.code));
  out.set_message(error.message);
}

// One push on its way: which of its items went into the command, and where their results come.
struct Push {
  pb::Command command;
  std::vector<int> registers;  // item numbers in the order of the command
  std::vector<int> deregisters;
  std::vector<Error> refused;  // by item; an empty message means it was not refused
};

Error check_item(const pb::PushRequest& request, const pb::PushItem& item) {
  const std::string& node =
      item.has_register_() ? item.register_().node().name() : item.deregister().node();
  if (item.change_case() == pb::PushItem::CHANGE_NOT_SET) {
    return fail(ErrorCode::InvalidArgument, "items: neither register nor deregister");
  }
  if (!equals_ignoring_case(node, request.node())) {
    return fail(ErrorCode::InvalidArgument, "items: node \"" + node + "\" is not the agent's own");
  }
  if (item.has_register_()) {
    const pb::Register& given = item.register_();
    if (const auto good = check_rules(given.service()); !good)
      return fail(good.error().code, "items: Service." + good.error().message);
    for (const pb::HealthCheck& check : given.checks())
      if (const auto good = check_rules(check); !good)
        return fail(good.error().code, "items: Check." + good.error().message);
  }
  return {ErrorCode::Internal, {}};
}

Push make_push(const pb::PushRequest& request) {
  Push push;
  pb::NodeSync& sync = *push.command.mutable_node_sync();
  for (int i = 0; i < request.items_size(); ++i) {
    const pb::PushItem& item = request.items(i);
    push.refused.push_back(check_item(request, item));
    if (!push.refused.back().message.empty()) continue;
    if (item.has_register_()) {
      *sync.add_register_() = item.register_();
      push.registers.push_back(i);
    } else {
      *sync.add_deregister() = item.deregister();
      push.deregisters.push_back(i);
    }
  }
  return push;
}

// Results come registrations first, as the command has them.
void fill(pb::PushResponse& out, const Push& push, const ApplyResult& applied) {
  out.set_index(applied.index);
  for (const Error& refused : push.refused) {
    pb::ItemResult& result = *out.add_results();
    if (!refused.message.empty()) set_result(result, refused);
  }
  std::size_t at = 0;
  for (const auto* items : {&push.registers, &push.deregisters}) {
    for (const int item : *items) {
      if (at < applied.items.size() && applied.items[at].error) {
        set_result(*out.mutable_results(item), *applied.items[at].error);
      } else if (applied.error) {
        set_result(*out.mutable_results(item), *applied.error);
      }
      ++at;
    }
  }
}

struct NodeRows {
  StateIndex index = 0;
  NodeServices services;
  Listing<CheckRow> checks;
};

std::string digest_of(const NodeRows& rows) {
  NodeDigest digest;
  if (rows.services.node) digest.node(hash_node(*rows.services.node));
  for (const ServiceRow& row : rows.services.services)
    digest.service(row->id(), hash_service(*row));
  for (const CheckRow& row : rows.checks.rows) digest.check(row->check_id(), hash_check(*row));
  return digest.value();
}

void fill(pb::NodeStateResponse& out, const NodeRows& rows, const std::string& theirs) {
  out.set_index(rows.index);
  out.set_known(rows.services.node != nullptr);
  if (!theirs.empty() && theirs == digest_of(rows)) {
    out.set_same(true);
    return;
  }
  if (rows.services.node) *out.mutable_node() = *rows.services.node;
  for (const ServiceRow& row : rows.services.services) *out.add_services() = *row;
  for (const CheckRow& row : rows.checks.rows) *out.add_checks() = *row;
}

class AgentService final : public pb::AgentRpc::CallbackService {
 public:
  AgentService(AgentRpcOptions options, Server& server, io::Runtime& runtime,
               io::HttpHandler forward)
      : options_(std::move(options)),
        server_(server),
        runtime_(runtime),
        forwards_(runtime, std::move(forward), options_.max_forwards) {}

  grpc::ServerUnaryReactor* Push(grpc::CallbackServerContext* context,
                                 const pb::PushRequest* request,
                                 pb::PushResponse* response) override {
    auto* reactor = context->DefaultReactor();
    if (request->node().empty() || request->items_size() == 0 ||
        request->items_size() > kMaxItems) {
      reactor->Finish(
          to_status(fail(ErrorCode::InvalidArgument, "push: a node and 1 to 64 items are needed")));
      return reactor;
    }
    auto push = std::make_shared<server::Push>(make_push(*request));
    if (push->registers.empty() && push->deregisters.empty()) {
      fill(*response, *push, {});
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    server_.write(push->command, [this, push, reactor, response](Result<ApplyResult> applied) {
      runtime_.post(runtime_.next(), [push, reactor, response, applied = std::move(applied)] {
        if (!applied) return reactor->Finish(to_status(applied.error()));
        fill(*response, *push, *applied);
        reactor->Finish(grpc::Status::OK);
      });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* NodeState(grpc::CallbackServerContext* context,
                                      const pb::NodeStateRequest* request,
                                      pb::NodeStateResponse* response) override {
    auto* reactor = context->DefaultReactor();
    if (!server_.caught_up()) {
      reactor->Finish(catching_up());
      return reactor;
    }
    const NodeRows rows = server_.read([&](const StateStore& store) {
      return NodeRows{store.applied(), store.node_services(request->node()),
                      store.node_checks(request->node())};
    });
    fill(*response, rows, request->digest());
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Forward(grpc::CallbackServerContext*, const pb::HttpForward* request,
                                    pb::HttpForwardResponse* response) override {
    return forwards_.start(*request, *response);
  }

  grpc::ServerUnaryReactor* Servers(grpc::CallbackServerContext* context, const pb::ServersRequest*,
                                    pb::ServersResponse* response) override {
    auto* reactor = context->DefaultReactor();
    const LeaderInfo leader = server_.leader();
    const std::string& own = server_.options().rpc_address;
    for (const std::string& address : server_.raft_peers()) {
      pb::ServerInfo& info = *response->add_servers();
      info.set_address(address);
      info.set_local(address == own);
      info.set_leader(leader.known && leader.address == address);
      if (info.local()) info.set_name(options_.node_name);
    }
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const AgentRpcOptions options_;
  Server& server_;
  io::Runtime& runtime_;
  ForwardCalls forwards_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_agent_rpc(AgentRpcOptions options, Server& server,
                                              io::Runtime& runtime, io::HttpHandler forward) {
  return std::make_unique<AgentService>(std::move(options), server, runtime, std::move(forward));
}

}  // namespace fyr::server
