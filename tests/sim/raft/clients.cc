#include "tests/sim/raft/clients.h"

#include <numeric>

#include "base/check.h"
#include "tests/sim/raft/world.h"

namespace fyr::raft::sim {
namespace {
constexpr Nanos kPatience = 5 * kSecond;
constexpr std::uint64_t kKeys = 12;
}  // namespace

Clients::Clients(World& world, std::size_t count, std::uint64_t seed)
    : world_(world), open_(world.nodes()) {
  for (std::size_t i = 0; i < count; ++i) clients_.emplace_back(mix(seed, i));
}

void Clients::begin() {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    world_.schedule({.at = world_.now() + static_cast<Nanos>(i) * kMilli,
                     .kind = EventKind::Client,
                     .argument = i});
  }
}

void Clients::wake(std::size_t number) {
  if (stopped_) return;
  Client& client = clients_[number];
  const Nanos now = world_.now();
  if (client.waiting && client.deadline <= now) {
    if (client.attempt != 0) {
      world_.history().write_unknown(client.attempt);
      client.repeat = client.random.chance(0.7);
    }
    client.waiting = false;
  }
  if (!client.waiting) call(number);
  const Nanos think =
      static_cast<Nanos>(client.random.unit() * 2.0 * static_cast<double>(world_.knobs().think));
  world_.schedule({.at = now + think + kMicro, .kind = EventKind::Client, .argument = number});
}

void Clients::call(std::size_t number) {
  Client& client = clients_[number];
  const double dice = client.random.unit();
  client.target = client.random.chance(0.85) ? hint_ : client.random.below(world_.nodes());
  if (guided_) client.target = world_.oracle().leader().value_or(client.target);
  Node& node = world_.node(client.target);
  if (!node.alive() || node.paused()) {
    hint_ = client.random.below(world_.nodes());
    return;
  }
  if (world_.now() < rest_until_ && (client.repeat || dice >= world_.knobs().reads)) return;
  client.waiting = true;
  client.deadline = world_.now() + kPatience;
  ++client.call;
  if (client.repeat || dice >= world_.knobs().reads) {
    write(number);
  } else {
    read(number);
  }
}

void Clients::write(std::size_t number) {
  Client& client = clients_[number];
  const std::uint64_t call = client.call;
  const std::uint64_t attempt = world_.history().begin_write();
  client.attempt = attempt;
  if (!client.repeat) {
    ++client.sequence;
    client.command = {
        .sequence = client.sequence,
        .value = client.random.next(),
        .expected = client.random.below(4) == 0 ? 0 : world_.oracle().committed().value,
        .client = static_cast<std::uint32_t>(number),
        .key = static_cast<std::uint16_t>(client.random.below(kKeys)),
        .verb = static_cast<Verb>(client.random.below(3))};
  }
  client.repeat = false;
  client.command.attempt = attempt;
  std::size_t padding = 0;
  if (world_.knobs().padding > 0 && client.random.chance(0.2)) {
    padding = client.random.below(world_.knobs().padding);
  }
  const std::size_t target = client.target;
  ++open_[target];
  world_.node(target).propose(
      encode(client.command, padding),
      [this, number, call, attempt, target](Result<raft::Node::Applied> result) {
        --open_[target];
        written(number, call, attempt, result);
      });
}

void Clients::burst(std::size_t target, std::uint64_t writes) {
  if (!world_.node(target).alive() || world_.node(target).paused()) return;
  for (std::uint64_t i = 0; i < writes; ++i) {
    const std::uint64_t attempt = world_.history().begin_write();
    const Command command{.attempt = attempt,
                          .sequence = ++burst_sequence_,
                          .value = attempt,
                          .client = static_cast<std::uint32_t>(clients_.size()),
                          .verb = Verb::Append};
    ++open_[target];
    world_.node(target).propose(
        encode(command, 0), [this, attempt, target](Result<raft::Node::Applied> result) {
          --open_[target];
          History& history = world_.history();
          if (result) return history.write_succeeded(attempt, result->index);
          result.error().code == ErrorCode::CommitUnknown ? history.write_unknown(attempt)
                                                          : history.write_failed(attempt);
        });
  }
}

void Clients::written(std::size_t number, std::uint64_t call, std::uint64_t attempt,
                      Result<raft::Node::Applied>& result) {
  Client& client = clients_[number];
  if (result) {
    const auto& outcome = *static_cast<const Outcome*>(result->outcome.get());
    if (outcome.attempt != attempt) broken("I15", "the outcome of another command");
    if (outcome.repeated) world_.marks().hit(Mark::RepeatedCommand);
    world_.history().write_succeeded(attempt, result->index);
    if (call == client.call) hint_ = client.target;
  } else if (result.error().code == ErrorCode::CommitUnknown) {
    world_.history().write_unknown(attempt);
    if (call == client.call) client.repeat = client.random.chance(0.7);
  } else {
    world_.history().write_failed(attempt);
  }
  answered(number, call, result.has_value());
}

void Clients::read(std::size_t number) {
  Client& client = clients_[number];
  client.attempt = 0;
  const std::uint64_t call = client.call;
  const std::size_t target = client.target;
  const Index floor = world_.history().floor();
  const ReadMode mode = client.random.chance(0.6) ? ReadMode::Default : ReadMode::Consistent;
  if (mode == ReadMode::Default) {
    if (const auto index = world_.node(target).read_by_lease()) {
      world_.history().read_succeeded(floor, *index, *index);
      world_.marks().hit(Mark::ReadByLease);
      answered(number, call, true);
      return;
    }
  }
  ++open_[target];
  world_.node(target).read(mode, [this, number, call, floor, target](Result<Index> result) {
    --open_[target];
    if (result) {
      Node& node = world_.node(target);
      world_.history().read_succeeded(floor, *result, node.applied());
      world_.marks().hit(node.soft().role == Role::Leader ? Mark::ReadByRound
                                                          : Mark::ReadAtFollower);
    } else {
      world_.marks().hit(Mark::ReadRefused);
    }
    answered(number, call, result.has_value());
  });
}

void Clients::answered(std::size_t number, std::uint64_t call, bool ok) {
  Client& client = clients_[number];
  if (call != client.call) return;
  client.waiting = false;
  if (ok) return;
  const NodeId leader = world_.node(client.target).soft().leader;
  if (leader != NodeId{} && leader.value <= world_.nodes()) {
    hint_ = leader.value - 1;
  } else {
    hint_ = client.random.below(world_.nodes());
  }
}

std::size_t Clients::open_calls() const {
  return std::accumulate(open_.begin(), open_.end(), std::size_t{0});
}

void Clients::node_died(std::size_t node) {
  open_[node] = 0;
  for (Client& client : clients_) {
    if (!client.waiting || client.target != node) continue;
    client.waiting = false;
    if (client.attempt == 0) continue;
    world_.history().write_unknown(client.attempt);
    client.repeat = client.random.chance(0.7);
  }
}

}  // namespace fyr::raft::sim
