// The agent half of every process: its node's services and checks, their health, their way into
// the catalog, and /v1/agent/*. It talks to servers only through a ChannelSource; on a server
// process that is the in-process channel of its own RPC server.
//
// Start: open() reads what was persisted and binds nothing; start() registers the node and starts
// checks and sync. stop() ends in reverse and writes what is not yet on disk.
//
// Threading: every method from any thread. State, checks and sync live on one thread of the
// agent's own; files are written on a second one, so that a slow disk delays no check.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/channel_source.h"
#include "agent/swim/membership.h"
#include "agent/watch_client.h"
#include "base/error.h"
#include "base/io/http_router.h"
#include "base/io/http_server.h"
#include "base/io/runtime.h"
#include "proto/registry_json.h"

namespace fyr::agent {

struct AgentOptions {
  std::string node_name;
  std::string node_id;  // UUID
  std::string datacenter = "dc1";
  std::map<std::string, std::string> node_meta;  // "consul-network-segment": "" is added
  std::filesystem::path data_dir;                // empty (-dev): nothing is kept
  std::string advertise_address;                 // literal; the node's address
  std::string advertise_address_wan;             // empty: the same

  bool server = false;
  std::uint16_t server_port = 8300;  // of the `consul` service, on a server
  std::uint16_t serf_port = 8301;    // shown in /v1/agent/self

  bool enable_script_checks = false;                         // from the API and from files
  bool enable_local_script_checks = false;                   // from files only
  Duration check_update_interval = std::chrono::minutes(5);  // of changed output; 0: at once
  std::size_t check_output_max_size = 4096;
  bool discard_check_output = false;
  Duration rpc_hold_timeout = std::chrono::seconds(7);  // requests wait so long for a leader
  Duration watch_idle_expiry = std::chrono::minutes(10);

  io::RouterOptions router;              // headers, blocked paths of the HTTP API
  std::string version = "1.10.11";       // shown; clients cut it at ':'
  std::string debug_config_json = "{}";  // "DebugConfig" of /v1/agent/self
};

// What the configuration files define. They win over persisted definitions with the same id.
struct Definitions {
  std::vector<ServiceSpec> services;
  std::vector<CheckSpec> checks;
};

struct AgentParts {
  io::Runtime* runtime = nullptr;          // io threads of the process
  Membership* membership = nullptr;        // null (tests): a list of this node alone
  std::shared_ptr<ChannelSource> servers;  // never null
  // PUT /v1/agent/reload and SIGHUP: reads the files again, applies what else changed, and gives
  // the definitions. Runs on an agent thread. Empty: reload only answers.
  std::function<Result<Definitions>()> reload;
  // PUT /v1/agent/leave: leave the cluster and end the process. Called after the answer went out.
  std::function<void()> leave;
  // Further objects for /v1/agent/self ("Stats" of Raft on a server): appended as given.
  std::function<std::string()> stats_json;
};

class Agent {
 public:
  // Fails on a definition that is not valid (the message names it) or an unusable data_dir.
  static Result<std::unique_ptr<Agent>> open(AgentOptions options, AgentParts parts,
                                             Definitions definitions);
  ~Agent();
  void start();
  void stop();

  // True for /v1/agent/* and /v1/event/*: answered here, on servers too.
  static bool owns(std::string_view path);
  // Answers own paths; forwards any other to a server. A server process gives other paths to its
  // own server::Api instead.
  void handle(std::shared_ptr<io::HttpExchange> exchange);

  // GET of a path that a server answers; done from any thread, after 5 s at the latest.
  void ask_server(std::string path, std::string query,
                  std::function<void(Result<io::HttpResponse>)> done);

  // Services and checks that came from files and are gone are removed, changed ones replaced, the
  // others keep their status. Blocks until applied.
  Result<void> reload(Definitions definitions);

  // Removes all of this node's services and checks from the catalog by removing the node (an
  // orderly leave of an agent machine). `done` runs after at most 3 s.
  void deregister_node(std::function<void()> done);

  WatchClient& watch();

  struct SyncStatus {
    bool node_in_sync = false;
    std::size_t services = 0, checks = 0;
    std::size_t out_of_sync = 0;  // items
    std::size_t blocked = 0;      // refused by the servers' rules
    std::uint64_t pushes = 0, full_compares = 0, failures = 0;
  };
  SyncStatus sync_status() const;

 private:
  Agent();
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fyr::agent
