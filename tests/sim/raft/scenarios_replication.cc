// Replication and commit (raft-verification.md C, 36-64).
#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

bool to(const Message& message, std::size_t place) {
  return message.to == NodeId(place + 1);
}
bool from(const Message& message, std::size_t place) {
  return message.from == NodeId(place + 1);
}

void basic_three() {
  Stage stage(3);
  stage.leader();
  stage.write_some(20);
  stage.even();
}

// The others hold the entry while the leader's disk still works on it (D4).
void commit_without_leader_disk() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.node(leads).freeze_disk(stage.now() + kSecond);
  const SharedCall call = stage.write(leads);
  const Index before = stage.view(leads).durable;
  stage.until(
      "the others' copies commit it", [&] { return stage.view(leads).commit > before; },
      500 * kMilli);
  Stage::expect(stage.view(leads).durable == before, "the leader's own copy is not durable");
  Stage::expect(stage.view(leads).applied == before && call->open(),
                "the leader applies it only after its own sync (D5)");
  stage.until(
      "it is answered in the end", [&] { return call->done(); }, 3 * kSecond);
}

void single_node_waits_for_disk() {
  Stage stage(1);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.node(leads).freeze_disk(stage.now() + 500 * kMilli);
  const SharedCall call = stage.write(leads);
  stage.run(400 * kMilli);
  Stage::expect(call->open(), "nothing is committed before it is durable");
  stage.until(
      "it is answered", [&] { return call->done(); }, kSecond);
}

// An entry of an earlier term which a majority holds is not committed by that alone.
void noop_commits_old_tail() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  // The followers get the entry, the leader never hears so.
  stage.drop<AppendReply>([](const Message&, const AppendReply&) { return true; });
  const SharedCall call = stage.write(leads);
  stage.run(100 * kMilli);
  const Index old = stage.view(leads).last;
  const Term before = stage.term();
  Stage::expect(stage.view(stage.follower()).durable == old, "the followers hold it");
  stage.kill(leads);
  stage.pass_all();
  const std::size_t now = stage.leader(10 * kSecond, before);
  stage.until(
      "the new leader's no-op commits the old entry, too",
      [&] { return stage.view(now).commit > old; }, kSecond);
  (void)call;
}

void large_divergence_one_probe_per_term() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some(3);
  stage.even();
  stage.isolate(leads);
  for (int i = 0; i < 300; ++i) stage.write(leads);
  stage.run(50 * kMilli);
  const Term before = stage.term();
  stage.leader(10 * kSecond, before);
  stage.write_some(5);
  std::uint64_t rejections = 0;
  stage.world().set_filter([&](const Message& message) {
    const auto* reply = std::get_if<AppendReply>(&message.body);
    if (reply != nullptr && !reply->success) ++rejections;
    return World::Treat::Pass;
  });
  stage.heal();
  stage.even();
  Stage::expect(rejections <= 4, "one probe a term, not one an entry");
}

void follower_uncommitted_tail_is_replaced() {
  Stage stage(3);
  const std::size_t old = stage.leader();
  stage.write_some();
  stage.even();
  stage.isolate(old);
  const SharedCall lost = stage.write(old);
  const Term before = stage.term();
  stage.run(100 * kMilli);
  stage.leader(10 * kSecond, before);
  stage.write_some(3);
  stage.heal();
  stage.even();
  Stage::expect(lost->state == Call::State::Unknown, "the outcome of the lost write is unknown");
}

void duplicates_and_reordering() {
  Stage stage(3, [](Knobs& knobs) {
    knobs.duplicate = 0.5;
    knobs.reorder = 0.5;
  });
  stage.leader(20 * kSecond);
  for (int i = 0; i < 20; ++i) stage.write_some(10);
  stage.even();
}

void late_append_below_commit() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t slow = stage.follower();
  stage.hold<Append>(
      [slow](const Message& m, const Append& a) { return to(m, slow) && !a.entries.empty(); });
  stage.write_some();
  stage.until(
      "an append is held", [&] { return stage.world().held() > 0; }, kSecond);
  stage.pass_all();
  stage.write_some(5);
  stage.even();
  const Index before = stage.view(slow).commit;
  stage.world().release();
  stage.run(kSecond);
  Stage::expect(stage.view(slow).commit >= before, "commit never falls");
  Stage::expect(stage.leader() == leads, "nothing else happens");
  stage.even();
}

void late_rejection_after_success() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t slow = stage.follower();
  stage.isolate(slow);
  stage.write_some(5);
  stage.hold<AppendReply>(
      [slow](const Message& m, const AppendReply& r) { return from(m, slow) && !r.success; });
  stage.heal();
  stage.run(2 * kSecond);
  stage.pass_all();
  stage.even();
  stage.write_some(3);
  stage.even();
  stage.world().release();
  stage.run(kSecond);
  stage.write_some(3);
  stage.even();
}

void window_all_lost_heals() {
  Stage stage(3, [](Knobs& knobs) { knobs.core.window_messages = 4; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t slow = stage.follower();
  stage.drop<Append>(
      [slow](const Message& m, const Append& a) { return to(m, slow) && !a.entries.empty(); });
  for (int i = 0; i < 40; ++i) {
    stage.write(leads);
    stage.run(5 * kMilli);
  }
  stage.pass_all();
  stage.even(3 * kSecond);
}

void lost_commit_notice_healed_by_heartbeat() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t slow = stage.follower();
  const Index before = stage.view(slow).last;
  stage.drop<Append>([slow, before](const Message& m, const Append& a) {
    return to(m, slow) && a.commit > before;
  });
  stage.write_some();
  stage.until(
      "the heartbeat brings the commit", [&] { return stage.view(slow).commit > before; }, kSecond);
}

void heartbeat_commit_limited_to_match() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t slow = stage.follower();
  const Index match = stage.view(slow).last;
  Index most{};
  stage.world().set_filter([&](const Message& message) {
    if (!to(message, slow)) return World::Treat::Pass;
    if (const auto* beat = std::get_if<Heartbeat>(&message.body))
      most = std::max(most, beat->commit);
    return std::holds_alternative<Append>(message.body) ? World::Treat::Drop : World::Treat::Pass;
  });
  stage.write_some(5);
  stage.run(kSecond);
  Stage::expect(most <= match, "a heartbeat says no more than the peer acknowledged");
}

void entry_over_limit_refused() {
  Stage stage(3, [](Knobs& knobs) { knobs.core.max_entry_bytes = 100; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  ErrorCode code = ErrorCode::Internal;
  Command command;
  command.attempt = stage.world().history().begin_write();
  stage.node(leads).propose(encode(command, 200), [&](Result<raft::Node::Applied> result) {
    if (!result) code = result.error().code;
  });
  stage.run(100 * kMilli);
  Stage::expect(code == ErrorCode::InvalidArgument, "an entry that is too large is refused");
}

void uncommitted_limit_refuses_but_noop_passes() {
  Stage stage(3, [](Knobs& knobs) { knobs.core.max_unapplied_bytes = 2'000; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.isolate(leads);
  std::size_t refused = 0;
  for (int i = 0; i < 100; ++i) {
    const SharedCall call = stage.write(leads);
    stage.run(kMilli);
    if (call->state == Call::State::Failed) ++refused;
  }
  Stage::expect(refused > 0, "more than the limit is refused");
  stage.heal();
  stage.run(5 * kSecond);
  stage.leader();
  stage.write_some();
}

void slow_follower_does_not_slow_quorum() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const std::size_t slow = stage.follower();
  stage.node(slow).set_slow(300 * kMilli);
  const Nanos since = stage.now();
  stage.write_some(20);
  Stage::expect(stage.now() - since < 20 * 20 * kMilli, "two fast nodes are enough");
}

// The same place is written by A, by B, and by A's successor again: only the last counts.
void aba_append() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t first = stage.leader();
  stage.isolate(first);
  stage.write(first);
  stage.run(20 * kMilli);
  const Term before = stage.term();
  const std::size_t second = stage.leader(10 * kSecond, before);
  stage.node(first).freeze_disk(stage.now() + 400 * kMilli);
  stage.heal();
  stage.write_some();
  stage.isolate(second);
  stage.run(5 * kSecond);
  stage.heal();
  stage.leader(10 * kSecond);
  stage.write_some(3);
  stage.even();
}

void propose_during_transfer_answered() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.drop<TimeoutNow>([](const Message&, const TimeoutNow&) { return true; });
  const std::size_t target = stage.follower();
  stage.transfer(leads, target);
  stage.run(20 * kMilli);
  const SharedCall call = stage.write(leads);
  stage.run(100 * kMilli);
  Stage::expect(call->state == Call::State::Failed, "during a transfer writes go elsewhere");
  stage.pass_all();
  stage.run(5 * kSecond);
  stage.write_some();
}

void unknown_outcome_then_committed() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.world().set_filter([leads](const Message& message) {
    return to(message, leads) ? World::Treat::Drop : World::Treat::Pass;
  });
  const SharedCall call = stage.write(leads);
  stage.until(
      "the leader gives up", [&] { return stage.view(leads).role != Role::Leader; }, 10 * kSecond);
  stage.pass_all();
  stage.run(5 * kSecond);
  stage.write_some();
  stage.run(kSecond);
  Stage::expect(!call->open() && call->state != Call::State::Failed,
                "never answered as failed: it was committed after all");
}

}  // namespace

std::vector<Scenario> replication_scenarios() {
  return {
      {"re-basic-three", basic_three},
      {"co-commit-without-leader-disk", commit_without_leader_disk},
      {"co-noop-commits-old-tail", noop_commits_old_tail},
      {"co-single-node-waits-for-disk", single_node_waits_for_disk},
      {"re-one-probe-per-term-large-divergence", large_divergence_one_probe_per_term},
      {"re-follower-higher-term-uncommitted-tail", follower_uncommitted_tail_is_replaced},
      {"re-duplicate-and-reordered-appends", duplicates_and_reordering},
      {"re-late-append-below-commit", late_append_below_commit},
      {"re-late-rejection-after-success", late_rejection_after_success},
      {"re-window-full-all-lost-heals", window_all_lost_heals},
      {"re-lost-commit-notice-healed-by-heartbeat", lost_commit_notice_healed_by_heartbeat},
      {"re-heartbeat-commit-limited-to-match", heartbeat_commit_limited_to_match},
      {"re-entry-over-limit-refused-at-propose", entry_over_limit_refused},
      {"re-uncommitted-limit-refuses-but-noop-passes", uncommitted_limit_refuses_but_noop_passes},
      {"re-slow-follower-does-not-slow-quorum", slow_follower_does_not_slow_quorum},
      {"re-aba-append", aba_append},
      {"re-propose-during-transfer-answered-retry", propose_during_transfer_answered},
      {"re-unknown-outcome-then-committed", unknown_outcome_then_committed},
  };
}

}  // namespace fyr::raft::sim
