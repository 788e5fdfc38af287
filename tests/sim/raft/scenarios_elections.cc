// Elections (raft-verification.md C, 1-35).
#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

void single_self_elects_fast() {
  Stage stage(1);
  stage.leader(500 * kMilli);
  stage.write_some();
}

void cluster_of(std::size_t voters) {
  Stage stage(voters);
  stage.leader();
  stage.write_some(3);
  stage.even();
  Stage::expect(stage.elections() == 1, "one election is enough");
}
void two_nodes() {
  cluster_of(2);
}

void four_nodes_even_majority() {
  Stage stage(4);
  const std::size_t leads = stage.leader();
  stage.kill((leads + 1) % 4);
  stage.write_some();  // three of four
  stage.kill((leads + 2) % 4);
  const SharedCall call = stage.write(leads);
  stage.run(2 * kSecond);
  Stage::expect(!call->done(), "two of four commit nothing");
}

void split_vote_resolves() {
  Stage stage(5);
  stage.leader();
  stage.even();
  const Term before = stage.term();
  stage.kill(*stage.world().oracle().leader());
  stage.leader(5 * kSecond, before);
  Stage::expect(stage.term().value <= before.value + 3, "at most three attempts");
}

// A voter answers its candidate again, and another one with no.
void vote_repeat_same_candidate_granted_again() {
  Stage stage(3);
  stage.leader();
  stage.even();
  const std::size_t voter = stage.follower(0);
  const std::size_t candidate = stage.follower(1);
  const Term before = stage.term();
  std::uint64_t grants = 0;
  stage.kill(stage.leader());
  // The first answer is lost; the vote stands, and the same one gets it again if it asks again.
  stage.world().set_filter([&](const Message& message) {
    const auto* reply = std::get_if<VoteReply>(&message.body);
    if (reply != nullptr && reply->granted && ++grants == 1) return World::Treat::Drop;
    return World::Treat::Pass;
  });
  stage.leader(10 * kSecond, before);
  Stage::expect(grants >= 2, "a vote was granted again");
  (void)voter;
  (void)candidate;
}

void log_longer_wins() {
  Stage stage(3);
  stage.leader();
  stage.write_some(2);
  stage.even();
  const std::size_t behind = stage.follower(0);
  stage.isolate(behind);
  stage.write_some(5);
  const Term before = stage.term();
  const std::size_t old = stage.leader();
  stage.kill(old);
  stage.heal();
  const std::size_t now = stage.leader(10 * kSecond, before);
  Stage::expect(now != behind, "the one whose log is behind does not win");
}

void stale_candidate_learns_term() {
  Stage stage(3);
  const std::size_t old = stage.leader();
  stage.write_some();
  stage.isolate(old);
  const Term before = stage.term();
  stage.leader(10 * kSecond, before);
  stage.heal();
  stage.until(
      "the old leader follows in the new term",
      [&] {
        return stage.view(old).hard.term == stage.term() && stage.view(old).role == Role::Follower;
      },
      3 * kSecond);
}

void vote_durable_crash_before_reply() {
  Stage stage(3);
  stage.leader();
  stage.even();
  const Term before = stage.term();
  const std::size_t voter = stage.follower(0);
  stage.drop<VoteReply>([](const Message&, const VoteReply&) { return true; });
  stage.kill(stage.leader());
  stage.until(
      "somebody's vote is durable", [&] { return stage.node(voter).disk().hard().term > before; },
      10 * kSecond);
  const HardState kept = stage.node(voter).disk().hard();
  stage.power_cut(voter);
  stage.start(voter);
  Stage::expect(stage.view(voter).hard == kept, "the same vote after the restart");
  stage.pass_all();
  stage.leader(10 * kSecond, before);
}

void candidate_yields_to_leader() {
  Stage stage(5);
  stage.leader();
  stage.even();
  const Term before = stage.term();
  stage.kill(stage.leader());
  stage.leader(10 * kSecond, before);
  stage.run(2 * kSecond);
  std::size_t leaders = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    if (stage.node(i).alive() && stage.view(i).role == Role::Leader) ++leaders;
  }
  Stage::expect(leaders == 1, "one leads, the others follow");
}

void prevote_blocks_returning_partitioned_node() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  const Term before = stage.term();
  const std::size_t away = stage.follower();
  stage.isolate(away);
  stage.run(20 * kSecond);
  stage.heal();
  stage.run(5 * kSecond);
  Stage::expect(stage.leader() == leads && stage.term() == before, "leader and term unchanged");
  Stage::expect(stage.view(away).hard.term == before, "the returned one is in the same term");
}

void prevote_behind_log_refused() {
  Stage stage(3);
  stage.leader();
  stage.even();
  const std::size_t behind = stage.follower();
  stage.isolate(behind);
  stage.write_some(3);
  const Term before = stage.term();
  stage.kill(stage.leader());
  stage.heal();
  const std::size_t now = stage.leader(10 * kSecond, before);
  Stage::expect(now != behind, "the one behind is refused");
  Stage::expect(stage.term().value == before.value + 1, "and it burns no term");
}

// A node in a higher term than the rest is led again.
void inflated_term_is_reabsorbed() {
  Stage stage(3);
  stage.leader();
  stage.even();
  // Two attempts whose votes are lost: terms rise at the candidate and its voter.
  const Term before = stage.term();
  stage.drop<VoteReply>([](const Message&, const VoteReply&) { return true; });
  const std::size_t old = stage.leader();
  stage.isolate(old);
  stage.until(
      "a term was burnt", [&] { return stage.view((old + 1) % 3).hard.term > before; },
      10 * kSecond);
  stage.pass_all();
  stage.heal();
  stage.run(5 * kSecond);
  stage.leader(10 * kSecond);
  stage.write_some();
  stage.even();
}

void dead_leader_is_replaced() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const Term before = stage.term();
  stage.power_cut(stage.leader());
  const Nanos since = stage.now();
  stage.leader(3 * kSecond, before);
  stage.write_some();
  Stage::expect(stage.now() - since < 3 * kSecond, "within three seconds writes go on");
}

void restarted_follower_does_not_disturb() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  const Term before = stage.term();
  for (int i = 0; i < 5; ++i) {
    const std::size_t other = stage.follower(static_cast<std::size_t>(i) % 2);
    stage.power_cut(other);
    stage.run(3 * kSecond);
    stage.start(other);
    stage.run(3 * kSecond);
  }
  Stage::expect(stage.leader() == leads && stage.term() == before, "leader and term unchanged");
}

void promise_after_restart() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t one = stage.follower(0);
  const std::size_t other = stage.follower(1);
  const Term before = stage.term();
  stage.isolate(leads);
  stage.power_cut(one);
  stage.start(one);
  const Nanos restarted = stage.now();
  // It cannot know whom it promised what: for E it gives no vote, also not to the other one.
  stage.leader(10 * kSecond, before);
  Stage::expect(stage.now() - restarted >= stage.e() * 95 / 100, "no vote within E of a start");
  (void)other;
}

void whole_cluster_restart() {
  Stage stage(3);
  stage.leader();
  stage.write_some(5);
  const Term before = stage.term();
  for (std::size_t i = 0; i < 3; ++i) stage.power_cut(i);
  stage.run(kSecond);
  for (std::size_t i = 0; i < 3; ++i) stage.start(i);
  stage.leader(3 * kSecond, before);
  stage.write_some();
  stage.even();
}

void checkquorum_stepdown_in_e() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.run(2 * kSecond);
  stage.isolate(leads);
  stage.until(
      "it steps down", [&] { return stage.view(leads).role != Role::Leader; }, stage.e() * 11 / 10);
}

void leader_out_only() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.run(kSecond);
  const Term before = stage.term();
  for (std::size_t i = 0; i < 3; ++i) {
    if (i != leads) stage.cut_one_way(i, leads);
  }
  stage.leader(5 * kSecond, before);
  stage.write_some();
}

void leader_in_only() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.run(kSecond);
  const Term before = stage.term();
  for (std::size_t i = 0; i < 3; ++i) {
    if (i != leads) stage.cut_one_way(leads, i);
  }
  stage.leader(5 * kSecond, before);
  stage.write_some();
}

void cut_from_leader_only_three_nodes() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  const std::size_t away = stage.follower();
  const Term before = stage.term();
  stage.cut(leads, away);
  stage.run(600 * kSecond);
  Stage::expect(stage.term() == before, "no term growth in ten minutes");
  Stage::expect(stage.leader() == leads, "the same leader");
}

void five_nodes_old_leader_on_bridge() {
  Stage stage(5);
  const std::size_t leads = stage.leader();
  stage.write_some(2);
  stage.even();
  // The leader sees one side only; three others see each other.
  std::vector<std::size_t> side;
  for (std::size_t i = 0; i < 5; ++i) {
    if (i != leads) side.push_back(i);
  }
  stage.cut(leads, side[0]);
  stage.cut(leads, side[1]);
  stage.cut(leads, side[2]);
  const Term before = stage.term();
  stage.leader(10 * stage.e(), before);
  stage.write_some();
}

void ring_partition_five() {
  Stage stage(5);
  stage.leader();
  stage.write_some(2);
  stage.even();
  for (std::size_t a = 0; a < 5; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if (a - b != 1 && a - b != 4) stage.cut(a, b);
    }
  }
  stage.run(5 * kSecond);
  stage.leader(20 * kSecond);
  stage.write_some();
}

void flapping_link() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const std::uint64_t before = stage.elections();
  for (int i = 0; i < 60; ++i) {
    stage.cut(0, 1);
    stage.run(500 * kMilli);
    stage.heal();
    stage.run(500 * kMilli);
  }
  Stage::expect(stage.elections() - before <= 3, "at most three changes of leader in a minute");
}

void timer_not_reset_by_prevote() {
  Stage stage(5);
  stage.leader();
  stage.even();
  // One that cannot win asks all the time; the others elect in their time nevertheless.
  const std::size_t behind = stage.follower();
  stage.isolate(behind);
  stage.write_some(3);
  const Term before = stage.term();
  stage.run(5 * kSecond);
  stage.kill(stage.leader());
  stage.heal();
  stage.leader(4 * kSecond, before);
}

void no_campaign_when_disk_stalled() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t stalled = stage.follower();
  stage.node(stalled).freeze_disk(stage.now() + 60 * kSecond);
  stage.write_some();
  stage.run(4 * kSecond);
  const Term before = stage.term();
  stage.kill(stage.leader());
  stage.run(5 * kSecond);
  Stage::expect(stage.view(stalled).role == Role::Follower && stage.term() == before,
                "a node whose disk stands still does not campaign");
}

void dueling_precandidates() {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Stage stage(
        3, [](Knobs& knobs) { knobs.core.election_jitter = std::chrono::milliseconds(1); }, seed);
    stage.leader(10 * kSecond);
    stage.even();
    const Term before = stage.term();
    stage.kill(stage.leader());
    stage.leader(10 * kSecond, before);
  }
}

}  // namespace

std::vector<Scenario> election_scenarios() {
  return {
      {"el-single-self-elects-fast", single_self_elects_fast},
      {"el-two-nodes", two_nodes},
      {"el-four-nodes-even-majority", four_nodes_even_majority},
      {"el-split-vote-resolves", split_vote_resolves},
      {"el-vote-repeat-same-candidate-granted-again", vote_repeat_same_candidate_granted_again},
      {"el-shorter-log-same-term-loses", log_longer_wins},
      {"el-stale-candidate-learns-term", stale_candidate_learns_term},
      {"el-vote-durable-crash-before-reply", vote_durable_crash_before_reply},
      {"el-candidate-yields-to-leader-same-term", candidate_yields_to_leader},
      {"el-dueling-precandidates", dueling_precandidates},
      {"el-prevote-blocks-returning-partitioned-node", prevote_blocks_returning_partitioned_node},
      {"el-prevote-behind-log-refused-in-leaderless-window", prevote_behind_log_refused},
      {"el-prevote-higher-term-voter-can-be-reabsorbed", inflated_term_is_reabsorbed},
      {"el-quorum-of-precandidates-replaces-dead-leader", dead_leader_is_replaced},
      {"el-restarted-follower-does-not-disturb", restarted_follower_does_not_disturb},
      {"el-promise-after-restart", promise_after_restart},
      {"el-whole-cluster-restart", whole_cluster_restart},
      {"el-checkquorum-stepdown-in-E", checkquorum_stepdown_in_e},
      {"el-leader-out-only", leader_out_only},
      {"el-leader-in-only", leader_in_only},
      {"el-cut-from-leader-only-three-nodes", cut_from_leader_only_three_nodes},
      {"el-five-nodes-old-leader-on-bridge", five_nodes_old_leader_on_bridge},
      {"el-ring-partition-five", ring_partition_five},
      {"el-flapping-link", flapping_link},
      {"el-no-campaign-when-disk-stalled", no_campaign_when_disk_stalled},
      {"el-timer-not-reset-by-prevote-grant", timer_not_reset_by_prevote},
  };
}

}  // namespace fyr::raft::sim
