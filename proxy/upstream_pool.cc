#include "proxy/upstream_pool.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace fyr::proxy {
namespace {

constexpr Duration kIdleTime = std::chrono::seconds(4);
constexpr int kMaxIdle = 64;
constexpr Duration kSweepIdle = std::chrono::milliseconds(500);
constexpr Duration kSweepWaiting = std::chrono::milliseconds(50);
constexpr Duration kStallReportEvery = std::chrono::milliseconds(500);
constexpr Duration kSilence = std::chrono::milliseconds(200);
constexpr std::uint32_t kMinSamples = 20;  // below, the p99 says nothing
// Sent bytes unacknowledged for so long: the host is gone. A slow application does not count, its
// kernel acknowledges.
constexpr Duration kUserTimeout = std::chrono::milliseconds(600);

}  // namespace

UpstreamConnection::UpstreamConnection(UpstreamPool& pool, std::shared_ptr<UpstreamSlot> slot,
                                       int fd)
    : pool_(pool), slot_(std::move(slot)), fd_(fd) {
  slot_->endpoint->connections.fetch_add(1, std::memory_order_relaxed);
}

UpstreamConnection::~UpstreamConnection() {
  CHECK(fd_ < 0);
}

void UpstreamConnection::on_io(std::uint32_t events) {
  if (fd_ < 0) return;
  if (user != nullptr) {
    user->on_upstream_io(events);
    return;
  }
  // Idle: a FIN, a reset or bytes nobody asked for (such as an unsolicited 408). A fresh
  // registration only says "writable".
  if (!is_quiet(fd_)) pool_.destroy(*this);
}

UpstreamPool::UpstreamPool(EventLoop& loop, ListenerShared& shared, std::uint64_t seed)
    : loop_(loop), shared_(shared), random_(seed) {}

UpstreamPool::~UpstreamPool() {
  close_all();
}

void UpstreamPool::set_table(std::shared_ptr<const EndpointTable> table) {
  std::vector<std::shared_ptr<UpstreamSlot>> slots;
  slots.reserve(table->endpoints.size());
  const auto in_use = slots_in_use();
  for (const auto& endpoint : table->endpoints) {
    const auto known = std::find_if(in_use.begin(), in_use.end(),
                                    [&](const auto& slot) { return slot->endpoint == endpoint; });
    if (known != in_use.end()) {
      slots.push_back(*known);
      continue;
    }
    auto slot = std::make_shared<UpstreamSlot>();
    slot->endpoint = endpoint;
    // The threads must not all begin with the same endpoint.
    slot->credit.value = static_cast<std::int64_t>(random_.below(
        static_cast<std::uint64_t>(std::max<std::int64_t>(1, weight_now(*endpoint)))));
    slot->rank = endpoint->rank.load(std::memory_order_relaxed);
    slots.push_back(std::move(slot));
  }
  departed_.clear();
  for (const auto& slot : in_use) {
    slot->current = std::find(slots.begin(), slots.end(), slot) != slots.end();
    if (!slot->current) departed_.push_back(slot);
    if (!slot->current || slot->endpoint->weight.load(std::memory_order_relaxed) == 0) {
      close_idle(*slot);
    }
  }
  slots_ = std::move(slots);
  hash_ = table->hash;
  residency_ = table->residency;
  share_out();
  if (!is_tcp()) return;
  for (const auto& slot : in_use) {
    begin_drain(*slot);
    cut_lost(*slot);
    slot->rank = slot->endpoint->rank.load(std::memory_order_relaxed);
  }
}

std::vector<std::shared_ptr<UpstreamSlot>> UpstreamPool::slots_in_use() {
  auto slots = slots_;
  for (const auto& weak : departed_) {
    if (auto slot = weak.lock()) slots.push_back(std::move(slot));
  }
  return slots;
}

bool UpstreamPool::usable(const UpstreamSlot& slot, std::span<const Endpoint* const> tried) const {
  const Endpoint& endpoint = *slot.endpoint;
  if (!endpoint.resolved) return false;
  if (std::find(tried.begin(), tried.end(), &endpoint) != tried.end()) return false;
  const auto limit = static_cast<std::uint32_t>(shared_.config.limits.endpoint_max_connections);
  return limit == 0 || slot.idle_count > 0 ||
         endpoint.connections.load(std::memory_order_relaxed) < limit;
}

bool UpstreamPool::can_go_elsewhere(std::span<const Endpoint* const> tried, const Endpoint* current,
                                    Among among) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
    const Endpoint& endpoint = *slot->endpoint;
    const bool eligible =
        endpoint.healthy.load(std::memory_order_relaxed) ||
        (among == Among::All && endpoint.last_resort.load(std::memory_order_relaxed));
    return &endpoint != current && eligible &&
           endpoint.weight.load(std::memory_order_relaxed) > 0 && usable(*slot, tried);
  });
}

UpstreamConnection* UpstreamPool::take_idle(UpstreamSlot& slot, Duration max_idle, bool verify) {
  // The one used last is warm in every cache, and the others may grow old and go.
  while (UpstreamConnection* connection = slot.idle.back()) {
    if (loop_.now() - connection->idle_since_ > max_idle) return nullptr;
    connection->ListLink<IdleTag>::unlink();
    --slot.idle_count;
    if (verify && !is_quiet(connection->fd_)) {
      destroy(*connection);
      continue;
    }
    connection->reused = true;
    return connection;
  }
  return nullptr;
}

UpstreamConnection* UpstreamPool::connect(const std::shared_ptr<UpstreamSlot>& slot, int& error) {
  const bool http = shared_.config.protocol == Protocol::Http;
  // With a zero window the kernel counts this time too: a flow that only pauses must survive.
  const Duration timeout =
      http ? kUserTimeout : std::max(kUserTimeout, shared_.config.timeouts.server);
  const int fd = start_connect(slot->endpoint->address, timeout, error);
  if (fd < 0) return nullptr;
  auto connection = std::make_unique<UpstreamConnection>(*this, slot, fd);
  if (!loop_.add(fd, *connection, EventLoop::kEdge)) {
    error = errno;
    destroy(*connection.release());
    return nullptr;
  }
  return connection.release();
}

void UpstreamPool::release(UpstreamConnection& connection) {
  connection.user = nullptr;
  UpstreamSlot& slot = connection.slot();
  const bool wanted = slot.current && slot.idle_count < kMaxIdle && !connection.ending &&
                      !connection.readable &&
                      slot.endpoint->weight.load(std::memory_order_relaxed) > 0 &&
                      slot.endpoint->healthy.load(std::memory_order_relaxed);
  if (!wanted) {
    destroy(connection);
    return;
  }
  if (connection.long_timeout) {
    set_user_timeout(connection.fd_, kUserTimeout);
    connection.long_timeout = false;
  }
  connection.input.clear();
  connection.idle_since_ = loop_.now();
  slot.idle.push_back(connection);
  ++slot.idle_count;
  arm();
}

void UpstreamPool::destroy(UpstreamConnection& connection) {
  if (connection.fd_ < 0) return;
  connection.user = nullptr;
  if (connection.ListLink<IdleTag>::linked()) {
    connection.ListLink<IdleTag>::unlink();
    --connection.slot_->idle_count;
  }
  connection.slot_->endpoint->connections.fetch_sub(1, std::memory_order_relaxed);
  loop_.forget(connection);
  close_socket(connection.fd_);
  connection.fd_ = -1;
  loop_.bury(std::unique_ptr<Deferred>(&connection));
}

void UpstreamPool::wait_for_answer(UpstreamSlot& slot, UpstreamUser& user) {
  slot.waiting.push_back(user);
  arm();
}

void UpstreamPool::watch(UpstreamSlot& slot, UpstreamUser& user) {
  slot.waiting.push_back(user);
  if (slot.drain_by) arm();
}

void UpstreamPool::answered(UpstreamSlot& slot, UpstreamUser& user, Duration latency) {
  user.unlink();
  slot.latency.add(latency);
  if (shared_.config.balance == Balance::Ewma) slot.recent.add(loop_.now(), latency);
  slot.last_answer = loop_.now();
}

void UpstreamPool::arm() {
  if (!armed()) loop_.set_deadline(*this, loop_.now() + kSweepWaiting);
}

void UpstreamPool::close_idle(UpstreamSlot& slot) {
  while (UpstreamConnection* connection = slot.idle.front()) destroy(*connection);
}

void UpstreamPool::endpoint_changed(const Endpoint& endpoint, Abandon abandon_whom) {
  share_out();
  for (const auto& slot : slots_in_use()) {
    if (slot->endpoint.get() != &endpoint) continue;
    if (!slot->endpoint->healthy.load(std::memory_order_relaxed)) close_idle(*slot);
    const bool keep = is_tcp() && shared_.config.drain.on_down == OnDown::Keep;
    if (abandon_whom != Abandon::No && !keep) abandon(*slot, abandon_whom == Abandon::All);
    if (is_tcp()) cut_lost(*slot);
  }
}

void UpstreamPool::abandon(UpstreamSlot& slot, bool all) {
  // Each leaves the list before it is told, and may join it again or another. None of them can
  // be destroyed by another's turn: that happens after the batch.
  std::vector<UpstreamUser*> users;
  while (UpstreamUser* user = slot.waiting.pop_front()) users.push_back(user);
  for (UpstreamUser* user : users) user->on_abandoned(all);
}

// Flows to a primary that is lost, or is a standby now, would talk to the wrong one for ever: they
// end, and the clients come back to whoever is first by then.
void UpstreamPool::cut_lost(UpstreamSlot& slot) {
  const Endpoint& endpoint = *slot.endpoint;
  // No byte more than those on their way goes to where it must not be.
  if (endpoint.tier.load(std::memory_order_relaxed) == kForbiddenTier) abandon(slot, true);
  const OnDown rule = shared_.config.drain.on_down;
  const bool first = shared_.config.balance == Balance::First;
  if (rule == OnDown::Keep || (rule == OnDown::Reset && !first)) return;
  const bool lost = endpoint.down.load(std::memory_order_relaxed) ||
                    endpoint.critical.load(std::memory_order_relaxed) ||
                    (first && endpoint.rank.load(std::memory_order_relaxed) > slot.rank);
  if (lost) abandon(slot, true);
}

// Maintenance, weight 0 or deregistered: flows may finish until the deadline.
void UpstreamPool::begin_drain(UpstreamSlot& slot) {
  const Endpoint& endpoint = *slot.endpoint;
  const bool leaving = !slot.current || (endpoint.weight.load(std::memory_order_relaxed) == 0 &&
                                         !endpoint.critical.load(std::memory_order_relaxed));
  if (!leaving) {
    slot.drain_by.reset();
  } else if (!slot.drain_by) {
    slot.drain_by = loop_.now() + shared_.config.drain.deadline;
    arm();
  }
}

void UpstreamPool::close_all() {
  for (const auto& slot : slots_) close_idle(*slot);
}

void UpstreamPool::look_for_stall(UpstreamSlot& slot, Instant now) {
  const StallConfig& config = shared_.config.stall;
  UpstreamUser* oldest = slot.waiting.front();
  if (!config.enabled || oldest == nullptr || now - slot.stall_reported < kStallReportEvery) return;
  Duration usual = Duration::zero();
  const bool experienced = slot.latency.count() >= kMinSamples;
  if (experienced) {
    usual = std::chrono::duration_cast<Duration>(slot.latency.quantile(0.99) * config.factor);
  }
  int waiting = 0;
  for (auto* user = oldest; user != nullptr && waiting < 3; user = slot.waiting.next(*user)) {
    ++waiting;
  }
  const Duration age = now - oldest->sent_at();
  const Duration silence = std::min(age, now - slot.last_answer);
  const Duration slow = std::max(config.min, usual);
  const Duration early = std::max(std::min(kSilence, config.min), usual);
  EndpointFact::Kind kind;
  if (age >= slow && (waiting >= 3 || silence >= slow)) {
    kind = EndpointFact::Kind::StallSuspected;
  } else if (experienced && waiting >= 3 && silence >= early) {
    kind = EndpointFact::Kind::SilenceSuspected;
  } else {
    return;
  }
  slot.stall_reported = now;
  shared_.report({kind, slot.endpoint->key});
}

void UpstreamPool::on_deadline(Instant now) {
  bool any_waiting = false;
  bool any_idle = false;
  for (const auto& slot : slots_in_use()) {
    while (UpstreamConnection* connection = slot->idle.front()) {
      if (now - connection->idle_since_ < kIdleTime) break;
      destroy(*connection);
    }
    any_idle = any_idle || slot->idle_count > 0;
    if (slot->waiting.empty()) continue;
    if (is_tcp()) {  // flows wait for nothing but the end of a drain
      if (!slot->drain_by) continue;
      if (now >= *slot->drain_by) {
        abandon(*slot, true);
      } else {
        any_idle = true;
      }
      continue;
    }
    any_waiting = true;
    look_for_stall(*slot, now);
    slot->endpoint->p50_us.store(slot->latency.quantile(0.5).count() / 1000,
                                 std::memory_order_relaxed);
    slot->endpoint->p99_us.store(slot->latency.quantile(0.99).count() / 1000,
                                 std::memory_order_relaxed);
  }
  if (any_waiting) {
    loop_.set_deadline(*this, now + kSweepWaiting);
  } else if (any_idle) {
    loop_.set_deadline(*this, now + kSweepIdle);
  }
}

}  // namespace fyr::proxy
