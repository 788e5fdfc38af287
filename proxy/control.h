// The home of one listener: holds its endpoint set and outlier detector, runs the checks, and
// publishes to the io threads what they may pick from.
//
// Everything belongs to one io thread (the home), except: offer() and report(), from any thread;
// view(), from any thread, never waits for the home.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/io/runtime.h"
#include "proxy/endpoint.h"
#include "proxy/endpoint_set.h"
#include "proxy/event_loop.h"
#include "proxy/listener_shared.h"
#include "proxy/outlier.h"
#include "proxy/prober.h"
#include "proxy/resolver.h"

namespace fyr::proxy {

// What the status page shows of an endpoint besides its live counters.
struct EndpointView {
  EndpointMember member;
  EndpointHealth health;
  std::shared_ptr<Endpoint> endpoint;
};

struct ListenerView {
  std::uint64_t index = 0;
  bool known = false;
  bool from_disk = false;
  bool holding = false;
  bool check_misconfigured = false;
  Instant updated_at{};
  std::uint64_t ejections_total = 0;
  std::vector<EndpointView> endpoints;
};

class ListenerControl : public std::enable_shared_from_this<ListenerControl> {
 public:
  struct Publisher {
    std::function<void(std::shared_ptr<const EndpointTable>)> table;
    std::function<void(std::shared_ptr<const Endpoint>, Abandon abandon)> changed;
  };

  ListenerControl(io::Runtime& runtime, int home, EventLoop& loop,
                  std::shared_ptr<ListenerShared> shared, Publisher publisher, std::uint64_t seed);

  void offer(EndpointUpdate update);
  void report(EndpointFact fact);
  std::shared_ptr<const ListenerView> view() const;

  int home() const { return home_; }
  void close();  // on the home thread

 private:
  void apply(EndpointUpdate update);
  void members_changed();
  void forget_departed();
  std::shared_ptr<Endpoint> find_endpoint(const std::string& key) const;
  OutlierDetector& detector_of(const std::string& key);
  void publish_table();
  void renew_hash();
  void look_up(const std::string& key, const std::string& host);
  void looked_up(const std::string& key, const std::string& host, std::optional<IpAddress> address);
  void handle(const EndpointFact& fact);
  void carry_out(HealthOutput output);
  void apply_verdict(const Verdict& verdict);
  void note_traffic(Instant now);
  void tick();
  void schedule();
  void publish_view();
  void post(std::function<void(ListenerControl&)> task);

  io::Runtime& runtime_;
  const int home_;
  EventLoop& loop_;
  std::shared_ptr<ListenerShared> shared_;
  Publisher publisher_;
  EndpointSet set_;
  OutlierDetector detector_;
  // Not registered any more, perhaps still answering requests: only stalls are looked at.
  std::map<std::string, std::shared_ptr<Endpoint>> departed_;
  OutlierDetector departed_detector_;
  Prober prober_;
  NameResolver resolver_;
  io::Timer timer_;
  bool closed_ = false;
  std::uint64_t version_ = 0;
  std::vector<HashMember> hashed_;  // what hash_ was made from
  std::shared_ptr<const HashTable> hash_;
  std::map<std::string, std::shared_ptr<Endpoint>> endpoints_;
  std::map<std::string, std::int64_t> seen_success_;
  std::map<std::string, io::Timer> name_timers_;  // of endpoints registered under a name
  mutable SharedGuarded<std::shared_ptr<const ListenerView>> view_;
};

}  // namespace fyr::proxy
