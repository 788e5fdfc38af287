// Who is in the cluster: the driver around the SWIM core (core.h). Gossip over UDP, joins and full
// exchanges over TCP, on one port.
//
// Threading: every method from any thread, but stop and the destructor not from an io thread; stop
// before Runtime::stop(). on_change runs on the driver's io thread; post onwards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/swim/member.h"
#include "base/error.h"
#include "base/io/runtime.h"
#include "base/net_address.h"
#include "base/time.h"

namespace fyr::agent {

struct MembershipOptions {
  std::string name;
  HostPort bind;                     // UDP and TCP
  std::string advertise_address;     // literal others reach us at
  std::uint16_t advertise_port = 0;  // 0: the bound port
  std::map<std::string, std::string> tags;
  std::string cluster = "dc1";  // packets of another cluster are dropped
  std::uint64_t seed = 0;       // of the core's randomness
};

class Membership {
 public:
  static Result<std::unique_ptr<Membership>> open(io::Runtime& runtime, MembershipOptions options);
  virtual ~Membership() = default;

  virtual std::vector<Member> members() const = 0;  // by name, self included
  virtual HostPort bound() const = 0;
  // Exchanges lists with the given addresses; done with the number that answered, or the error of
  // the last if none did.
  virtual void join(std::vector<HostPort> addresses, std::function<void(Result<int>)> done) = 0;
  // Keeps joining (1-30 s back-off) until one answered.
  virtual void keep_joining(std::vector<HostPort> addresses) = 0;
  // Says goodbye and waits for it to spread (at most 3 s); then done.
  virtual void leave(std::function<void()> done) = 0;
  // Declares a failed member left. NotFound if unknown.
  virtual Result<void> force_leave(const std::string& name, bool prune) = 0;
  // A hint from outside (a stream was reset): probe that member now.
  virtual void probe_now(const std::string& name) = 0;
  virtual void on_change(std::function<void(const Member&)> callback) = 0;  // any number
  // A small message (at most 1,000 bytes) for every member that can be reached, this one included.
  // It may be lost; it comes at most once. `time` is its Lamport time.
  virtual void fire(std::string payload) = 0;
  virtual void on_event(
      std::function<void(std::uint64_t time, const std::string& payload)> callback) = 0;
  virtual void set_tags(std::map<std::string, std::string> tags) = 0;
  virtual void stop() = 0;
};

}  // namespace fyr::agent
