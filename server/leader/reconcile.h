// Gossip into the catalog: what the leader writes when a member joined, failed or left.
//
// reconcile_member is pure. Only what differs from the catalog gives a command, so
// that repeated news write nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/guarded.h"
#include "command.pb.h"
#include "server/state/store.h"

namespace fyr::server {

enum class Liveness { Alive, Failed, Left };

struct MemberFact {
  std::string name;
  std::string id;       // node id (UUID), may be empty
  std::string address;  // literal
  Liveness liveness = Liveness::Alive;
  bool server = false;  // then the service "consul" is registered for it
  std::uint16_t server_port = 0;
  std::string version;  // of the program, shown in the service's metadata
  std::string datacenter = "dc1";
};

// Nothing to write: nullopt. A failed member without a catalog entry stays without one.
std::optional<pb::Command> reconcile_member(const StateStore& store, const MemberFact& member);

// Proposes what reconcile_member finds, one command at a time for each member: a newer fact is
// looked at again when the write before it is done, so that the last one always wins.
//
// Threading: any thread.
class Reconciler {
 public:
  using Propose =
      std::function<void(pb::Command command, std::function<void(Result<ApplyResult>)> done)>;
  Reconciler(const SharedGuarded<StateStore>& state, Propose propose)
      : state_(state), propose_(std::move(propose)) {}
  void update(const MemberFact& member);

 private:
  struct Pending {
    MemberFact fact;
    bool newer = false;  // than what is being written
  };
  void propose_next(const std::string& name);
  void written(const std::string& name, const Result<ApplyResult>& result);

  const SharedGuarded<StateStore>& state_;
  const Propose propose_;
  std::mutex mutex_;
  std::map<std::string, Pending> pending_;  // members with a write on its way
};

}  // namespace fyr::server
