// Reads, leases, transfers, priorities (raft-verification.md C, 112-127, 144-154).
#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

SharedCall answered(Stage& stage, const SharedCall& call, Nanos within = 3 * kSecond) {
  stage.until(
      "the call is answered", [&] { return !call->open(); }, within);
  return call;
}

void lease_fast_path() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.run(kSecond);
  std::uint64_t before = stage.world().events();
  const SharedCall call = stage.read(leads, ReadMode::Default);
  Stage::expect(call->done() && stage.world().events() == before, "answered at once");
}

void isolated_leader_fails_reads() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.run(kSecond);
  stage.isolate(leads);
  const SharedCall consistent = stage.read(leads, ReadMode::Consistent);
  stage.until(
      "its lease ends", [&] { return stage.node(leads).read_by_lease() == std::nullopt; },
      stage.e());
  const SharedCall later = stage.read(leads, ReadMode::Default);
  Stage::expect(!answered(stage, consistent)->done(), "no confirmation, no read");
  Stage::expect(!answered(stage, later)->done(), "no lease, no read");
}

void pause_past_lease() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.run(kSecond);
  const Term before = stage.term();
  stage.world().pause(leads, 10 * kSecond);
  stage.leader(8 * kSecond, before);
  stage.write_some();
  stage.run(10 * kSecond);
  Stage::expect(!stage.node(leads).read_by_lease(), "no lease after the pause");
}

void before_own_term_commit_waits() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  stage.kill(stage.leader());
  stage.drop<AppendReply>([](const Message&, const AppendReply&) { return true; });
  const std::size_t leads = stage.leader(10 * kSecond, before);
  const SharedCall call = stage.read(leads, ReadMode::Default);
  const SharedCall other = stage.read(leads, ReadMode::Consistent);
  stage.run(100 * kMilli);
  Stage::expect(call->open() && other->open(), "reads wait for the first own commit (R1)");
  stage.pass_all();
  answered(stage, call);
  answered(stage, other);
}

void batched_one_round() {
  Stage stage(3, [](Knobs& knobs) { knobs.core.lease_reads = false; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.run(kSecond);
  std::size_t messages = 0;
  stage.world().set_filter([&](const Message& message) {
    if (message.from == NodeId(leads + 1)) ++messages;
    return World::Treat::Pass;
  });
  std::vector<SharedCall> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(stage.read(leads, ReadMode::Consistent));
  for (const SharedCall& call : calls) Stage::expect(answered(stage, call)->done(), "each is read");
  Stage::expect(messages <= 12, "one or two rounds serve all of them");
}

void read_at_follower() {
  Stage stage(3);
  stage.leader();
  stage.write_some(3);
  const SharedCall call = stage.read(stage.follower(), ReadMode::Consistent);
  Stage::expect(answered(stage, call)->done(), "a follower asks the leader and answers");
}

void learner_forwards() {
  Stage stage(3, [](Knobs& knobs) { knobs.learners = 1; });
  stage.leader();
  stage.write_some(3);
  stage.even();
  const SharedCall call = stage.read(3, ReadMode::Consistent);
  Stage::expect(answered(stage, call)->done(), "a learner asks the leader and answers");
}

void transfer_voids_lease() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.run(kSecond);
  stage.hold<TimeoutNow>([](const Message&, const TimeoutNow&) { return true; });
  stage.transfer(leads, stage.follower());
  stage.until(
      "TimeoutNow is under way", [&] { return stage.world().held() > 0; }, kSecond);
  Stage::expect(!stage.node(leads).read_by_lease(), "the lease was given up before");
  stage.pass_all();
  stage.world().release();
  stage.run(2 * kSecond);
}

// A TimeoutNow that arrives after the transfer was given up must not lead to stale reads.
void late_timeout_now_after_abort() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.hold<TimeoutNow>([](const Message&, const TimeoutNow&) { return true; });
  const SharedCall call = stage.transfer(leads, stage.follower());
  answered(stage, call, 5 * kSecond);
  Stage::expect(!call->done(), "the transfer is given up");
  stage.pass_all();
  stage.run(2 * kSecond);
  stage.write_some();
  stage.world().release();
  for (int i = 0; i < 40; ++i) {
    for (std::size_t n = 0; n < 3; ++n) stage.read(n, ReadMode::Default);
    stage.write(stage.world().oracle().leader().value_or(0));
    stage.run(50 * kMilli);
  }
  stage.leader();
  stage.write_some();
}

void fast_follower_clock() {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Stage stage(
        3, [](Knobs& knobs) { knobs.clock_rate = 50'000; }, seed);
    const std::size_t leads = stage.leader();
    stage.write_some();
    stage.run(2 * kSecond);
    const Term before = stage.term();
    stage.isolate(leads);
    // The oracle watches that nobody else commits while the old lease lasts.
    stage.leader(10 * kSecond, before);
    stage.write_some();
  }
}

void restart_inside_lease() {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Stage stage(3, {}, seed);
    const std::size_t leads = stage.leader();
    stage.write_some();
    stage.run(kSecond);
    const Term before = stage.term();
    stage.isolate(leads);
    for (std::size_t i = 0; i < 3; ++i) {
      if (i == leads) continue;
      stage.power_cut(i);
      stage.start(i);
    }
    stage.leader(10 * kSecond, before);
    stage.write_some();
  }
}

void origin_restarted_reply_dropped() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t asks = stage.follower();
  stage.hold<ReadIndexReply>([](const Message&, const ReadIndexReply&) { return true; });
  stage.read(asks, ReadMode::Consistent);
  stage.until(
      "the answer is under way", [&] { return stage.world().held() > 0; }, kSecond);
  stage.power_cut(asks);
  stage.start(asks);
  stage.pass_all();
  const SharedCall call = stage.read(asks, ReadMode::Consistent);
  stage.world().release();
  answered(stage, call);
}

void follower_commit_untouched_by_read_index() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t asks = stage.follower();
  stage.drop<Append>([asks](const Message& m, const Append&) { return m.to == NodeId(asks + 1); });
  const Index before = stage.view(asks).commit;
  stage.write_some(2);
  const SharedCall call = stage.read(asks, ReadMode::Consistent);
  stage.run(kSecond);
  Stage::expect(stage.view(asks).commit == before, "an answer to a read commits nothing");
  Stage::expect(!call->done(), "and the read waits for the entries");
  stage.pass_all();
  (void)leads;
}

// ---- transfers and priorities -----------------------------------------------------------------

void transfer_moves_leadership() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t target = stage.follower(1);
  const Nanos since = stage.now();
  const SharedCall call = stage.transfer(leads, target);
  stage.until(
      "the target leads", [&] { return stage.world().oracle().leader() == target; }, kSecond);
  stage.write_some();
  Stage::expect(stage.now() - since < 200 * kMilli, "a gap of less than 200 ms");
  Stage::expect(answered(stage, call)->done(), "the transfer is reported as done");
}

void target_dies_after_timeout_now() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t target = stage.follower();
  const SharedCall call = stage.transfer(leads, target);
  stage.power_cut(target);
  stage.run(3 * kSecond);
  Stage::expect(!call->open(), "the transfer comes to an end");
  stage.write_some();
}

void lost_timeout_now_resumes() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  stage.drop<TimeoutNow>([](const Message&, const TimeoutNow&) { return true; });
  const SharedCall call = stage.transfer(leads, stage.follower());
  answered(stage, call, 3 * kSecond);
  Stage::expect(call->state == Call::State::Failed, "it is given up");
  stage.write_some();
  Stage::expect(stage.term() == before && stage.leader() == leads, "the leader goes on");
  stage.until(
      "and has a lease again", [&] { return stage.node(leads).read_by_lease().has_value(); },
      2 * kSecond);
}

void to_learner_refused() {
  Stage stage(3, [](Knobs& knobs) { knobs.learners = 1; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  const SharedCall call = stage.transfer(leads, 3);
  answered(stage, call);
  Stage::expect(call->state == Call::State::Failed, "a learner does not lead");
}

void transfer_uses_no_prevote() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t target = stage.follower();
  stage.drop<PreVote>([](const Message&, const PreVote&) { return true; });
  stage.transfer(leads, target);
  stage.until(
      "the target leads", [&] { return stage.world().oracle().leader() == target; }, kSecond);
}

void prefers_high_priority() {
  // Places 0 and 1 have priority 100, place 2 has 50 (world.cc).
  Stage stage(3, [](Knobs& knobs) { knobs.features |= kPriorities; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  if (leads != 2) {
    stage.transfer(leads, 2);
    stage.until(
        "the low one leads", [&] { return stage.world().oracle().leader() == 2u; }, 2 * kSecond);
  }
  stage.until(
      "the preferred ones lead again",
      [&] {
        const auto now = stage.world().oracle().leader();
        return now && *now != 2;
      },
      120 * kSecond);
}

void low_priority_leads_if_others_are_behind() {
  Stage stage(3, [](Knobs& knobs) { knobs.features |= kPriorities; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  Stage::expect(leads != 2, "a preferred one leads first");
  const std::size_t behind = 1 - leads;
  stage.isolate(behind);
  stage.write_some(3);
  const Term before = stage.term();
  stage.kill(leads);
  stage.heal();
  Stage::expect(stage.leader(10 * kSecond, before) == 2, "the only one with the log leads");
}

void zero_priority_leads_if_only_log() {
  Stage stage(5, [](Knobs& knobs) { knobs.features |= kPriorities; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  Stage::expect(leads != 3, "the one to avoid does not lead first");
  // Only the leader, the one to avoid and one more see the writes; then the other two die.
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < 5; ++i) {
    if (i != leads && i != 3) others.push_back(i);
  }
  stage.isolate(others[0]);
  stage.isolate(others[1]);
  stage.write_some(3);
  const Term before = stage.term();
  stage.kill(leads);
  stage.kill(others[2]);
  stage.heal();
  Stage::expect(stage.leader(20 * kSecond, before) == 3, "availability beats preference");
  stage.write_some();
}

}  // namespace

std::vector<Scenario> read_scenarios() {
  return {
      {"rd-lease-fast-path", lease_fast_path},
      {"rd-isolated-leader-consistent-fails-fast", isolated_leader_fails_reads},
      {"rd-pause-past-lease", pause_past_lease},
      {"rd-before-own-term-commit-waits", before_own_term_commit_waits},
      {"rd-batched-one-round", batched_one_round},
      {"rd-follower-forward", read_at_follower},
      {"rd-learner-forward", learner_forwards},
      {"rd-transfer-voids-lease", transfer_voids_lease},
      {"rd-late-timeoutnow-after-abort", late_timeout_now_after_abort},
      {"rd-fast-follower-clock-5-percent", fast_follower_clock},
      {"rd-restart-inside-lease", restart_inside_lease},
      {"rd-follower-commit-untouched-by-readindex", follower_commit_untouched_by_read_index},
      {"rd-origin-restarted-reply-dropped", origin_restarted_reply_dropped},
      {"tr-moves-leadership", transfer_moves_leadership},
      {"tr-target-dies-after-timeoutnow", target_dies_after_timeout_now},
      {"tr-lost-timeoutnow-resumes", lost_timeout_now_resumes},
      {"tr-to-learner-refused", to_learner_refused},
      {"tr-prevote-not-used", transfer_uses_no_prevote},
      {"pr-oslo-leads-after-heal", prefers_high_priority},
      {"pr-frankfurt-leads-when-oslo-candidates-behind", low_priority_leads_if_others_are_behind},
      {"pr-zero-priority-leads-if-only-log", zero_priority_leads_if_only_log},
  };
}

}  // namespace fyr::raft::sim
