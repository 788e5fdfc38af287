// Active checks of endpoints: one connection each, an HTTP request or only the connect.
//
// Everything belongs to the io thread of the event loop. `done` is called once a probe, never from
// inside start().
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/endpoint.h"
#include "proxy/event_loop.h"
#include "proxy/intrusive_list.h"
#include "proxy/outlier.h"

namespace fyr::proxy {

struct ProbeTag {};

class Prober {
 public:
  using Done = std::function<void(const Probe&, ProbeOutcome, int status)>;

  Prober(EventLoop& loop, HealthCheckConfig check, Done done);
  ~Prober();
  void start(const Probe& probe, const Endpoint& endpoint);
  void cancel_all();

 private:
  class Attempt;
  void finished(Attempt& attempt, ProbeOutcome outcome, int status);

  EventLoop& loop_;
  HealthCheckConfig check_;
  Done done_;
  IntrusiveList<Attempt, ProbeTag> attempts_;
};

}  // namespace fyr::proxy
