// Changes of the members (raft-verification.md C, 65-92).
#include <algorithm>

#include "tests/sim/raft/scenarios.h"

namespace fyr::raft::sim {
namespace {

Member newcomer(std::size_t place) {
  Member out;
  out.id = NodeId(place + 1);
  out.name = "n" + std::to_string(place + 1);
  out.address = out.name + ":1";
  return out;
}
ConfigChange joining(std::size_t place) {
  ConfigChange out;
  out.put.push_back(newcomer(place));
  return out;
}
ConfigChange promoting(std::size_t place) {
  ConfigChange out;
  out.promote.push_back(NodeId(place + 1));
  return out;
}
ConfigChange removing(std::size_t place) {
  ConfigChange out;
  out.remove.push_back(NodeId(place + 1));
  return out;
}
ConfigChange demoting(std::size_t place) {
  ConfigChange out;
  out.demote.push_back(NodeId(place + 1));
  return out;
}

SharedCall ended(Stage& stage, const SharedCall& call, Nanos within = 5 * kSecond) {
  stage.until(
      "the change comes to an end", [&] { return !call->open(); }, within);
  return call;
}
void done(Stage& stage, ConfigChange change) {
  const SharedCall call = ended(stage, stage.change(stage.leader(), std::move(change)));
  Stage::expect(call->done(), "the change is made");
}
Configuration members(Stage& stage) {
  return stage.node(stage.leader()).core().configuration();
}
bool is_voter(Stage& stage, std::size_t place) {
  return std::ranges::count(members(stage).voters, NodeId(place + 1)) > 0;
}

Stage with_spares(std::size_t voters, std::size_t spares) {
  return Stage(voters, [spares](Knobs& knobs) { knobs.spares = spares; });
}

void add_one() {
  Stage stage = with_spares(3, 1);
  stage.leader();
  stage.write_some(5);
  done(stage, joining(3));
  stage.even();
  done(stage, promoting(3));
  Stage::expect(is_voter(stage, 3), "four voters");
  stage.write_some();
  stage.even();
}

void remove_one() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const std::size_t gone = stage.follower();
  done(stage, removing(gone));
  Stage::expect(!is_voter(stage, gone), "two voters");
  stage.write_some();
}

void replace_one_with_one_node_down() {
  Stage stage = with_spares(3, 1);
  stage.leader();
  stage.write_some();
  const std::size_t dead = stage.follower();
  stage.kill(dead);
  done(stage, joining(3));
  stage.even();
  ConfigChange swap = promoting(3);
  swap.remove.push_back(NodeId(dead + 1));
  done(stage, std::move(swap));
  Stage::expect(is_voter(stage, 3) && !is_voter(stage, dead), "replaced in one step");
  stage.write_some(3);
}

void replace_all() {
  Stage stage = with_spares(3, 3);
  stage.leader();
  stage.write_some(3);
  for (std::size_t i = 3; i < 6; ++i) done(stage, joining(i));
  stage.even();
  ConfigChange swap;
  for (std::size_t i = 0; i < 3; ++i) {
    swap.promote.push_back(NodeId(i + 4));
    swap.remove.push_back(NodeId(i + 1));
  }
  done(stage, std::move(swap));
  stage.until(
      "one of the new ones leads",
      [&] {
        const auto leads = stage.world().oracle().leader();
        return leads && *leads >= 3;
      },
      10 * kSecond);
  stage.write_some(3);
}

void five_to_seven() {
  Stage stage = with_spares(5, 2);
  stage.leader();
  stage.write_some();
  done(stage, joining(5));
  done(stage, joining(6));
  stage.even();
  ConfigChange both = promoting(5);
  both.promote.push_back(NodeId(7));
  done(stage, std::move(both));
  Stage::expect(members(stage).voters.size() == 7, "seven voters");
  stage.write_some();
}

void remove_leader_hands_over() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  const SharedCall call = stage.change(leads, removing(leads));
  const std::size_t now = stage.leader(3 * kSecond, before);
  Stage::expect(now != leads, "another one leads");
  Stage::expect(ended(stage, call)->state != Call::State::Failed, "the change is made");
  stage.write_some();
  Stage::expect(!is_voter(stage, leads), "the old leader is out");
}

void second_change_while_first_uncommitted_refused() {
  Stage stage = with_spares(3, 2);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  stage.drop<AppendReply>([](const Message&, const AppendReply&) { return true; });
  const SharedCall first = stage.change(leads, joining(3));
  stage.run(10 * kMilli);
  const SharedCall second = stage.change(leads, joining(4));
  stage.run(10 * kMilli);
  Stage::expect(second->state == Call::State::Failed, "one at a time (C2)");
  stage.pass_all();
  ended(stage, first);
}

void config_before_own_noop_refused() {
  Stage stage = with_spares(3, 1);
  stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  stage.kill(stage.leader());
  stage.drop<AppendReply>([](const Message&, const AppendReply&) { return true; });
  const std::size_t leads = stage.leader(10 * kSecond, before);
  const SharedCall call = stage.change(leads, joining(3));
  stage.run(20 * kMilli);
  Stage::expect(call->state == Call::State::Failed, "not before its own term has committed (C1)");
  stage.pass_all();
}

void joint_inherited() {
  Stage stage = with_spares(3, 1);
  const std::size_t leads = stage.leader();
  stage.write_some();
  done(stage, joining(3));
  stage.even();
  // The joint entry spreads, its commit is never noticed.
  stage.drop<AppendReply>([](const Message&, const AppendReply&) { return true; });
  stage.change(leads, promoting(3));
  stage.until(
      "everybody holds the joint entry",
      [&] {
        for (std::size_t i = 0; i < 4; ++i) {
          if (!stage.node(i).core().configuration().is_joint()) return false;
        }
        return true;
      },
      kSecond);
  const Term before = stage.term();
  stage.kill(leads);
  stage.pass_all();
  stage.leader(10 * kSecond, before);
  stage.until(
      "the new leader leaves the joint state", [&] { return !members(stage).is_joint(); },
      5 * kSecond);
  Stage::expect(members(stage).voters.size() == 4, "the change is finished");
  stage.write_some();
}

void joint_truncated_returns_to_prior() {
  Stage stage = with_spares(3, 1);
  const std::size_t leads = stage.leader();
  stage.write_some();
  done(stage, joining(3));
  stage.even();
  stage.isolate(leads);
  const SharedCall call = stage.change(leads, promoting(3));
  stage.run(20 * kMilli);
  Stage::expect(stage.node(leads).core().configuration().is_joint(), "joint where it was appended");
  const Term before = stage.term();
  stage.leader(10 * kSecond, before);
  stage.write_some(2);
  stage.heal();
  stage.even();
  Stage::expect(!stage.node(leads).core().configuration().is_joint(), "it is gone again");
  Stage::expect(!call->done(), "and not reported as made");
}

void demote_voter() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const std::size_t one = stage.follower();
  done(stage, demoting(one));
  Stage::expect(!is_voter(stage, one), "two voters and a learner");
  stage.write_some(3);
  stage.even();
}

void learner_never_campaigns_nor_counts() {
  Stage stage(3, [](Knobs& knobs) { knobs.learners = 1; });
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const Term before = stage.term();
  for (std::size_t i = 0; i < 3; ++i) {
    if (i != leads) stage.kill(i);
  }
  const SharedCall call = stage.write(leads);
  stage.run(10 * kSecond);
  Stage::expect(!call->done(), "leader and learner are no quorum");
  Stage::expect(stage.view(3).hard.term <= Term(before.value), "the learner does not campaign");
}

void unreachable_new_voter_refused() {
  Stage stage = with_spares(1, 1);
  stage.leader();
  stage.write_some();
  done(stage, joining(1));
  stage.even();
  stage.kill(1);
  stage.run(3 * kSecond);
  const SharedCall call = ended(stage, stage.change(stage.leader(), promoting(1)));
  Stage::expect(call->state == Call::State::Failed, "a voter that cannot be reached (C5)");
}

void laggard_not_promoted() {
  Stage stage = with_spares(3, 1);
  stage.leader();
  stage.write_some();
  done(stage, joining(3));
  stage.even();
  stage.kill(3);
  for (int i = 0; i < 100; ++i) stage.write_some();
  const SharedCall call = ended(stage, stage.change(stage.leader(), promoting(3)));
  Stage::expect(call->state == Call::State::Failed, "one that is far behind (C4)");
}

void never_empty() {
  Stage stage(1);
  const std::size_t leads = stage.leader();
  stage.write_some();
  const SharedCall call = ended(stage, stage.change(leads, removing(leads)));
  Stage::expect(call->state == Call::State::Failed, "the last voter stays");
  stage.write_some();
}

void removed_node_keeps_quiet() {
  Stage stage(3);
  stage.leader();
  stage.write_some();
  const std::size_t gone = stage.follower();
  stage.isolate(gone);
  done(stage, removing(gone));
  const Term before = stage.term();
  stage.heal();
  stage.run(60 * kSecond);
  Stage::expect(stage.term() == before, "a removed node disturbs nobody");
  stage.write_some();
}

void transfer_target_demoted_aborts() {
  Stage stage(3);
  const std::size_t leads = stage.leader();
  stage.write_some();
  stage.even();
  const std::size_t target = stage.follower();
  stage.drop<TimeoutNow>([](const Message&, const TimeoutNow&) { return true; });
  const SharedCall call = stage.transfer(leads, target);
  stage.change(leads, demoting(target));
  stage.until(
      "the transfer ends", [&] { return !call->open(); }, 3 * kSecond);
  Stage::expect(!call->done(), "not to somebody who may not lead");
  stage.write_some();
}

// The process dies at each point of a change in turn; the cluster comes to a whole configuration.
void crash_at_each_point() {
  for (std::size_t point = 0; point < 24; ++point) {
    Stage stage = with_spares(3, 1);
    stage.leader();
    stage.write_some();
    done(stage, joining(3));
    stage.even();
    const std::size_t leads = stage.leader();
    stage.change(leads, promoting(3));
    stage.run(static_cast<Nanos>(point) * 250 * kMicro);
    stage.power_cut(leads);
    stage.run(100 * kMilli);
    stage.start(leads);
    stage.leader(10 * kSecond);
    stage.write_some(2);
    stage.until(
        "no joint state is left", [&] { return !members(stage).is_joint(); }, 10 * kSecond);
    stage.even();
  }
}

}  // namespace

std::vector<Scenario> membership_scenarios() {
  return {
      {"me-add-one-via-joint", add_one},
      {"me-remove-one", remove_one},
      {"me-replace-one-of-three-with-one-node-down", replace_one_with_one_node_down},
      {"me-replace-all", replace_all},
      {"me-abcde-to-abcdefg", five_to_seven},
      {"me-remove-leader-hands-over", remove_leader_hands_over},
      {"me-config-before-own-noop-refused", config_before_own_noop_refused},
      {"me-second-change-while-first-uncommitted-refused",
       second_change_while_first_uncommitted_refused},
      {"me-joint-inherited-by-new-leader", joint_inherited},
      {"me-joint-truncated-returns-to-prior", joint_truncated_returns_to_prior},
      {"me-crash-at-each-point", crash_at_each_point},
      {"me-demote-voter", demote_voter},
      {"me-learner-never-campaigns-nor-counts", learner_never_campaigns_nor_counts},
      {"me-unreachable-new-voter-refused", unreachable_new_voter_refused},
      {"me-laggard-not-promoted", laggard_not_promoted},
      {"me-never-empty", never_empty},
      {"me-transfer-target-demoted-aborts", transfer_target_demoted_aborts},
      {"el-removed-node-keeps-campaigning", removed_node_keeps_quiet},
  };
}

}  // namespace fyr::raft::sim
