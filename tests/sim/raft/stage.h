// A simulated cluster under the orders of a scenario: nothing goes wrong by itself, and every
// expectation that is not met ends the scenario with its sentence.
//
// Nodes are known by their place, from 0 on. Times are true time.
#pragma once

#include <memory>
#include <string>

#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {

// A call somebody made, and what became of it.
struct Call {
  enum class State { Open, Done, Failed, Unknown };
  State state = State::Open;
  Index index{};
  ErrorCode error = ErrorCode::Internal;
  bool open() const { return state == State::Open; }
  bool done() const { return state == State::Done; }
};
using SharedCall = std::shared_ptr<Call>;

class Stage {
 public:
  using Adjust = std::function<void(Knobs&)>;
  explicit Stage(std::size_t voters, const Adjust& adjust = {}, std::uint64_t seed = 1);

  World& world() { return *world_; }
  Node& node(std::size_t place) { return world_->node(place); }
  CoreView view(std::size_t place) { return node(place).core().view(); }
  std::size_t size() const { return world_->nodes(); }
  Nanos now() const { return world_->now(); }
  Nanos e() const { return world_->knobs().core.election_min.count(); }

  void run(Nanos time) { world_->run_until(world_->now() + time); }
  void until(const std::string& what, const std::function<bool()>& holds, Nanos within);
  static void expect(bool holds, const std::string& what);

  // Waits for a leader whose term is above `above`.
  std::size_t leader(Nanos within = 5 * kSecond, Term above = {});
  std::size_t follower(std::size_t which = 0);  // of those that do not lead, by place
  Term term() const { return world_->oracle().highest_term(); }
  std::uint64_t elections() const { return world_->oracle().elections(); }

  SharedCall write(std::size_t node);
  SharedCall read(std::size_t node, ReadMode mode);
  SharedCall transfer(std::size_t node, std::size_t to);
  SharedCall change(std::size_t node, ConfigChange change);
  // Writes at whoever leads, waiting for each.
  void write_some(std::size_t count = 1);
  // Everybody has applied all that the leader has.
  void even(Nanos within = 10 * kSecond);

  void cut(std::size_t a, std::size_t b);
  void cut_one_way(std::size_t from, std::size_t to) { world_->set_cut(from, to, true); }
  void isolate(std::size_t node);
  void heal() { world_->heal_network(); }
  void kill(std::size_t node) { world_->kill(node, false, kNever); }
  void power_cut(std::size_t node) { world_->kill(node, true, kNever); }
  void start(std::size_t node) { this->node(node).start(); }

  template <class Body>
  void hold(const std::function<bool(const Message&, const Body&)>& which) {
    treat<Body>(which, World::Treat::Hold);
  }
  template <class Body>
  void drop(const std::function<bool(const Message&, const Body&)>& which) {
    treat<Body>(which, World::Treat::Drop);
  }
  void pass_all() { world_->set_filter({}); }

 private:
  template <class Body>
  void treat(const std::function<bool(const Message&, const Body&)>& which, World::Treat how) {
    world_->set_filter([which, how](const Message& message) {
      const auto* body = std::get_if<Body>(&message.body);
      return body != nullptr && which(message, *body) ? how : World::Treat::Pass;
    });
  }

  std::unique_ptr<World> world_;
  std::uint64_t sequence_ = 0;
};

// A scenario of raft-verification.md C, by its name there.
struct Scenario {
  const char* name;
  void (*play)();
};

}  // namespace fyr::raft::sim
