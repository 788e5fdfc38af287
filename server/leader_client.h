// What a server asks of another one. The implementation speaks gRPC (rpc/leader_client); the
// server itself does not know it.
//
// Errors: NoLeader, NotLeader: it certainly did not happen. CommitUnknown: the request was sent
// and no answer came. Every call ends within kLeaderTimeout.
//
// Threading: every method from any thread; `done` runs on a thread of the implementation, or
// inside the call, and must be short.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/io/http_server.h"
#include "base/time.h"
#include "command.pb.h"
#include "raft/types.h"
#include "server/state/store.h"

namespace fyr::server {

constexpr Duration kLeaderTimeout = std::chrono::seconds(10);

class LeaderClient {
 public:
  virtual ~LeaderClient() = default;
  // The leader is at this address now ("": nowhere): it is connected to, and what was asked of
  // another one ends as CommitUnknown, because that one may be frozen.
  virtual void follow(const std::string& address) = 0;
  // `address`: host:port of the other server's RPC listener.
  virtual void apply(const std::string& address, const pb::Command& command,
                     std::function<void(Result<ApplyResult>)> done) = 0;
  virtual void renew_session(const std::string& address, const std::string& id,
                             std::function<void(Result<SessionRow>)> done) = 0;
  // Any request of the HTTP API, handled there.
  virtual void forward(const std::string& address, const io::HttpRequest& request,
                       std::function<void(Result<io::HttpResponse>)> done) = 0;
  virtual void ask_consent(const std::string& address, raft::NodeId founder, raft::NodeId to,
                           std::function<void(Result<bool>)> done) = 0;
  // Waits until no call is under way; later ones end as Stopped.
  virtual void stop() = 0;
};

}  // namespace fyr::server
