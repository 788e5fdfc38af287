// The server half of a process: registry, HTTP API, RPC listener, leader's duties.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/swim/membership.h"
#include "app/identity.h"
#include "app/settings.h"
#include "base/error.h"
#include "base/io/runtime.h"
#include "server/api/api.h"
#include "server/rpc/rpc_server.h"
#include "server/server.h"

namespace fyr::raft {
class GrpcTransport;
}

namespace fyr::app {

class ServerHalf {
 public:
  static Result<std::unique_ptr<ServerHalf>> open(const Settings& settings,
                                                  const Identity& identity, io::Runtime& runtime);
  ~ServerHalf();

  // The leader writes members' liveness into the catalog from now on.
  void follow(agent::Membership& membership);
  void stop();
  // A leader that is about to stop lets another server lead first.
  void hand_over();

  server::Server& server() { return *server_; }
  server::Api& api() { return *api_; }
  server::RpcServer& rpc() { return *rpc_; }
  // "Stats" of /v1/agent/self.
  std::string stats_json() const;
  // What gossip tells the other servers about our half of Raft.
  std::map<std::string, std::string> raft_tags() const;

 private:
  struct Follower;
  ServerHalf();
  std::shared_ptr<raft::GrpcTransport> transport_;  // outlives the listener
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<server::Api> api_;
  std::unique_ptr<server::RpcServer> rpc_;
  std::shared_ptr<Follower> follower_;
  io::Runtime* runtime_ = nullptr;
};

}  // namespace fyr::app
