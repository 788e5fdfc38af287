#include "tests/sim/raft/machine.h"

#include <cstring>

#include "base/check.h"

namespace fyr::raft::sim {

std::shared_ptr<const std::string> encode(const Command& command, std::size_t padding) {
  std::string data(sizeof(Command) + padding, '.');
  std::memcpy(data.data(), &command, sizeof(Command));
  return std::make_shared<const std::string>(std::move(data));
}

Command decode(const std::string& data) {
  CHECK(data.size() >= sizeof(Command));
  Command command;
  std::memcpy(&command, data.data(), sizeof(Command));
  return command;
}

Outcome MachineState::apply(Index index, const Command& command) {
  if (index <= applied) broken("I8", "index " + std::to_string(index.value) + " applied twice");
  applied = index;
  if (sessions.size() <= command.client) sessions.resize(command.client + 1);
  if (registers.size() <= command.key) registers.resize(command.key + 1u);
  Session& session = sessions[command.client];
  Outcome out{.attempt = command.attempt};
  if (command.sequence <= session.sequence) {
    out.repeated = true;
    out.index = command.sequence == session.sequence ? session.index : Index{};
    out.stored = command.sequence == session.sequence && session.stored;
  } else {
    Register& at = registers[command.key];
    const bool fits = command.verb != Verb::CompareAndSet || at.changed.value == command.expected;
    if (fits) {
      at.value = command.verb == Verb::Append ? mix(at.value, command.value) : command.value;
      at.changed = index;
    }
    session = {command.sequence, index, fits};
    out.index = index;
    out.stored = fits;
  }
  digest = mix(mix(digest, index.value), mix(command.attempt, out.stored ? 1 : 0));
  return out;
}

void Machine::flush() {
  store_.store_state(state_);
  durable_ = state_.applied;
}

void Machine::activate() {
  state_ = store_.durable_state();
  durable_ = state_.applied;
}

void Machine::apply(std::span<const Entry> entries, std::vector<ApplyOutcome>& outcomes) {
  for (const Entry& entry : entries) {
    const Outcome outcome = state_.apply(entry.index, decode(*entry.data));
    watcher_(entry, outcome, state_);
    outcomes.push_back(std::make_shared<const Outcome>(outcome));
  }
}

}  // namespace fyr::raft::sim
