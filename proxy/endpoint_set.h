// The endpoints of one listener as its source last told them, and the rules for believing it
// (specification, sections 6 and 8; regression traps X3, X9).
//
// Pure. An update with an older index, or one that empties the list read from disk, is held: it
// takes effect only if nothing newer contradicts it for the holding time, because a server that
// lost its data must not take the traffic away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "proxy/endpoint_source.h"
#include "proxy/subset.h"

namespace fyr::proxy {

struct EndpointSetConfig {
  bool only_passing = false;
  Duration hold = std::chrono::seconds(30);
  Subset subset;
  std::vector<std::string> allowed_sites;  // empty: no rule
  std::vector<std::string> sites;          // in order of preference; empty: all alike
  std::vector<std::string> prefer_tags;
};

// As a listener at `site` wants it. Its filter has been checked by the decoder; one that is wrong
// all the same leaves nobody.
EndpointSetConfig endpoint_rules(const ListenerConfig& listener, const std::string& site);

struct EndpointMember {
  std::string key;  // identity: id and address; another port is another endpoint
  EndpointInfo info;
  int weight = 0;  // 0: no new requests
  // Why the weight is 0: "critical", "maintenance", "warning", "weight", "subset" (not asked for),
  // "residency" (at a site where it must not be used); else empty.
  std::string excluded;
  int tier = 0;  // place of its site in the order of preference
  int rank = 0;  // place of its best tag among prefer_tags
  // Neither used nor looked at.
  bool foreign() const { return excluded == "subset" || excluded == "residency"; }
  bool operator==(const EndpointMember&) const = default;
};

class EndpointSet {
 public:
  enum class Verdict { Applied, Unchanged, Held };

  explicit EndpointSet(EndpointSetConfig config = {}) : config_(config) {}

  Verdict offer(Instant now, EndpointUpdate update);
  // True if a held update took effect.
  bool tick(Instant now);
  std::optional<Instant> next_deadline() const { return held_until_; }

  const std::vector<EndpointMember>& members() const { return members_; }  // sorted by key
  std::uint64_t index() const { return index_; }
  bool known() const { return known_; }
  bool from_disk() const { return from_disk_; }
  bool holding() const { return held_.has_value(); }
  Instant updated_at() const { return updated_at_; }

 private:
  Verdict apply(Instant now, EndpointUpdate update);
  bool must_hold(const EndpointUpdate& update) const;

  EndpointSetConfig config_;
  std::vector<EndpointMember> members_;
  std::uint64_t index_ = 0;
  bool known_ = false;
  bool from_disk_ = false;
  Instant updated_at_{};
  std::optional<EndpointUpdate> held_;
  std::optional<Instant> held_until_;
};

std::string endpoint_key(const EndpointInfo& info);

}  // namespace fyr::proxy
