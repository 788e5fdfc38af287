// A server: the Raft node, the state machine over RocksDB, the state in memory and its publisher.
// It knows nothing of HTTP, DNS or gRPC; api/, rpc/ and app build on it.
//
// Threading: every method from any thread. Write callbacks run on the apply thread and must only
// post onwards.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/guarded.h"
#include "base/time.h"
#include "command.pb.h"
#include "raft/node.h"
#include "raft/transport.h"
#include "server/leader/autopilot.h"
#include "server/leader/founding.h"
#include "server/leader/reconcile.h"
#include "server/leader_client.h"
#include "server/state/store.h"
#include "server/watch/publisher.h"

namespace fyr::server {

struct ServerOptions {
  std::filesystem::path data_dir;  // uses data_dir/raft
  std::string datacenter = "dc1";
  std::string node_name;
  std::string node_id;
  std::string rpc_address;  // host:port agents and servers reach us at
  bool bootstrap = false;
  int raft_multiplier = 1;
  Duration session_ttl_min = std::chrono::seconds(10);
  std::string site;
  int leader_priority = 100;
  Duration state_check_interval = std::chrono::seconds(60);  // of comparing servers' states
  int bootstrap_expect = 0;  // servers that found a cluster together; 0: join one
  // To the other servers; null: there are none.
  std::shared_ptr<LeaderClient> leader_client;
  std::shared_ptr<raft::Transport> transport;
};

enum class Consistency { Default, Consistent, Stale };

// Said with every read answer.
struct ReadStamp {
  bool known_leader = false;
  Duration last_contact{};
};

struct LeaderInfo {
  bool known = false;
  bool self = false;
  std::string address;  // host:port of its RPC listener
  raft::NodeId id{};
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> open(ServerOptions options);
  ~Server();
  void stop();
  // Before a stop that was planned: somebody else leads when it returns, if that can be.
  Result<void> hand_over(Duration patience);

  const ServerOptions& options() const;

  // Stamps and proposes, at the leader wherever it is; a result of another server is given when it
  // is applied here, too. The result's `error` is the state machine's refusal (nothing changed);
  // an Error outcome means it never ran, or CommitUnknown.
  void write(pb::Command command, std::function<void(Result<ApplyResult>)> done);

  // As write, if this server leads: else NotLeader or NoLeader.
  void write_here(pb::Command command, std::function<void(Result<ApplyResult>)> done);

  // Whether a read of this consistency may run now. try_read is the fast path: a stamp, or nothing
  // if the answer must be waited for with wait_read.
  std::optional<ReadStamp> try_read(Consistency consistency) const;
  void wait_read(Consistency consistency, std::function<void(Result<ReadStamp>)> done);

  // False after a start until the state has everything that this server may have shown before it:
  // what is read earlier may be older than what was answered then. True once, true for ever. While
  // it is false, asking makes this server find out. HTTP reads need no look, try_read has it
  // inside.
  bool caught_up() const;

  // Runs f(const StateStore&) under the shared lock; keep it short, copy rows out.
  template <class F>
  decltype(auto) read(F&& f) const {
    return state().read(std::forward<F>(f));
  }

  Publisher& publisher();
  LeaderInfo leader() const;
  std::vector<std::string> raft_peers() const;  // addresses of the voters
  raft::Status raft_status() const;
  raft::Node& raft_node();

  // What gossip knows of the servers, ourselves included. Without a cluster it may be ours to found
  // (bootstrap_expect); a leader's autopilot looks after its members. Call it about once a second
  // and on every change.
  void consider_servers(const std::vector<ServerFact>& servers);
  // As of the last call of consider_servers; empty unless this server leads.
  std::vector<ServerHealth> server_health() const;
  std::size_t failure_tolerance() const;
  // Another server wants to found a cluster with us.
  bool consent(raft::NodeId founder, raft::NodeId to);

  // A request that only a leader can answer, handled there; NoLeader if there is none. False: this
  // server leads, answer it here.
  bool forward_to_leader(const io::HttpRequest& request,
                         std::function<void(Result<io::HttpResponse>)> done);

  // Starts the session's TTL anew, at the leader. Done with the session, with NotFound if there
  // is none (or it is just ending), or with NotLeader / NoLeader.
  void renew_session(const std::string& id, std::function<void(Result<SessionRow>)> done);

  // As renew_session, if this server leads.
  Result<SessionRow> renew_session_here(const std::string& id);

  // Gossip news about a member: if this server leads and the catalog says otherwise, it is
  // written. Call it for every change, and for all members when leadership is gained.
  void reconcile(const MemberFact& member);

  // Called on every change of leadership of this server (raft thread; only post), and at once if it
  // leads already.
  void on_leadership(std::function<void(bool leads)> callback);

 private:
  Server();
  const SharedGuarded<StateStore>& state() const;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fyr::server
