// The connections of one io thread to the endpoints of one listener: picking an endpoint, reusing
// or opening a connection, noticing endpoints that have stopped answering.
//
// Everything belongs to the io thread. Idle connections live 4 s, below the usual 5 s of servers,
// at most 64 an endpoint; one that the endpoint closes is noticed at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "proxy/balancer.h"
#include "proxy/endpoint.h"
#include "proxy/event_loop.h"
#include "proxy/intrusive_list.h"
#include "proxy/latency.h"
#include "proxy/listener_shared.h"
#include "proxy/outlier.h"

namespace fyr::proxy {

struct IdleTag {};
struct WaitingTag {};

// Whoever uses an upstream connection. Linked into its endpoint's list while it must hear that the
// endpoint is given up (HTTP: from the request being sent to the first answer byte; TCP: always).
class UpstreamUser : public ListLink<WaitingTag> {
 public:
  virtual void on_upstream_io(std::uint32_t events) = 0;
  // The endpoint is given up. Not `all`: only by those that can go elsewhere.
  virtual void on_abandoned(bool all) = 0;
  Instant sent_at() const { return sent_at_; }

 protected:
  ~UpstreamUser() = default;
  Instant sent_at_{};
};

struct UpstreamSlot;

class UpstreamConnection final : public Deferred, public IoHandler, public ListLink<IdleTag> {
 public:
  UpstreamConnection(class UpstreamPool& pool, std::shared_ptr<UpstreamSlot> slot, int fd);
  ~UpstreamConnection() override;
  void on_io(std::uint32_t events) override;

  int fd() const { return fd_; }
  UpstreamSlot& slot() { return *slot_; }

  UpstreamUser* user = nullptr;
  bool reused = false;        // has carried an earlier exchange
  bool readable = false;      // there may be bytes to receive
  bool ending = false;        // the peer has closed its side or failed: read to the end
  bool long_timeout = false;  // TCP_USER_TIMEOUT was raised for a large upload
  std::string input;          // start of an answer head that is not complete yet

 private:
  friend class UpstreamPool;
  UpstreamPool& pool_;
  std::shared_ptr<UpstreamSlot> slot_;
  int fd_;
  Instant idle_since_{};
};

// One endpoint as this thread sees it.
struct UpstreamSlot {
  std::shared_ptr<Endpoint> endpoint;
  RoundRobinCredit credit;
  IntrusiveList<UpstreamConnection, IdleTag> idle;  // longest idle first
  int idle_count = 0;
  IntrusiveList<UpstreamUser, WaitingTag> waiting;  // oldest request first
  LatencyHistogram latency;
  PeakEwma recent;                  // answer time, for balance ewma
  int rank = 0;                     // of the endpoint, as of the last list
  std::optional<Instant> drain_by;  // TCP flows end then
  Instant last_answer{};
  Instant stall_reported{};
  bool current = true;  // still in the list
};

class UpstreamPool final : public Timed {
 public:
  UpstreamPool(EventLoop& loop, ListenerShared& shared, std::uint64_t seed);
  ~UpstreamPool();

  void set_table(std::shared_ptr<const EndpointTable> table);
  bool has_endpoints() const { return !slots_.empty(); }

  // An endpoint for the next attempt: a healthy one not in `tried`, else a last resort not in
  // `tried`; null if there is none. `key`: what consistent hashing goes by; without one it is the
  // turn of the next.
  std::shared_ptr<UpstreamSlot> pick(std::span<const Endpoint* const> tried,
                                     std::optional<std::uint64_t> key = {});
  // Endpoints there would be, were they not where they must not be used.
  bool forbidden_by_residency() const { return residency_; }
  // Whether pick() would now find an endpoint that is neither `current` nor in `tried`; last
  // resorts count only with Among::All. Changes nothing.
  enum class Among : std::uint8_t { Healthy, All };
  bool can_go_elsewhere(std::span<const Endpoint* const> tried, const Endpoint* current,
                        Among among) const;
  // Not idle for longer than `max_idle`; `verify`: looked at once more before use.
  UpstreamConnection* take_idle(UpstreamSlot& slot, Duration max_idle, bool verify);
  // Null and errno value if it failed at once.
  UpstreamConnection* connect(const std::shared_ptr<UpstreamSlot>& slot, int& error);
  void release(UpstreamConnection& connection);  // to the idle list
  void destroy(UpstreamConnection& connection);

  // `user` has sent a request to `slot` and waits for the first byte of the answer.
  void wait_for_answer(UpstreamSlot& slot, UpstreamUser& user);
  void watch(UpstreamSlot& slot, UpstreamUser& user);  // hears on_abandoned only
  void answered(UpstreamSlot& slot, UpstreamUser& user, Duration latency);

  // The home thread's verdict on one endpoint has changed.
  void endpoint_changed(const Endpoint& endpoint, Abandon abandon);
  void close_all();
  void on_deadline(Instant now) override;
  Random& random() { return random_; }

 private:
  bool usable(const UpstreamSlot& slot, std::span<const Endpoint* const> tried) const;
  std::int64_t weight_now(const Endpoint& endpoint) const;
  template <class WeightOf>
  std::size_t choose(WeightOf&& weight, std::optional<std::uint64_t> key);
  std::size_t pick_among_sites(std::span<const Endpoint* const> tried,
                               std::optional<std::uint64_t> key);
  void share_out();
  void cut_lost(UpstreamSlot& slot);
  void begin_drain(UpstreamSlot& slot);
  void abandon(UpstreamSlot& slot, bool all);
  bool is_tcp() const { return shared_.config.protocol == Protocol::Tcp; }
  void close_idle(UpstreamSlot& slot);
  void arm();
  void look_for_stall(UpstreamSlot& slot, Instant now);
  std::vector<std::shared_ptr<UpstreamSlot>> slots_in_use();

  EventLoop& loop_;
  ListenerShared& shared_;
  Random random_;
  std::vector<std::shared_ptr<UpstreamSlot>> slots_;
  std::shared_ptr<const HashTable> hash_;
  bool residency_ = false;
  std::size_t turn_ = 0;
  std::vector<double> site_shares_;  // by tier; empty if there is only one
  // Left the list; their connections keep them until the last answer.
  std::vector<std::weak_ptr<UpstreamSlot>> departed_;
};

}  // namespace fyr::proxy
