// The replicated state of the simulation: registers with put, compare-and-set and append, and a
// table that answers a repeated command with its first result (sessions).
//
// Effects and the applied index are one value, so they are durable together or not at all (D6).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "raft/node.h"
#include "tests/sim/raft/basics.h"

namespace fyr::raft::sim {

enum class Verb : std::uint8_t { Put, CompareAndSet, Append };

// What a log entry says, as bytes at the front of its data.
struct Command {
  std::uint64_t attempt = 0;   // unique for each time a client sent something
  std::uint64_t sequence = 0;  // of the client: equal for repetitions
  std::uint64_t value = 0;
  std::uint64_t expected = 0;  // index at which the key changed last
  std::uint32_t client = 0;
  std::uint16_t key = 0;
  Verb verb = Verb::Put;
  std::uint8_t unused = 0;
};
std::shared_ptr<const std::string> encode(const Command& command, std::size_t padding);
Command decode(const std::string& data);

struct Outcome {
  std::uint64_t attempt = 0;
  Index index{};  // where the command took effect first
  bool stored = false;
  bool repeated = false;
};

struct MachineState {
  struct Register {
    std::uint64_t value = 0;
    Index changed{};
  };
  struct Session {
    std::uint64_t sequence = 0;
    Index index{};
    bool stored = false;
  };
  Index applied{};
  std::uint64_t digest = 0;  // of everything applied so far
  std::vector<Register> registers;
  std::vector<Session> sessions;

  Outcome apply(Index index, const Command& command);
};

// Where the state survives a power cut; the node's disk.
class StateStore {
 public:
  virtual ~StateStore() = default;
  virtual const MachineState& durable_state() const = 0;
  virtual void store_state(const MachineState& state) = 0;
};

class Machine final : public StateMachine {
 public:
  // Told of every entry after it was applied.
  using Watcher = std::function<void(const Entry&, const Outcome&, const MachineState&)>;

  Machine(StateStore& store, Watcher watcher)
      : store_(store),
        watcher_(std::move(watcher)),
        state_(store.durable_state()),
        durable_(state_.applied) {}

  const MachineState& state() const { return state_; }
  Index applied() const override { return state_.applied; }
  void apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) override;
  Index durable_applied() const override { return durable_; }
  void flush() override;
  void activate() override;

 private:
  StateStore& store_;
  Watcher watcher_;
  MachineState state_;
  Index durable_;  // of this generation of the state
};

}  // namespace fyr::raft::sim
