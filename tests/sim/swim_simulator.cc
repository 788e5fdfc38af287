#include "tests/sim/swim_simulator.h"

#include <algorithm>

namespace fyr::agent {

using std::chrono::milliseconds;

namespace {
constexpr Duration kConnectTimeout = std::chrono::seconds(1);

Address address_of(int i) {
  return {*IpAddress::parse("10.0.0.1"), static_cast<std::uint16_t>(10000 + i)};
}
}  // namespace

SwimSimulator::SwimSimulator(std::uint64_t seed, SimNetwork network)
    : random_(seed), network_(network) {}

void SwimSimulator::start(int i) {
  CoreOptions options;
  options.name = name(i);
  options.address = address_of(i);
  options.tags = {{"id", "id-" + std::to_string(i)}};
  Node node;
  node.life = ++lives_[i];
  node.core = std::make_unique<Core>(options, Random(random_.next()), now_);
  nodes_.insert_or_assign(i, std::move(node));
  if (i == 0) {
    step(i, TimeElapsed{});
  } else {
    step(i, KeepJoiningCommand{{{"10.0.0.1", 10000}}});
  }
}

void SwimSimulator::kill(int i) {
  nodes_.erase(i);
}

void SwimSimulator::pause(int i, Duration duration) {
  nodes_.at(i).paused_until = now_ + duration;
}

void SwimSimulator::leave(int i) {
  step(i, LeaveCommand{});
}

void SwimSimulator::command(int i, const Input& input) {
  step(i, input);
}

void SwimSimulator::at(Instant when, Event event) {
  events_.emplace(when, std::move(event));
}

void SwimSimulator::run(Duration duration) {
  const Instant end = now_ + duration;
  while (!events_.empty() && events_.begin()->first <= end) {
    auto first = events_.extract(events_.begin());
    now_ = std::max(now_, first.key());
    dispatch(std::move(first.mapped()));
  }
  now_ = end;
}

bool SwimSimulator::connected(int a, int b) const {
  if (groups_.empty()) return true;
  return std::any_of(groups_.begin(), groups_.end(),
                     [&](const auto& group) { return group.count(a) && group.count(b); });
}

void SwimSimulator::dispatch(Event event) {
  const auto it = nodes_.find(event.to);
  if (it == nodes_.end() || it->second.life != event.life) return;
  Node& node = it->second;
  if (node.paused_until && now_ < *node.paused_until) {
    const Instant resume = *node.paused_until;
    return at(resume, std::move(event));
  }
  node.paused_until.reset();
  switch (event.kind) {
    case Kind::Wake:
      if (node.wake_at && now_ >= *node.wake_at) {
        node.wake_at.reset();
        step(event.to, TimeElapsed{});
      }
      return;
    case Kind::Packet:
      return step(event.to, PacketArrived{address_of(event.from), event.bytes});
    case Kind::Answer:
      return step(event.to, StreamAnswer{event.call, event.bytes});
    case Kind::Failure:
      return step(event.to, StreamFailed{event.call, fail(ErrorCode::Unavailable, "no answer")});
    case Kind::Request:
      break;
  }
  Output out = node.core->step(now_, StreamRequest{event.bytes});
  check(*node.core);
  const auto caller = nodes_.find(event.from);
  if (out.reply && caller != nodes_.end() && connected(event.from, event.to)) {
    at(now_ + latency(),
       {Kind::Answer, event.from, caller->second.life, event.to, event.call, *out.reply});
  }
  perform(event.to, std::move(out));
}

// The check looks at every member: in large clusters only some steps are checked.
void SwimSimulator::check(const Core& core) {
  constexpr std::size_t kSmall = 16, kOften = 32;
  if (nodes_.size() <= kSmall || ++steps_ % kOften == 0) core.check_invariants();
}

void SwimSimulator::step(int i, const Input& input) {
  Node& node = nodes_.at(i);
  Output out = node.core->step(now_, input);
  check(*node.core);
  perform(i, std::move(out));
}

void SwimSimulator::perform(int i, Output out) {
  const int life = nodes_.at(i).life;
  for (auto& packet : out.packets) {
    const int to = index_of(packet.to);
    ++packets_;
    bytes_ += packet.bytes.size() + 28;
    for (const char c : packet.bytes) {
      transcript_ = (transcript_ ^ static_cast<std::uint8_t>(c)) * 1099511628211ull;
    }
    transcript_ = (transcript_ ^ static_cast<std::uint64_t>(now_.time_since_epoch().count())) *
                  1099511628211ull;
    const int copies = random_.chance(network_.duplication) ? 2 : 1;
    for (int c = 0; c < copies; ++c) {
      const bool lost = random_.chance(network_.loss);
      if (lost || !connected(i, to) || blocked_udp_.count({i, to}) || !up(to)) continue;
      at(now_ + latency(), {Kind::Packet, to, nodes_.at(to).life, i, 0, packet.bytes});
    }
  }
  for (auto& call : out.calls) {
    const int to = call.to.port - 10000;
    // Somebody refuses or nobody answers; if the answer gets lost, the timeout ends the call.
    at(now_ + kConnectTimeout, {Kind::Failure, i, life, to, call.id, ""});
    if (!connected(i, to) || !up(to)) continue;
    at(now_ + latency() * 2, {Kind::Request, to, nodes_.at(to).life, i, call.id, call.bytes});
  }
  for (const Change& change : out.changes) {
    if (change.member.state != MemberState::Failed) continue;
    const int who = std::stoi(change.member.name.substr(1));
    deaths_.push_back({now_, i, who, !up(who)});
  }
  if (out.left) return kill(i);
  arm(i);
}

void SwimSimulator::arm(int i) {
  Node& node = nodes_.at(i);
  const Instant deadline = std::max(now_, *node.core->next_deadline());
  if (node.wake_at && *node.wake_at <= deadline) return;
  node.wake_at = deadline;
  at(deadline, {Kind::Wake, i, node.life, i, 0, ""});
}

std::optional<MemberState> SwimSimulator::view(int i, int other) {
  const Member* member = core(i).find(name(other));
  if (!member) return std::nullopt;
  return member->state;
}

bool SwimSimulator::all_see(int other, MemberState state) {
  return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    return entry.first == other || view(entry.first, other) == state;
  });
}

bool SwimSimulator::views_equal() {
  if (nodes_.empty()) return true;
  const auto describe = [](const Core& core) {
    std::string text;
    for (const Member& m : core.members()) {
      text += m.name + " " + m.address + " " + std::to_string(m.incarnation) + " " +
              std::string(to_string(m.state)) + "\n";
    }
    return text;
  };
  const std::string first = describe(*nodes_.begin()->second.core);
  return std::all_of(nodes_.begin(), nodes_.end(),
                     [&](const auto& entry) { return describe(*entry.second.core) == first; });
}

int SwimSimulator::false_deaths() const {
  return static_cast<int>(
      std::count_if(deaths_.begin(), deaths_.end(), [](const Death& d) { return !d.truth; }));
}

}  // namespace fyr::agent
