// A core with a disk and a state machine that do what the test says, invariants checked after
// every step.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "raft/core.h"
#include "raft/invariants.h"

namespace fyr::raft {

constexpr NodeId kSelf(1);

inline RecoveredState fresh_voter() {
  RecoveredState out;
  out.hard = {Term(1), NodeId{}};
  out.last = Index(1);
  out.runs = {{Index(1), Term(1)}};
  out.configurations = {{Index(1), single_voter({kSelf, "a", "127.0.0.1:1", "", 100})}};
  out.entry_bytes = {100};
  return out;
}

inline Instant at_ms(std::int64_t ms) {
  return Instant(std::chrono::milliseconds(ms));
}

class CoreHarness {
 public:
  explicit CoreHarness(RecoveredState recovered = fresh_voter(),
                       CoreConfig config = CoreConfig{.self = kSelf})
      : core(config, std::move(recovered)), invariants_(config) {
    settle();
  }

  void on_time(std::int64_t ms) {
    now_ = at_ms(ms);
    core.on_time(now_);
    settle();
  }
  ProposalResult propose(std::string data = "x") {
    const Proposal proposal{++next_id_, EntryType::App,
                            std::make_shared<const std::string>(std::move(data))};
    core.propose(now_, {&proposal, 1});
    settle();
    return out.results.empty() ? ProposalResult{} : out.results.back();
  }
  std::uint64_t read(ReadMode mode) {
    core.read(now_, {++next_id_, mode});
    settle();
    return next_id_;
  }
  // Everything that was asked for so far is durable.
  void disk_done() { disk_done(last_write_); }
  void disk_done(WriteId upto) {
    core.on_written(now_, upto);
    settle();
  }
  // Everything that was handed out is applied.
  void apply_done(bool durable = false) {
    if (handed_ > Index{}) applied_ = handed_;
    if (durable) durable_applied_ = applied_;
    core.on_applied(now_, applied_, durable_applied_);
    settle();
  }
  // Leads, with its no-op applied.
  void lead() {
    on_time(0);
    disk_done();
    disk_done();
    apply_done();
    ASSERT_EQ(out.soft.role, Role::Leader);
  }

  Core core;
  Outputs out;  // of the last step
  std::vector<PersistBatch> writes;
  std::vector<ReadGrant> grants;
  std::vector<Index> handed_out;

  WriteId last_write() const { return last_write_; }
  const ReadGrant* grant_of(std::uint64_t id) const {
    for (const ReadGrant& grant : grants) {
      if (grant.id == id) return &grant;
    }
    return nullptr;
  }

 private:
  void settle() {
    out = core.take();
    for (const PersistBatch& batch : out.persist) {
      EXPECT_EQ(batch.id, last_write_.next()) << "write ids count from 1 without gaps";
      last_write_ = batch.id;
      writes.push_back(batch);
    }
    if (out.apply) {
      for (Index i = out.apply->first; i <= out.apply->last; i = i.next()) handed_out.push_back(i);
      handed_ = out.apply->last;
    }
    grants.insert(grants.end(), out.reads.begin(), out.reads.end());
    const auto broken = invariants_.check(core.view());
    EXPECT_FALSE(broken) << *broken;
  }

  Invariants invariants_;
  Instant now_ = at_ms(0);
  std::uint64_t next_id_ = 0;
  WriteId last_write_{};
  Index handed_{}, applied_{}, durable_applied_{};
};

}  // namespace fyr::raft
