#include "tests/sim/raft/stage.h"

#include <algorithm>
#include <cstdlib>

namespace fyr::raft::sim {
namespace {

Knobs calm_knobs(std::size_t voters, const Stage::Adjust& adjust) {
  Knobs out;
  out.voters = voters;
  out.clients = 0;
  out.delay_in_site = kMilli / 2;
  out.delay_between = 15 * kMilli;
  out.sync_time = kMilli;
  out.write_time = 50 * kMicro;
  if (adjust) adjust(out);
  return out;
}

template <class T>
std::optional<Error> reason(const Result<T>& result) {
  return result ? std::nullopt : std::optional<Error>(result.error());
}

SharedCall settle_with(const SharedCall& call, const std::optional<Error>& error, Index index) {
  if (!error) {
    call->state = Call::State::Done;
    call->index = index;
  } else {
    const bool unknown = error->code == ErrorCode::CommitUnknown;
    call->state = unknown ? Call::State::Unknown : Call::State::Failed;
    call->error = error->code;
  }
  return call;
}

}  // namespace

Stage::Stage(std::size_t voters, const Adjust& adjust, std::uint64_t seed) {
  WorldOptions options;
  options.seed = seed;
  options.knobs = calm_knobs(voters, adjust);
  options.faults = false;
  options.clients = false;
  // For whoever looks into a scenario that fails.
  if (const char* path = std::getenv("RAFT_SCENARIO_TRACE")) options.trace = std::fopen(path, "w");
  world_ = std::make_unique<World>(std::move(options));
  until(
      "everybody has started",
      [this] {
        for (std::size_t i = 0; i < size(); ++i) {
          if (!node(i).alive()) return false;
        }
        return true;
      },
      kSecond);
}

void Stage::until(const std::string& what, const std::function<bool()>& holds, Nanos within) {
  if (holds()) return;
  if (world_->run_until(world_->now() + within, holds)) return;
  broken("scenario", "never: " + what + "\n" + world_->states());
}

void Stage::expect(bool holds, const std::string& what) {
  if (!holds) broken("scenario", "not so: " + what);
}

std::size_t Stage::leader(Nanos within, Term above) {
  until(
      "somebody leads",
      [&] { return world_->oracle().leader() && world_->oracle().highest_term() > above; }, within);
  return *world_->oracle().leader();
}

std::size_t Stage::follower(std::size_t which) {
  const std::size_t leads = leader();
  for (std::size_t i = 0; i < size(); ++i) {
    if (i != leads && which-- == 0) return i;
  }
  broken("scenario", "no such follower");
}

SharedCall Stage::write(std::size_t place) {
  auto call = std::make_shared<Call>();
  Command command;
  command.attempt = world_->history().begin_write();
  command.sequence = ++sequence_;
  command.value = sequence_;
  History& history = world_->history();
  node(place).propose(encode(command, 0), [call, &history, attempt = command.attempt](
                                              Result<raft::Node::Applied> result) {
    settle_with(call, reason(result), result ? result->index : Index{});
    if (call->done()) history.write_succeeded(attempt, call->index);
    if (call->state == Call::State::Failed) history.write_failed(attempt);
    if (call->state == Call::State::Unknown) history.write_unknown(attempt);
  });
  return call;
}

SharedCall Stage::read(std::size_t place, ReadMode mode) {
  auto call = std::make_shared<Call>();
  History& history = world_->history();
  const Index floor = history.floor();
  if (mode == ReadMode::Default) {
    if (const auto index = node(place).read_by_lease()) {
      history.read_succeeded(floor, *index, *index);
      return settle_with(call, std::nullopt, *index);
    }
  }
  node(place).read(mode, [this, call, floor, place, &history](Result<Index> result) {
    settle_with(call, reason(result), result ? *result : Index{});
    if (result) history.read_succeeded(floor, *result, node(place).applied());
  });
  return call;
}

SharedCall Stage::transfer(std::size_t place, std::size_t to) {
  auto call = std::make_shared<Call>();
  node(place).transfer(NodeId(to + 1),
                       [call](Result<void> result) { settle_with(call, reason(result), Index{}); });
  return call;
}

SharedCall Stage::change(std::size_t place, ConfigChange change) {
  auto call = std::make_shared<Call>();
  node(place).change(std::move(change),
                     [call](Result<void> result) { settle_with(call, reason(result), Index{}); });
  return call;
}

void Stage::write_some(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const SharedCall call = write(leader());
    until(
        "a write is answered", [&] { return !call->open(); }, 10 * kSecond);
    expect(call->done(), "a write at the leader succeeds");
  }
}

void Stage::even(Nanos within) {
  const auto holds = [this] {
    const auto leads = world_->oracle().leader();
    if (!leads) return false;
    const Index last = view(*leads).last;
    const Configuration& members = node(*leads).core().configuration();
    return std::ranges::all_of(members.members, [&](const Member& member) {
      const Node& at = world_->node(member.id.value - 1);
      return !at.alive() || at.applied() == last;
    });
  };
  until("everybody is even with the leader", holds, within);
}

void Stage::cut(std::size_t a, std::size_t b) {
  world_->set_cut(a, b, true);
  world_->set_cut(b, a, true);
}

void Stage::isolate(std::size_t place) {
  for (std::size_t i = 0; i < size(); ++i) {
    if (i != place) cut(i, place);
  }
}

}  // namespace fyr::raft::sim
