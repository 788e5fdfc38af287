#include "app/run_server.h"

#include <boost/json/serialize.hpp>

#include "app/http_front.h"
#include "base/json.h"
#include "base/log.h"

namespace fyr::app {
namespace {

server::ServerOptions server_options(const Settings& settings, const Identity& identity) {
  server::ServerOptions options;
  options.data_dir = identity.data_dir();
  options.datacenter = settings.datacenter;
  options.node_name = settings.node_name;
  options.node_id = identity.node_id();
  options.rpc_address =
      HostPort{settings.advertise_address, static_cast<std::uint16_t>(settings.server_port)}
          .to_string();
  options.bootstrap = settings.bootstrap;
  options.raft_multiplier = settings.raft_multiplier;
  options.session_ttl_min = settings.session_ttl_min;
  return options;
}

server::ApiOptions api_options(const Settings& settings) {
  server::ApiOptions options;
  options.datacenter = settings.datacenter;
  options.default_query_time = settings.default_query_time;
  options.max_query_time = settings.max_query_time;
  options.rpc_hold_timeout = settings.rpc_hold_timeout;
  options.router = router_options(settings);
  options.kv_max_value_size = static_cast<std::size_t>(settings.kv_max_value_size);
  return options;
}

const char* role_word(raft::Role role) {
  switch (role) {
    case raft::Role::Leader:
      return "Leader";
    case raft::Role::Candidate:
      return "Candidate";
    case raft::Role::Follower:
      return "Follower";
  }
  return "";
}

}  // namespace

ServerHalf::ServerHalf() = default;

Result<std::unique_ptr<ServerHalf>> ServerHalf::open(const Settings& settings,
                                                     const Identity& identity,
                                                     io::Runtime& runtime) {
  std::unique_ptr<ServerHalf> self(new ServerHalf);
  auto server = server::Server::open(server_options(settings, identity));
  if (!server) return server.error();
  self->server_ = std::move(*server);
  self->api_ = std::make_unique<server::Api>(*self->server_, runtime, api_options(settings));

  server::RpcServerOptions rpc_options;
  rpc_options.listen = {{settings.bind_address, static_cast<std::uint16_t>(settings.server_port)}};
  rpc_options.node_name = settings.node_name;
  auto rpc = server::RpcServer::listen(
      std::move(rpc_options), *self->server_, runtime,
      [api = self->api_.get()](std::shared_ptr<io::HttpExchange> exchange) {
        api->handle(std::move(exchange));
      });
  if (!rpc) return rpc.error();
  self->rpc_ = std::move(*rpc);
  return self;
}

ServerHalf::~ServerHalf() {
  stop();
}

void ServerHalf::stop() {
  if (rpc_) rpc_->stop();
  if (api_) api_->stop();
  if (server_) server_->stop();
}

std::string ServerHalf::stats_json() const {
  const raft::Status status = server_->raft_status();
  std::string out;
  JsonWriter writer(out);
  const auto number = [&](const char* key, std::uint64_t value) {
    writer.key(key).string(std::to_string(value));
  };
  writer.begin_object().key("raft").begin_object();
  writer.key("state").string(role_word(status.role));
  number("term", status.term.value);
  number("commit_index", status.commit.value);
  number("applied_index", status.applied.value);
  number("last_log_index", status.last.value);
  number("num_peers", server_->raft_peers().size() - 1);
  writer.end_object().end_object();
  return out;
}

}  // namespace fyr::app
