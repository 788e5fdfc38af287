// What this node's agent holds: its services and checks, and for each whether the catalog has it
// (checks specification section 6). The agent is the authority; the catalog follows.
//
// Each item carries the version of its last change and the hash the catalog has. A push names the
// versions it carries, so an answer that comes after a newer change does not count. Removed items
// stay as tombstones until the catalog has dropped them. Only the newest state of an item is kept:
// nothing grows while servers are away.
//
// Pure: no I/O, no clock, no randomness. Owner thread: the agent's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent.pb.h"
#include "base/time.h"
#include "registry.pb.h"

namespace fyr::agent {

enum class Source { Api, File };

struct LocalService {
  pb::ServiceInstance row;  // complete, as pushed
  std::string token;
  Source source = Source::Api;
};

struct LocalCheck {
  pb::HealthCheck row;  // as shown and pushed: without definition
  pb::CheckDefinition definition;
  std::string token;
  Source source = Source::Api;
};

class LocalState {
 public:
  // `node`: complete row of this node. `sequence`: greater than any used before for this node.
  LocalState(pb::Node node, std::uint64_t sequence);

  // ---- items. Pointers are good until the next change. ----
  const pb::Node& node() const { return node_; }
  const LocalService* service(const std::string& id) const;
  const LocalCheck* check(const std::string& id) const;
  std::vector<const LocalService*> services() const;  // by id
  std::vector<const LocalCheck*> checks() const;      // by id
  std::vector<std::string> checks_of(const std::string& service_id) const;
  std::size_t service_count() const { return services_.size(); }
  std::size_t check_count() const { return checks_.size(); }

  void set_service(LocalService service);
  void remove_service(const std::string& id);  // with its checks
  void set_check(LocalCheck check);
  void remove_check(const std::string& id);
  // A result. A status change is pushed at once, output alone at `output_due`.
  void update_check(const std::string& id, std::string_view status, std::string output,
                    Instant output_due);

  // ---- sync ----
  struct Sent {
    enum class Kind { Node, Service, Check } kind;
    std::string id;
    std::uint64_t version = 0;
    bool removal = false;
    std::string hash;  // what the catalog has once it is done
    int item = 0;      // in the request
  };
  struct Batch {
    pb::PushRequest request;
    std::vector<Sent> sent;
    std::size_t bytes = 0;  // of the request, about
  };
  static constexpr int kMaxBatch = 64;
  static constexpr std::size_t kMaxEntries = 4096;  // services and checks in a batch
  // Well below the largest log entry; a single entry may be larger than it by itself.
  static constexpr std::size_t kMaxBatchBytes = 1 << 20;

  // Whether a push could do something now; nothing before the first comparison.
  bool wants_push(Instant now) const;
  // When deferred output or a blocked item becomes due.
  std::optional<Instant> next_due() const;
  Batch next_batch(Instant now);
  // Items that failed stay out of sync; those refused for good are blocked for a while.
  // True if an item failed in a way that is worth an early retry.
  bool pushed(Instant now, const Batch& batch, const pb::PushResponse& response);
  // The server will not take the request as a whole, however often (too large): the next ones carry
  // half as many entries, until they are taken again. One alone is blocked for a while, as if
  // it had been refused by itself; true then.
  bool push_refused(Instant now, const Batch& batch, const std::string& reason);
  // No answer: whether the catalog has what was sent is not known.
  void push_failed(const Batch& batch);

  // For the full comparison: the digest of what the catalog should hold, then its answer. `mark`
  // is change_count() when the request was made: items changed since are left alone.
  std::string digest() const;
  std::uint64_t change_count() const { return version_; }
  struct Compared {
    int out_of_sync = 0;
    int ghosts = 0;  // held by the catalog only; will be removed
  };
  // `output_due`: when a difference in output alone is pushed.
  Compared compare(const pb::NodeStateResponse& answer, std::uint64_t mark, Instant output_due);
  bool compared() const { return compared_; }
  // Nothing is known about the catalog any more (another server, a restore): compare again.
  void forget_comparison() { compared_ = false; }

  struct Counts {
    bool node_in_sync = false;
    std::size_t out_of_sync = 0;
    std::size_t blocked = 0;
  };
  Counts counts() const;

 private:
  struct Mark {
    std::uint64_t version = 0;
    bool in_sync = false;
    std::string hash;                   // what the catalog has, if known
    std::optional<Instant> output_due;  // only the output differs
    std::optional<Instant> blocked_until;
    Duration block{};
    std::string reason;
  };
  template <class T>
  struct Item {
    T value;
    Mark mark;
  };
  struct Tombstone {
    std::string service_id;  // of a check
    std::string token;
    Mark mark;
  };

  void touch(Mark& mark) { mark.version = ++version_; }
  void changed(Mark& mark);
  static bool due(const Mark& mark, Instant now);
  bool is_full(const Batch& batch) const;
  bool has_room_for(const Batch& batch, const pb::HealthCheck& row) const;
  Mark* find_mark(const Sent& sent);
  bool settle(Mark& mark, const Sent& sent, Instant now, const pb::ItemResult& result);
  void add_removals(Instant now, Batch& batch);
  void add_node(Instant now, Batch& batch);
  void add_services(Instant now, Batch& batch);
  void add_checks(Instant now, Batch& batch);
  pb::PushItem& add_register(Batch& batch, const std::string& token);
  void carry_check(Batch& batch, pb::PushItem& push, const Item<LocalCheck>& item);
  bool adopt_tags(Item<LocalService>& item, const pb::ServiceInstance& theirs);
  void compare_service(const pb::ServiceInstance& theirs, std::uint64_t mark, Compared& out);
  void compare_check(const pb::HealthCheck& theirs, std::uint64_t mark, Instant output_due,
                     Compared& out);
  template <class F>
  void for_each_mark(F&& f) const;

  pb::Node node_;
  Mark node_mark_;
  std::map<std::string, Item<LocalService>> services_;
  std::map<std::string, Item<LocalCheck>> checks_;
  std::map<std::string, Tombstone> gone_services_;
  std::map<std::string, Tombstone> gone_checks_;
  std::uint64_t version_ = 0;
  std::uint64_t sequence_;
  bool compared_ = false;
  std::size_t max_entries_ = kMaxEntries;  // less after a refusal of a whole push
};

}  // namespace fyr::agent
