// Keeps alias checks at the state of what they stand for: local targets follow every change of
// this agent's checks at once, targets on other nodes are asked of a server every few seconds.
//
// Threading: on the agent's thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/checks/alias.h"
#include "agent/checks/runner.h"
#include "agent/local/local_state.h"
#include "agent/local/sync.h"
#include "base/io/runtime.h"

namespace fyr::agent {

class AliasFollower {
 public:
  AliasFollower(io::Runtime& runtime, int thread, const LocalState& state, CheckRunner& runner,
                SyncTransport& transport);
  void start();
  // Something of this agent's has changed; looks at it after the current change is complete.
  void local_changed();

 private:
  struct Remote {
    Duration wait{};  // grows while no server answers
    Instant next{};
    bool asking = false;
  };
  void look();
  void follow(const LocalCheck& check);
  void ask(const std::string& id, const AliasTarget& target, Remote& remote);
  void answered(const std::string& id, const AliasTarget& target,
                const Result<pb::NodeStateResponse>& answer);
  void show(const LocalCheck& check, CheckPublished now);
  void arm();

  io::Runtime& runtime_;
  const int thread_;
  const LocalState& state_;
  CheckRunner& runner_;
  SyncTransport& transport_;
  std::map<std::string, Remote> remotes_;  // by check id
  bool posted_ = false;
  io::Timer timer_;
  std::shared_ptr<AliasFollower*> alive_ = std::make_shared<AliasFollower*>(this);
};

}  // namespace fyr::agent
