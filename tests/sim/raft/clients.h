// Clients: each sends one operation after the other to some node, follows hints about the leader,
// gives up after a while, repeats what may not have happened with the same sequence.
#pragma once

#include <vector>

#include "base/random.h"
#include "raft/driver.h"
#include "tests/sim/raft/basics.h"
#include "tests/sim/raft/machine.h"

namespace fyr::raft::sim {

class World;

class Clients {
 public:
  Clients(World& world, std::size_t count, std::uint64_t seed);

  void begin();                   // everybody's first event
  void wake(std::size_t client);  // its event came
  // Whoever waits for this node sees its connection break.
  void node_died(std::size_t node);
  void stop() { stopped_ = true; }
  // Only reads until then.
  void rest(Nanos until) { rest_until_ = until; }
  // So many writes to one node at once, whose outcomes nobody waits for.
  void burst(std::size_t node, std::uint64_t writes);
  // From now on they know who leads, as if other servers forwarded what they send.
  void guide() { guided_ = true; }
  // Calls which nobody has answered yet, of nodes that live.
  std::size_t open_calls() const;

 private:
  struct Client {
    explicit Client(std::uint64_t seed) : random(seed) {}
    Random random;
    std::uint64_t sequence = 0;
    std::uint64_t call = 0;  // counts calls; an answer to an earlier one is late
    bool waiting = false;
    std::size_t target = 0;
    Nanos deadline = 0;
    std::uint64_t attempt = 0;  // 0: the call is a read
    bool repeat = false;
    Command command;
  };

  void call(std::size_t number);
  void write(std::size_t number);
  void read(std::size_t number);
  void written(std::size_t number, std::uint64_t call, std::uint64_t attempt,
               Result<raft::Node::Applied>& result);
  void answered(std::size_t number, std::uint64_t call, bool ok);

  World& world_;
  std::vector<Client> clients_;
  std::size_t hint_ = 0;           // where the leader was last
  std::vector<std::size_t> open_;  // by node
  Nanos rest_until_ = 0;
  std::uint64_t burst_sequence_ = 0;
  bool stopped_ = false;
  bool guided_ = false;
};

}  // namespace fyr::raft::sim
