// Several cores with disks and state machines in memory, and a network the test holds in its
// hands. Messages leave only when their write is durable, as the driver would do it.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "raft/core.h"
#include "raft/invariants.h"

namespace fyr::raft {

inline Member member(std::uint64_t id, std::uint8_t priority = 100,
                     MemberKind kind = MemberKind::Data) {
  return {.id = NodeId(id),
          .name = "n" + std::to_string(id),
          .address = "n" + std::to_string(id) + ":1",
          .site = {},
          .priority = priority,
          .kind = kind};
}

inline Configuration voters(std::uint64_t count) {
  Configuration out;
  for (std::uint64_t id = 1; id <= count; ++id) {
    out.members.push_back(member(id));
    out.voters.emplace_back(id);
  }
  return out;
}

// A node of the disk, what of it is durable, and what was applied.
struct DiskImage {
  HardState hard{Term(1), NodeId{}};
  LogBase base;
  std::map<Index, Entry> entries;
  Index applied{};
  std::optional<LogPosition> quarantine;
  std::uint64_t incarnation = 0;

  Index last() const { return entries.empty() ? base.index : entries.rbegin()->first; }
  void write(const PersistBatch& batch) {
    if (batch.hard) hard = *batch.hard;
    if (batch.install) {
      const LogBase& to = *batch.install;
      const auto at = entries.find(to.index);
      const bool keeps = at != entries.end() && at->second.term == to.term;
      entries.erase(entries.begin(), keeps ? entries.upper_bound(to.index) : entries.end());
      base = to;
      applied = to.index;
    }
    if (batch.end_quarantine) quarantine.reset();
    if (batch.truncate_from != Index{}) {
      entries.erase(entries.lower_bound(batch.truncate_from), entries.end());
    }
    for (const Entry& entry : batch.entries) {
      ASSERT_EQ(entry.index, last().next()) << "a gap on disk";
      entries[entry.index] = entry;
    }
  }
  RecoveredState recover() const {
    RecoveredState out;
    out.hard = hard;
    out.base = base;
    out.last = last();
    for (const auto& [index, entry] : entries) {
      if (out.runs.empty() || out.runs.back().term != entry.term) {
        out.runs.push_back({index, entry.term});
      }
      if (entry.type == EntryType::Config) {
        out.configurations.emplace_back(index, *decode_configuration(*entry.data));
      }
      out.entry_bytes.push_back(entry_cost(entry));
    }
    out.applied = out.durable_applied = std::max(base.index, std::min(applied, last()));
    out.quarantine = quarantine;
    out.ever_voted = hard.term > Term(1) || hard.voted_for != NodeId{} || last() != Index{};
    return out;
  }
};

class Cluster {
 public:
  struct Node {
    std::unique_ptr<Core> core;
    std::unique_ptr<Invariants> invariants;
    CoreConfig config;
    DiskImage disk;
    std::deque<PersistBatch> writing;
    WriteId written{};
    std::vector<Outgoing> held;
    Index handed{};
    SoftState soft;
    std::optional<Instant> wake_at;
    bool disk_works = true;   // else nothing it is given is finished
    bool state_works = true;  // else nothing is applied
    std::map<std::uint64_t, ReadGrant> grants;
    std::map<std::uint64_t, std::optional<Error>> changes, transfers;
    std::vector<ProposalResult> results;
    std::vector<FetchSnapshot> fetches;
    bool make_snapshot = false;
    bool drop_snapshot = false;
  };
  using Filter = std::function<bool(const Message&)>;  // false: the message is lost

  explicit Cluster(std::uint64_t count, CoreConfig config = {}) : Cluster(voters(count), config) {}
  explicit Cluster(Configuration configuration, CoreConfig config = {}) : config_(config) {
    // The tests count in round numbers, whatever the default.
    config_.election_min = std::chrono::milliseconds(1000);
    for (const Member& each : configuration.members) {
      DiskImage disk;
      disk.entries[Index(1)] = {
          Term(1), Index(1), EntryType::Config,
          std::make_shared<const std::string>(encode_configuration(configuration))};
      add(each.id.value, std::move(disk));
    }
  }

  void add(std::uint64_t id, DiskImage disk) {
    nodes_[id].disk = std::move(disk);
    start(id);
  }
  void start(std::uint64_t id) {
    Node& node = nodes_[id];
    Node fresh;
    fresh.disk = std::move(node.disk);
    node = std::move(fresh);
    ++node.disk.incarnation;
    node.config = config_;
    node.config.self = NodeId(id);
    node.config.incarnation = node.disk.incarnation;
    node.core = std::make_unique<Core>(node.config, node.disk.recover(), id * 7919);
    node.invariants = std::make_unique<Invariants>(node.config);
    node.handed = node.core->view().handed;
    down_.erase(id);
    node.core->on_time(now_);
    settle(id);
  }
  void stop(std::uint64_t id) { down_.insert(id); }
  void restart(std::uint64_t id) {
    stop(id);
    start(id);
  }

  Node& operator[](std::uint64_t id) { return nodes_.at(id); }
  Core& core(std::uint64_t id) { return *nodes_.at(id).core; }
  CoreView view(std::uint64_t id) { return core(id).view(); }
  Instant now() const { return now_; }

  // ---- network
  void cut(std::uint64_t from, std::uint64_t to) { cut_.insert({from, to}); }
  void isolate(std::uint64_t id) {
    for (const auto& [other, node] : nodes_) cut(id, other), cut(other, id);
  }
  void heal() { cut_.clear(); }
  void lose(Filter keep) { keep_ = std::move(keep); }
  std::deque<Message>& wire() { return wire_; }
  bool deliver_one() {
    if (wire_.empty()) return false;
    Message message = std::move(wire_.front());
    wire_.pop_front();
    deliver(std::move(message));
    return true;
  }
  void deliver(Message message) {
    const std::uint64_t to = message.to.value;
    if (!nodes_.contains(to) || down_.contains(to)) return;
    if (cut_.contains({message.from.value, to}) || (keep_ && !keep_(message))) return;
    core(to).on_message(now_, std::move(message));
    settle(to);
  }
  void deliver_all() {
    for (int i = 0; i < 100'000 && deliver_one(); ++i) continue;
    ASSERT_TRUE(wire_.empty()) << "messages breed messages";
  }

  // ---- time
  void run(std::int64_t ms) {
    deliver_all();
    for (; ms > 0; ms -= kStepMs) {
      now_ += std::chrono::milliseconds(kStepMs);
      for (auto& [id, node] : nodes_) {
        if (down_.contains(id)) continue;
        if (node.wake_at && *node.wake_at <= now_) {
          node.core->on_time(now_);
          settle(id);
        }
      }
      deliver_all();
    }
  }
  bool run_until(const std::function<bool()>& done, std::int64_t most_ms = 20'000) {
    for (std::int64_t spent = 0; spent < most_ms && !done(); spent += kStepMs) run(kStepMs);
    return done();
  }
  // The one leader of the highest term; 0: none.
  std::uint64_t leader() {
    std::uint64_t out = 0;
    Term term{};
    for (auto& [id, node] : nodes_) {
      if (down_.contains(id) || node.soft.role != Role::Leader || node.soft.term < term) continue;
      out = id;
      term = node.soft.term;
    }
    return out;
  }
  std::uint64_t elect() {
    run_until([this] {
      const std::uint64_t id = leader();
      return id != 0 && nodes_.at(id).soft.applied >= view(id).first_own;
    });
    return leader();
  }
  // ---- clients
  ProposalResult propose(std::uint64_t id, std::string data = "x") {
    const Proposal proposal{++next_id_, EntryType::App,
                            std::make_shared<const std::string>(std::move(data))};
    core(id).propose(now_, {&proposal, 1});
    settle(id);
    return nodes_.at(id).results.back();
  }
  std::uint64_t read(std::uint64_t id, ReadMode mode) {
    core(id).read(now_, {++next_id_, mode});
    settle(id);
    return next_id_;
  }
  const ReadGrant* grant_of(std::uint64_t id, std::uint64_t read) {
    const auto found = nodes_.at(id).grants.find(read);
    return found == nodes_.at(id).grants.end() ? nullptr : &found->second;
  }
  std::uint64_t change(std::uint64_t id, ConfigChange change) {
    change.id = ++next_id_;
    core(id).change_configuration(now_, change);
    settle(id);
    return next_id_;
  }
  std::uint64_t transfer(std::uint64_t id, std::uint64_t to) {
    core(id).transfer(now_, {++next_id_, NodeId(to)});
    settle(id);
    return next_id_;
  }
  void snapshot(std::uint64_t id, SnapshotEvent event) {
    core(id).on_snapshot(now_, std::move(event));
    settle(id);
  }
  void link(std::uint64_t id, std::uint64_t peer, LinkState state) {
    core(id).on_link(now_, NodeId(peer), state);
    settle(id);
  }
  void finish_writes(std::uint64_t id) {
    Node& node = nodes_.at(id);
    if (node.writing.empty()) return;
    const WriteId upto = node.writing.back().id;
    for (const PersistBatch& batch : node.writing) node.disk.write(batch);
    node.writing.clear();
    node.written = upto;
    release(node);
    node.core->on_written(now_, upto);
    settle(id);
  }
  void apply(std::uint64_t id) {
    Node& node = nodes_.at(id);
    if (node.handed <= node.soft.applied) return;
    node.disk.applied = std::max(node.disk.applied, node.handed);
    node.core->on_applied(now_, node.handed, node.handed);
    settle(id);
  }
  void settle(std::uint64_t id) {
    Node& node = nodes_.at(id);
    Outputs out = node.core->take();
    for (PersistBatch& batch : out.persist) node.writing.push_back(std::move(batch));
    for (Outgoing& each : out.send) node.held.push_back(std::move(each));
    release(node);
    for (const FetchLog& fetch : out.fetch) fetch_log(id, fetch);
    for (ReadGrant& grant : out.reads) node.grants[grant.id] = grant;
    for (auto& [request, error] : out.changes) node.changes[request] = error;
    for (auto& [request, error] : out.transfers) node.transfers[request] = error;
    for (ProposalResult& result : out.results) node.results.push_back(std::move(result));
    if (out.fetch_snapshot) node.fetches.push_back(*out.fetch_snapshot);
    node.make_snapshot = node.make_snapshot || out.make_snapshot;
    node.drop_snapshot = node.drop_snapshot || out.drop_snapshot;
    if (out.compact) {
      node.disk.entries.erase(node.disk.entries.begin(),
                              node.disk.entries.upper_bound(out.compact->index));
      node.disk.base = *out.compact;
    }
    if (out.activate) node.handed = out.activate->index;
    if (out.apply) {
      EXPECT_EQ(out.apply->first, node.handed.next()) << "each index once, in order";
      node.handed = out.apply->last;
    }
    node.soft = out.soft;
    node.wake_at = out.wake_at;
    const auto broken = node.invariants->check(node.core->view());
    EXPECT_FALSE(broken) << "node " << id << ": " << *broken;
    if (node.disk_works) finish_writes(id);
    if (node.state_works) apply(id);
  }

 private:
  static constexpr std::int64_t kStepMs = 10;

  void release(Node& node) {
    std::vector<Outgoing> rest;
    for (Outgoing& each : node.held) {
      if (each.after <= node.written) {
        wire_.push_back(std::move(each.message));
      } else {
        rest.push_back(std::move(each));
      }
    }
    node.held = std::move(rest);
  }
  void fetch_log(std::uint64_t id, const FetchLog& fetch) {
    Node& node = nodes_.at(id);
    FetchedLog answer{fetch.peer, fetch.range, {}};
    for (Index i = fetch.range.first; i <= fetch.range.last; i = i.next()) {
      const auto found = node.disk.entries.find(i);
      if (found == node.disk.entries.end()) break;
      answer.entries.push_back(found->second);
    }
    node.core->on_log_fetched(now_, std::move(answer));
    settle(id);
  }

  CoreConfig config_;
  std::map<std::uint64_t, Node> nodes_;
  std::set<std::uint64_t> down_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> cut_;
  Filter keep_;
  std::deque<Message> wire_;
  Instant now_ = Instant(std::chrono::seconds(100));
  std::uint64_t next_id_ = 0;
};

}  // namespace fyr::raft
