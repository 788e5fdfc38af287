// A whole simulated cluster made from one seed: time, nodes, network, clients, faults and the
// oracle that watches them. Single-threaded; equal options give equal runs, event for event.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/raft/clients.h"
#include "tests/sim/raft/events.h"
#include "tests/sim/raft/faults.h"
#include "tests/sim/raft/knobs.h"
#include "tests/sim/raft/network.h"
#include "tests/sim/raft/node.h"
#include "tests/sim/raft/oracle.h"

namespace fyr::raft::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  std::uint32_t features = kAllFeatures;  // which may be on
  std::set<std::uint64_t> suppressed;     // decisions that are left out
  bool black = false;
  std::FILE* trace = nullptr;  // one line an event
  std::uint64_t trace_from = 0;
  std::optional<Knobs> knobs;  // instead of those of the seed
  bool faults = true;
  bool clients = true;
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();

  // Phase one: faults and load for this many events. Throws Broken.
  void run(std::uint64_t events);
  // Phase two: no more faults; everything must come to a good end (liveness.cc).
  void settle();
  // Without counting: until this moment, or until `done` holds, checked after each event.
  bool run_until(Nanos until, const std::function<bool()>& done = {});

  Nanos now() const { return now_; }
  std::uint64_t events() const { return events_; }
  std::uint64_t hash() const { return hash_; }
  const Knobs& knobs() const { return knobs_; }
  std::size_t nodes() const { return nodes_.size(); }
  Node& node(std::size_t place) { return *nodes_[place]; }
  Network& network() { return network_; }
  Oracle& oracle() { return oracle_; }
  History& history() { return history_; }
  Marks& marks() { return marks_; }
  Clients& clients() { return *clients_; }
  Faults& faults() { return *faults_; }
  std::string states() const;  // one line a node

  void schedule(Event event) { queue_.push(event); }
  void at(Nanos when, std::function<void()> call);
  void send(std::size_t from, Message message);
  // Cuts, and tells both ends after a while; heals likewise.
  void set_cut(std::size_t from, std::size_t to, bool cut);
  void heal_network();
  void kill(std::size_t node, bool power, Nanos restart_after);
  void pause(std::size_t node, Nanos how_long);
  void resume(std::size_t node);
  // For scenarios: what becomes of each message. Held ones arrive after release().
  enum class Treat { Pass, Drop, Hold };
  void set_filter(std::function<Treat(const Message&)> filter) { filter_ = std::move(filter); }
  void release();
  // Whether what is committed survives one disk that loses it.
  bool bears_a_loss() const;
  std::size_t held() const { return held_.size(); }
  // Something that a trace must show and the hash must hold.
  void note(std::size_t node, std::uint64_t fact) { hash_ = mix(hash_, fact * 64 + node); }
  bool tracing() const { return options_.trace != nullptr && events_ >= options_.trace_from; }
  void trace(const std::string& line);

 private:
  void make_nodes();
  void dispatch(const Event& event);
  void deliver(const Event& event);
  void step_one();
  std::uint64_t keep(Message message);
  void heal_everything();
  void check_core(Random& random);
  void freeze_outsider(std::size_t place, std::uint64_t how);
  Nanos backlog_time() const;
  bool suffice(const std::vector<bool>& outside) const;
  void check_progress();

  WorldOptions options_;
  const Knobs knobs_;
  Random random_;
  EventQueue queue_;
  Nanos now_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t hash_ = 0;
  Marks marks_;
  History history_;
  Oracle oracle_;
  Network network_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Faults> faults_;
  std::vector<std::vector<Event>> postponed_;  // by node, while it is paused
  std::vector<Message> messages_;
  std::vector<std::uint64_t> free_messages_;
  std::vector<std::function<void()>> calls_;
  std::function<Treat(const Message&)> filter_;
  std::vector<Message> held_;
};

std::string describe(const Message& message);
std::string describe(const Event& event);

}  // namespace fyr::raft::sim
