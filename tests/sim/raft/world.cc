#include "tests/sim/raft/world.h"

#include <algorithm>

#include "base/check.h"

namespace fyr::raft::sim {
namespace {

std::vector<std::size_t> sites(const Knobs& knobs) {
  std::vector<std::size_t> out;
  const std::size_t count = knobs.voters + knobs.learners + knobs.spares;
  for (std::size_t i = 0; i < count; ++i) out.push_back(i % knobs.sites);
  return out;
}

Member member(std::size_t place, const Knobs& knobs) {
  Member out;
  out.id = NodeId(place + 1);
  out.name = "n" + std::to_string(place + 1);
  out.address = out.name + ":1";
  out.site = "site" + std::to_string(place % knobs.sites);
  if (knobs.features & kPriorities) {
    constexpr std::uint8_t kPriority[] = {100, 100, 50, 0, 70};
    out.priority = kPriority[place % std::size(kPriority)];
  }
  return out;
}

Configuration first_configuration(const Knobs& knobs) {
  Configuration out;
  for (std::size_t i = 0; i < knobs.voters + knobs.learners; ++i) {
    out.members.push_back(member(i, knobs));
    (i < knobs.voters ? out.voters : out.learners).push_back(NodeId(i + 1));
  }
  return out;
}

}  // namespace

World::World(WorldOptions options)
    : options_(std::move(options)),
      knobs_(options_.knobs ? *options_.knobs : draw_knobs(options_.seed, options_.features)),
      random_(mix(options_.seed, 1)),
      queue_(mix(options_.seed, 2)),
      oracle_(history_, marks_),
      network_(mix(options_.seed, 3), knobs_, sites(knobs_)) {
  oracle_.set_black(options_.black);
  make_nodes();
  clients_ = std::make_unique<Clients>(*this, options_.clients ? knobs_.clients : 0,
                                       mix(options_.seed, 4));
  faults_ = std::make_unique<Faults>(*this, mix(options_.seed, 5));
  faults_->suppress(options_.suppressed);
  if (knobs_.voters == 1) marks_.hit(Mark::SingleVoter);
  if (knobs_.voters % 2 == 0) marks_.hit(Mark::EvenVoters);
  clients_->begin();
  if (options_.faults) faults_->begin();
}

World::~World() = default;

void World::make_nodes() {
  const std::size_t count = sites(knobs_).size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto offset = static_cast<Nanos>(random_.below(1'000'000)) * kSecond + kSecond;
    const Nanos rate =
        knobs_.clock_rate == 0
            ? 0
            : static_cast<Nanos>((random_.unit() * 2 - 1) * static_cast<double>(knobs_.clock_rate));
    nodes_.push_back(
        std::make_unique<Node>(*this, i, Clock(offset, rate), mix(options_.seed, 100 + i)));
    oracle_.add_node(nodes_[i]->disk(), nodes_[i]->clock());
    postponed_.emplace_back();
  }
  const Entry first{
      Term(1), Index(1), EntryType::Config,
      std::make_shared<const std::string>(encode_configuration(first_configuration(knobs_)))};
  // One node founds the cluster; the others hear of it by replication.
  nodes_[0]->disk().bootstrap({Term(1), NodeId{}}, first);
  oracle_.bootstrapped(nodes_[0]->disk().log().at(Index(1)));
  for (auto& node : nodes_) {
    schedule({.at = static_cast<Nanos>(random_.below(100)) * kMilli,
              .kind = EventKind::Start,
              .node = static_cast<std::uint8_t>(node->place()),
              .life = node->life()});
  }
}

void World::run(std::uint64_t events) {
  while (events_ < events) step_one();
}

bool World::run_until(Nanos until, const std::function<bool()>& done) {
  while (!queue_.empty() && queue_.next() <= until) {
    step_one();
    if (done && done()) return true;
  }
  now_ = until;
  return done && done();
}

void World::step_one() {
  CHECK_MSG(!queue_.empty(), "a world in which nothing happens any more");
  Event event = queue_.pop();
  if (event.at > now_) now_ = event.at;
  ++events_;
  hash_ = mix(mix(hash_, static_cast<std::uint64_t>(event.at)),
              static_cast<std::uint64_t>(event.kind) * 256 + event.node);
  if (tracing() && event.kind != EventKind::Client) trace(describe(event));
  dispatch(event);
}

void World::dispatch(const Event& event) {
  switch (event.kind) {
    case EventKind::Deliver:
      return deliver(event);
    case EventKind::Client:
      return clients_->wake(event.argument);
    case EventKind::Decision:
      return faults_->decide();
    case EventKind::Topology:
      return faults_->topology(event.argument);
    case EventKind::Call: {
      const auto call = std::move(calls_[event.argument]);
      return call();
    }
    case EventKind::Start:
      // One that was started otherwise and has died again since is not meant.
      if (!nodes_[event.node]->alive() && nodes_[event.node]->life() == event.life) {
        nodes_[event.node]->start();
      }
      return;
    default:
      break;
  }
  Node& node = *nodes_[event.node];
  if (event.kind == EventKind::Resume) {
    if (node.paused() && node.paused_until() <= now_) resume(event.node);
    return;
  }
  if (!node.alive() || event.life != node.life()) return;
  if (node.paused()) {
    postponed_[event.node].push_back(event);
    return;
  }
  if (event.kind == EventKind::Link) {
    const NodeId peer(event.argument >> 8);
    const auto state = static_cast<LinkState>(event.argument & 0xff);
    const std::size_t other = peer.value - 1;
    const bool apart = network_.cut(other, node.place()) || network_.cut(node.place(), other) ||
                       !nodes_[other]->alive();
    if (apart != (state != LinkState::Up)) return;  // outdated
    return node.link(peer, state);
  }
  node.handle(event);
}

void World::at(Nanos when, std::function<void()> call) {
  calls_.push_back(std::move(call));
  schedule({.at = when, .kind = EventKind::Call, .argument = calls_.size() - 1});
}

std::uint64_t World::keep(Message message) {
  if (free_messages_.empty()) {
    messages_.push_back(std::move(message));
    return messages_.size() - 1;
  }
  const std::uint64_t slot = free_messages_.back();
  free_messages_.pop_back();
  messages_[slot] = std::move(message);
  return slot;
}

void World::send(std::size_t from, Message message) {
  oracle_.on_send(from, message);
  const std::size_t to = message.to.value - 1;
  if (to >= nodes_.size()) broken("I19", "a message to nobody");
  if (tracing()) trace("  send " + describe(message));
  hash_ = mix(hash_, message.term.value * 16 + message.body.index());
  if (filter_) {
    const Treat treat = filter_(message);
    if (treat == Treat::Hold) held_.push_back(std::move(message));
    if (treat != Treat::Pass) return;
  }
  const Network::Fate fate = network_.send(now_, from, to);
  const Event event{.kind = EventKind::Deliver, .node = static_cast<std::uint8_t>(to)};
  if (fate.second != kNever) {
    Event copy = event;
    copy.at = fate.second;
    copy.argument = keep(message);
    queue_.push(copy);
    marks_.hit(Mark::MessageReplayed);
  }
  if (fate.first != kNever) {
    Event arrival = event;
    arrival.at = fate.first;
    arrival.argument = keep(std::move(message));
    queue_.push(arrival);
  }
}

void World::release() {
  std::vector<Message> held;
  held.swap(held_);
  for (Message& message : held) {
    const auto to = static_cast<std::uint8_t>(message.to.value - 1);
    queue_.push({.at = now_ + kMilli,
                 .kind = EventKind::Deliver,
                 .node = to,
                 .argument = keep(std::move(message))});
  }
}

void World::deliver(const Event& event) {
  Message message = std::move(messages_[event.argument]);
  free_messages_.push_back(event.argument);
  Node& to = *nodes_[event.node];
  const std::size_t from = message.from.value - 1;
  if (!to.alive() || network_.cut(from, event.node)) return;
  // A frozen process hears of it once it goes on; the kernel keeps it.
  if (to.paused()) {
    Event later = event;
    later.argument = keep(std::move(message));
    postponed_[event.node].push_back(later);
    return;
  }
  if (message.from_incarnation < nodes_[from]->disk().incarnation()) {
    marks_.hit(Mark::MessageOfEarlierLife);
  }
  if (std::holds_alternative<TimeoutNow>(message.body) &&
      message.term < to.core().view().hard.term) {
    marks_.hit(Mark::TransferLate);
  }
  if (tracing()) trace("  recv " + describe(message));
  to.receive(std::move(message));
}

void World::set_cut(std::size_t from, std::size_t to, bool cut) {
  if (network_.cut(from, to) == cut) return;
  network_.set_cut(from, to, cut);
  const LinkState state = cut ? LinkState::Down : LinkState::Up;
  for (const auto& [node, peer] : {std::pair{from, to}, std::pair{to, from}}) {
    const Nanos delay = cut ? kSecond + static_cast<Nanos>(random_.below(3'000)) * kMilli
                            : 50 * kMilli + static_cast<Nanos>(random_.below(950)) * kMilli;
    schedule({.at = now_ + delay,
              .kind = EventKind::Link,
              .node = static_cast<std::uint8_t>(node),
              .life = nodes_[node]->life(),
              .argument = (peer + 1) << 8 | static_cast<std::uint64_t>(state)});
  }
}

void World::heal_network() {
  for (std::size_t a = 0; a < nodes_.size(); ++a) {
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (a != b) set_cut(a, b, false);
    }
  }
}

void World::kill(std::size_t place, bool power, Nanos restart_after) {
  Node& node = *nodes_[place];
  if (node.alive()) {
    if (tracing())
      trace(std::string(power ? "power cut of n" : "kill n") + std::to_string(place + 1));
    node.crash(power);
    resume(place);  // what waited for it finds nobody
    clients_->node_died(place);
    // The kernel of a machine that still runs refuses at once; of one without power nobody hears.
    for (std::size_t peer = 0; !power && peer < nodes_.size(); ++peer) {
      if (peer == place || network_.cut(place, peer)) continue;
      schedule({.at = now_ + network_.delay(place, peer),
                .kind = EventKind::Link,
                .node = static_cast<std::uint8_t>(peer),
                .life = nodes_[peer]->life(),
                .argument = (place + 1) << 8 | static_cast<std::uint64_t>(LinkState::Reset)});
    }
  }
  if (restart_after == kNever) return;
  schedule({.at = now_ + restart_after,
            .kind = EventKind::Start,
            .node = static_cast<std::uint8_t>(place),
            .life = node.life()});
}

void World::pause(std::size_t place, Nanos how_long) {
  Node& node = *nodes_[place];
  if (!node.alive()) return;
  if (tracing()) trace("pause n" + std::to_string(place + 1));
  node.pause(now_ + how_long);
  schedule(
      {.at = now_ + how_long, .kind = EventKind::Resume, .node = static_cast<std::uint8_t>(place)});
}

void World::resume(std::size_t place) {
  Node& node = *nodes_[place];
  const SoftState& soft = node.soft();
  if (node.alive() && soft.role == Role::Leader && soft.readable_until != Instant::min() &&
      soft.readable_until <= node.clock().at(now_)) {
    marks_.hit(Mark::LeaseRunOutAfterPause);
  }
  node.resume();
  std::vector<Event> waited;
  waited.swap(postponed_[place]);
  for (Event& event : waited) {
    event.at = now_;
    queue_.push(event);
  }
}

bool World::bears_a_loss() const {
  if (oracle_.committed() <= Index(1)) return false;
  for (const auto& node : nodes_) {
    const auto small = [](const auto& at) {
      return at.second->is_joint() || (at.first != Index{} && at.second->voters.size() < 3);
    };
    if (std::ranges::any_of(node->disk().log().configurations(), small)) return false;
    if (std::ranges::any_of(oracle_.written(node->place()).configurations(), small)) return false;
  }
  return true;
}

void World::trace(const std::string& line) {
  std::fprintf(options_.trace, "%llu %.6f %s\n", static_cast<unsigned long long>(events_),
               static_cast<double>(now_) * 1e-9, line.c_str());
}

}  // namespace fyr::raft::sim
